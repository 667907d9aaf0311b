/** One file out of a pinned npm package: downloaded once by npm itself, kept in the cache, verified each time it is used. */
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { execa } from 'execa';
import { extract } from 'tar-stream';
import { BottleError } from '../core/errors.ts';
import { fileDigest } from './file-digest.ts';
import { proxyEnvironment } from './host-proxy-environment.ts';
import type { Arch, PackagePin, PlainPackagePin } from './pins.ts';
import { cacheDirectory } from './tools.ts';

/**
 * The package's tarball on disk, its content as pinned.
 *
 * @param report one line, when there is something to download
 * @returns its absolute path
 * @throws BottleError `IMAGE_BUILD_FAILED` when npm cannot fetch it or its content is not the pinned one
 */
export async function npmTarball(pin: PackagePin, arch: Arch, report: (line: string) => void): Promise<string> {
  const name = pin.package.replace('{arch}', arch);
  const version = pin.version.replace('{arch}', arch);
  return plainTarball(name, { version, integrity: pin.integrity[arch] }, report);
}

/** As {@link npmTarball}, of a package that is the same on every architecture. */
export async function plainTarball(
  name: string,
  { version, integrity }: PlainPackagePin,
  report: (line: string) => void,
): Promise<string> {
  const folder = join(cacheDirectory(), 'downloads');
  const file = join(folder, `${name.replace(/^@/, '').replace('/', '-')}-${version}.tgz`);
  if ((await integrityOf(file)) === integrity) return file;

  report(`downloading ${name}@${version}`);
  await mkdir(folder, { recursive: true });
  const partial = await mkdtemp(join(folder, 'partial-'));
  try {
    const downloaded = await npmPack(`${name}@${version}`, partial);
    if ((await integrityOf(downloaded)) !== integrity) {
      throw new BottleError('IMAGE_BUILD_FAILED', `${name}@${version} is not what images/pins.json says it is`, {
        hint: 'when the version was just changed, change its integrity too; else do not trust the registry that npm uses',
      });
    }
    await rename(downloaded, file);
    return file;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function npmPack(spec: string, folder: string): Promise<string> {
  const npm = await execa('npm', ['pack', spec, '--silent', '--pack-destination', folder], {
    cwd: folder,
    env: await proxyEnvironment(),
    stdin: 'ignore',
    reject: false,
  });
  if (npm.failed) {
    throw new BottleError('IMAGE_BUILD_FAILED', `npm could not fetch ${spec}: ${npm.stderr || npm.shortMessage}`, {
      hint: 'the image needs npm on PATH and the registry that npm is set to',
    });
  }
  return join(folder, npm.stdout.trim());
}

/** Integrity in npm's notation, or undefined when there is no such file. */
async function integrityOf(file: string): Promise<string | undefined> {
  try {
    return `sha512-${(await fileDigest(file, 'sha512')).toString('base64')}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** One file of a tarball. */
export interface Member {
  /** Below the tarball's own folder, which npm calls `package/`. */
  path: string;
  size: number;
  isExecutable: boolean;
  content: AsyncIterable<unknown>;
}

/**
 * Hands one member of a tarball to `use` as a stream, without unpacking anything to disk.
 * @throws BottleError `IMAGE_BUILD_FAILED` when there is none of that path
 */
export async function withMember(
  tarball: string,
  member: string,
  use: (content: AsyncIterable<unknown>, size: number) => Promise<void>,
): Promise<void> {
  for await (const { size, content } of membersOf(tarball, (each) => each === member)) {
    await use(content, size);
    return;
  }
  throw new BottleError('IMAGE_BUILD_FAILED', `${tarball} holds no ${member}`);
}

/** The files of a tarball that are wanted, one after the other; each has to be read to its end before the next. */
export async function* membersOf(tarball: string, isWanted: (path: string) => boolean): AsyncGenerator<Member> {
  const entries = extract();
  const reading = pipeline(createReadStream(tarball), createGunzip(), entries);
  // Leaving the loop below destroys the pipeline, which then rejects: the loop's own outcome is the one that counts.
  reading.catch(() => undefined);
  for await (const entry of entries) {
    const { name, type, size = 0, mode = 0 } = entry.header;
    const path = name.replace(/^[^/]*\//, '');
    if (type === 'file' && isWanted(path)) yield { path, size, isExecutable: (mode & 0o111) !== 0, content: entry };
    else entry.resume();
  }
}
