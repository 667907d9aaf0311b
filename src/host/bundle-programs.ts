/**
 * The programs from outside that run inside the bundle: where their Linux binaries are found. `BOTTLE_TOOLS` (a folder),
 * PATH, what this installation chose before, and at an image build an image that holds it. Without pipelock the allow-list
 * proxy takes its place; without gitleaks there is no push gate.
 *
 * The cache is shared by installations, the choice is not: a program lies there under the hash of its content, and which
 * one this installation runs stands in its own state. So nobody's image build changes what another one launches.
 */
import { createHash, randomUUID } from 'node:crypto';
import { constants, copyFile, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type Dockerode from 'dockerode';
import { extract } from 'tar-stream';
import { fileDigest } from './file-digest.ts';
import { createHelper } from './helper-container.ts';
import { obtainImage } from './image-progress.ts';
import { type Arch, readPins } from './pins.ts';
import { writePrivate } from './private-file.ts';
import { settings, stateDirectory } from './settings.ts';
import { cacheDirectory, toolsDirectory } from './tools.ts';

export const BUNDLE_PROGRAMS = ['pipelock', 'gitleaks'] as const;
export type BundleProgram = (typeof BUNDLE_PROGRAMS)[number];

export interface FoundProgram {
  /** Absolute path on the host. */
  path: string;
  source: 'BOTTLE_TOOLS' | 'PATH' | 'chosen' | 'cache';
  /** 12 hex digits that change with the program. */
  digest: string;
}

/** Where to look when it is not found, for people. */
export const PROGRAM_HINTS: Readonly<Record<BundleProgram, string>> = {
  pipelock:
    'put a linux build of pipelock into a folder and name that in BOTTLE_TOOLS, or name an image that holds it in BOTTLE_PIPELOCK_IMAGE; then bottle image build',
  gitleaks: 'put a linux build of gitleaks on PATH or into the folder BOTTLE_TOOLS names, then bottle image build',
};

/** @returns undefined when there is none for the Engine's architecture; nothing is fetched */
export async function findProgram(
  name: BundleProgram,
  arch: Arch = process.arch as Arch,
  env: NodeJS.ProcessEnv = process.env,
): Promise<FoundProgram | undefined> {
  const path = (env['PATH'] ?? '').split(delimiter).filter((part) => part.startsWith('/'));
  const { version } = (await readPins()).programs[name];
  const chosen = (await choices(env))[choiceKey(name, arch)];
  const places: [FoundProgram['source'], string][] = [
    ...(env['BOTTLE_TOOLS'] ? [['BOTTLE_TOOLS', resolve(env['BOTTLE_TOOLS'], name)] as const] : []),
    ...path.map((folder) => ['PATH', join(folder, name)] as const),
    ...(chosen === undefined ? [] : [['chosen', kept(name, chosen, env)] as const]),
    // Of one version, so the same for everybody. A scanner is there for who has chosen it, and for nobody else.
    ...(name === 'gitleaks' ? [['cache', join(toolsDirectory(env), `${name}-${version}`, name)] as const] : []),
  ].map((place) => place as [FoundProgram['source'], string]);
  for (const [source, file] of places) {
    const digest = await digestOf(file, arch);
    if (digest !== undefined) return { path: file, source, digest };
  }
  return undefined;
}

/**
 * Like {@link findProgram}, but fetches it from an image where one is known, and keeps what it found in the cache: the
 * worker finds the same then, whatever environment it was started with.
 */
export async function obtainProgram(
  docker: Dockerode,
  name: BundleProgram,
  arch: Arch,
  report: (line: string) => void,
): Promise<FoundProgram | undefined> {
  const found = await findProgram(name, arch);
  if (found !== undefined) {
    report(`${name}: ${found.path} (${found.source})`);
    if (found.source !== 'cache' && found.source !== 'chosen') await chooseProgram(name, arch, found.path);
    return found;
  }
  const { image: pinned, member } = (await readPins()).programs[name];
  const image = process.env[`BOTTLE_${name.toUpperCase()}_IMAGE`] ?? pinned;
  if (image !== undefined && (await obtainImage(docker, image)) === undefined) {
    await keep(name, arch, (file) => copyOut(docker, image, member, file));
    report(`${name}: out of the image ${image}`);
    return findProgram(name, arch);
  }
  report(`${name}: not found. ${PROGRAM_HINTS[name]}`);
  return undefined;
}

/** Keeps a copy of this program, and has this installation run it from now on, whatever environment its worker has. */
export async function chooseProgram(
  name: BundleProgram,
  arch: Arch,
  file: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  await keep(name, arch, (copy) => copyFile(file, copy, constants.COPYFILE_FICLONE), env);
}

const kept = (name: BundleProgram, sha256: string, env: NodeJS.ProcessEnv): string =>
  join(cacheDirectory(env), 'programs', sha256, name);

async function keep(
  name: BundleProgram,
  arch: Arch,
  make: (temporary: string) => Promise<void>,
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const folder = join(cacheDirectory(env), 'programs');
  await mkdir(folder, { recursive: true });
  const temporary = join(folder, randomUUID());
  try {
    await make(temporary);
    const sha256 = (await fileDigest(temporary)).toString('hex');
    const file = kept(name, sha256, env);
    await mkdir(join(folder, sha256), { recursive: true });
    await rename(temporary, file);
    await choose(choiceKey(name, arch), sha256, env);
  } finally {
    await rm(temporary, { force: true });
  }
}

const CHOICES = 'programs.json';
const choiceKey = (name: BundleProgram, arch: Arch): string => `${name}-linux-${arch}`;

/** Which program this installation runs, by the sha256 of its content. */
async function choices(env: NodeJS.ProcessEnv): Promise<Record<string, string>> {
  try {
    return JSON.parse(await readFile(join(settings(env).state, CHOICES), 'utf8')) as Record<string, string>;
  } catch {
    return {};
  }
}

async function choose(key: string, sha256: string, env: NodeJS.ProcessEnv): Promise<void> {
  const file = join(stateDirectory(settings(env)), CHOICES);
  await writePrivate(file, `${JSON.stringify({ ...(await choices(env)), [key]: sha256 })}\n`);
}

async function copyOut(docker: Dockerode, image: string, member: string, file: string): Promise<void> {
  const container = await createHelper(docker, 'image.copy', { Image: image, Cmd: ['none'] });
  try {
    const entries = extract();
    ((await container.getArchive({ path: member })) as Readable).pipe(entries);
    for await (const entry of entries) {
      const handle = await open(file, 'w', 0o755);
      await handle.writeFile(await buffer(entry)).finally(() => handle.close());
    }
  } finally {
    await container.remove({ force: true });
  }
}

const ELF_MACHINE: Readonly<Record<Arch, number>> = { x64: 0x3e, arm64: 0xb7 };
const HEAD_BYTES = 64 * 1024;

/**
 * Of the first pages only: what the Go linker puts there holds a hash of all that went into the program.
 * @returns undefined for what is no Linux program of that architecture
 */
async function digestOf(file: string, arch: Arch): Promise<string | undefined> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const { size } = await stat(file);
    const { buffer: head, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const isElf = bytesRead >= 20 && head.readUInt32BE(0) === 0x7f454c46 && head.readUInt16LE(18) === ELF_MACHINE[arch];
    if (!isElf) return undefined;
    return createHash('sha256').update(`${size}:`).update(head.subarray(0, bytesRead)).digest('hex').slice(0, 12);
  } catch {
    return undefined;
  } finally {
    await handle.close();
  }
}
