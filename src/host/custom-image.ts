/** A guest image of the person's own: a Dockerfile on top of ours, built once for each content. */
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type Dockerode from 'dockerode';
import { BottleError } from '../core/errors.ts';
import { buildImage } from './image-build.ts';
import { imageExists } from './images.ts';

const LARGEST_CONTEXT = 64 * 1024 ** 2;
const MOST_FILES = 5000;

/**
 * What a Dockerfile makes, by the content of it and of everything beside it.
 * @param dockerfile absolute path; the folder it lies in is the build's context
 * @returns 12 hex digits
 * @throws BottleError `MANIFEST_INVALID` when it is not there, or its folder is more than a build may send
 */
export async function contextDigest(dockerfile: string): Promise<string> {
  const hash = createHash('sha256').update(`${path.basename(dockerfile)}\n`);
  for (const { name, content, mode } of await contextOf(dockerfile)) {
    hash.update(`${name}\0${mode & 0o111 ? 'x' : '-'}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex').slice(0, 12);
}

/** The tag of that image on top of ours. */
export function customImageTag(digest: string, base: string): string {
  return `bottleworks/custom:${createHash('sha256').update(`${base}\n${digest}`).digest('hex').slice(0, 12)}`;
}

/**
 * Builds it unless it is there.
 * @param base tag of our image, which is there
 * @throws BottleError `IMAGE_BUILD_FAILED` with the build's last words
 */
export async function ensureCustomImage(
  docker: Dockerode,
  { dockerfile, tag, base }: { dockerfile: string; tag: string; base: string },
  { report, force = false }: { report: (line: string) => void; force?: boolean },
): Promise<void> {
  if (!force && (await imageExists(docker, tag))) return;
  report(`image of ${dockerfile}: building`);
  const context = await contextOf(dockerfile);
  await buildImage(docker, {
    kind: 'custom',
    tag,
    files: context,
    buildargs: { BASE: base },
    dockerfile: path.basename(dockerfile),
  });
}

interface ContextEntry {
  name: string;
  mode: number;
  content: Buffer;
}

/** Every file of the Dockerfile's folder, in the order of names. Links are left out: they could lead anywhere. */
async function contextOf(dockerfile: string): Promise<ContextEntry[]> {
  const invalid = (what: string, hint?: string): BottleError =>
    new BottleError('MANIFEST_INVALID', `${dockerfile}: ${what}`, { hint });
  const found = await lstat(dockerfile).catch(() => undefined);
  if (found?.isSymbolicLink() === true)
    throw invalid('is a link', 'name the file itself: what is beside it goes along');
  if (found?.isFile() !== true)
    throw invalid('there is no such Dockerfile', 'its path is relative to the file that names it');
  const root = path.dirname(dockerfile);
  const files: ContextEntry[] = [];
  let bytes = 0;
  const walk = async (below: string): Promise<void> => {
    const entries = await readdir(path.join(root, below), { withFileTypes: true });
    for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
      const name = path.posix.join(below, entry.name);
      if (entry.isDirectory()) {
        if (entry.name !== '.git') await walk(name);
        continue;
      }
      if (!entry.isFile()) continue;
      const { size, mode } = await stat(path.join(root, name));
      bytes += size;
      if (bytes > LARGEST_CONTEXT || files.length >= MOST_FILES) {
        const limit = `${LARGEST_CONTEXT / 1024 ** 2} MiB and ${MOST_FILES} files`;
        throw invalid(`its folder has more than ${limit}`, 'put it in a folder of its own');
      }
      files.push({ name, mode: mode & 0o777, content: await readFile(path.join(root, name)) });
    }
  };
  await walk('');
  return files;
}
