/**
 * Programs as their makers release them: an archive for each platform and one list of checksums, of a pinned version.
 * The list comes from the same release over TLS, so what is trusted is the release host, or whom BOTTLE_DOWNLOADS names.
 */
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { BottleError } from '../../core/errors.ts';
import { toolsDirectory } from '../tools.ts';
import { downloadFile, downloadText, releasesBase } from './download.ts';

export interface Release {
  /** The program, and its file in the archive. */
  name: string;
  version: string;
  /** `owner/name` of the repository that releases it. */
  repository: string;
  /** Name of the archive; `{version}`, `{os}` and `{arch}` are filled in. */
  archive: string;
  checksums: string;
  /** How it calls the architectures, by {@link process.arch}. */
  arch: Record<string, string>;
}

/** Where it lies once it was got, for which {@link ../tools.ts} looks. */
export const releasedProgram = ({ name, version }: Pick<Release, 'name' | 'version'>, env = process.env): string =>
  path.join(toolsDirectory(env), `${name}-${version}`, name);

/**
 * Gets it into the cache, whole or not at all.
 *
 * @param target of which system, in Node's words
 * @throws BottleError `TOOL_MISSING` that says why it cannot be had
 */
export async function obtainRelease(
  release: Release,
  target: { platform: string; arch: string },
  report: (line: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const { name, version, repository } = release;
  const program = releasedProgram(release, env);
  const folder = `${releasesBase(env)}/${repository}/releases/download/v${version}`;
  const archive = fill(release.archive, release, target);
  const sums = fill(release.checksums, release, target);
  const sha256 = sumOf(archive, await downloadText(`${folder}/${sums}`, env));
  if (sha256 === undefined) throw missing(`${folder}/${sums} does not name ${archive}`);
  await mkdir(toolsDirectory(env), { recursive: true });
  const unfinished = await mkdtemp(path.join(toolsDirectory(env), 'partial-'));
  try {
    const file = path.join(unfinished, 'archive');
    await downloadFile(`${folder}/${archive}`, { file, sha256, report }, env);
    await mkdir(path.join(unfinished, 'program'));
    await takeOut(file, name, path.join(unfinished, 'program', name));
    await moveInto(path.join(unfinished, 'program'), path.dirname(program));
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return program;
}

const fill = (pattern: string, { version, arch }: Release, target: { platform: string; arch: string }): string =>
  pattern
    .replace('{version}', version)
    .replace('{os}', target.platform)
    .replace('{arch}', arch[target.arch] ?? target.arch);

/** Of a list as sha256sum writes it. */
function sumOf(file: string, list: string): string | undefined {
  const lines = list.split('\n').map((line) => line.trim().split(/\s+\*?/));
  return lines.find(([sum, name]) => name === file && /^[0-9a-f]{64}$/.test(sum ?? ''))?.[0];
}

async function takeOut(archive: string, member: string, file: string): Promise<void> {
  const entries = extract();
  const reading = pipeline(createReadStream(archive), createGunzip(), entries);
  // Leaving the loop below destroys the pipeline, which then rejects.
  reading.catch(() => undefined);
  for await (const entry of entries) {
    if (path.posix.basename(entry.header.name) === member && entry.header.type === 'file') {
      await pipeline(entry, createWriteStream(file, { mode: 0o755 }));
      return;
    }
    entry.resume();
  }
  throw missing(`the archive of ${member} does not hold it`);
}

/** Somebody else may have been quicker, with the very same. */
async function moveInto(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
  }
}

const missing = (message: string): BottleError => new BottleError('TOOL_MISSING', message);
