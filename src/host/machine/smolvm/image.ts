/**
 * What a machine is made from: the guest image as `docker save` writes it, kept once for all bottles, or a `.smolmachine`
 * that a person made.
 */
import { randomUUID } from 'node:crypto';
import { createWriteStream, statSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type Dockerode from 'dockerode';
import { BottleError } from '../../../core/errors.ts';
import { type Smolmachine, smolmachineOf } from '../../../core/smolmachine.ts';
import { engine, statusOf } from '../../docker.ts';
import { withLock } from '../../file-lock.ts';
import type { Settings } from '../../settings.ts';
import { smolmachineDigest } from '../../smolmachine.ts';

export interface ImageSource {
  option: '--image' | '--from';
  /** Changes with what is in it. */
  id: string;
  /**
   * Gives the file, made if need be, to `act`, and keeps it from being pruned until that is done.
   * @param made runs when it has just been made
   */
  use<T>(act: (file: string) => Promise<T>, made?: () => Promise<void>): Promise<T>;
}

type Cache = Pick<Settings, 'cache'>;

/** Ends the name of a file that is being written. */
export const PARTIAL = '.partial';

/** Where the archives are, for all installations with that cache. */
export const archiveFolder = ({ cache }: Cache): string => path.join(cache, 'vm-images');

/** Held by whoever writes into the folder. */
export const writeLock = (settings: Cache): string => path.join(archiveFolder(settings), 'lock');

/** Shared by those who have a machine made from an archive; held alone by whoever removes archives. */
export const inUseLock = (settings: Cache): string => path.join(archiveFolder(settings), 'in-use.lock');

const archiveName = (id: string): string => `${id.replace(/^sha256:/, '')}.tar`;

/** The image that an archive is of; undefined for other files of the folder. */
export function archivedImage(name: string): string | undefined {
  const [, hex] = /^([0-9a-f]{64})\.tar$/.exec(name) ?? [];
  return hex === undefined ? undefined : `sha256:${hex}`;
}

/**
 * @param image tag of an image on the Engine, or a `.smolmachine` as smolmachine.ts writes it
 * @param signal breaks the making of the file off
 * @throws BottleError `IMAGE_MISSING`, `DOCKER_ERROR`, `DOCKER_UNREACHABLE`; the signal's reason
 */
export async function imageSource(
  { docker, settings }: { docker: Dockerode; settings: Cache },
  image: string,
  signal?: AbortSignal,
): Promise<ImageSource> {
  const packed = smolmachineOf(image);
  if (packed !== undefined) return packedSource(packed);
  const id = await imageId(docker, image);
  return {
    option: '--image',
    id,
    use: async (act, made) => {
      for (;;) {
        const file = await ensureArchive(docker, settings, image, id, made, signal);
        const use = async () => (isWhole(file) ? { result: await act(file) } : undefined);
        const used = await withLock(inUseLock(settings), use, 'shared');
        // Pruned before the lock was ours, so the Engine has lost the image; if it has it again, there is another archive.
        if (used !== undefined) return used.result;
      }
    },
  };
}

/** A machine that was made from what the plan means is that one, whatever has become of the file since. */
async function packedSource({ file, digest }: Smolmachine): Promise<ImageSource> {
  const wanted = digest ?? (await smolmachineDigest(file));
  return {
    option: '--from',
    id: wanted,
    use: async (act) => {
      if ((await smolmachineDigest(file)) === wanted) return act(file);
      throw new BottleError('IMAGE_MISSING', `the packed machine ${file} is another than when the launch was planned`, {
        hint: 'put the old one back; or bottle retry, which takes the new one where no machine was made from the old',
      });
    },
  };
}

/**
 * The image of that id as an archive, made when it is missing. It is never written a second time: smolvm keeps a hard link
 * to it and would find other bytes than it hashed.
 */
async function ensureArchive(
  docker: Dockerode,
  settings: Cache,
  tag: string,
  id: string,
  made: (() => Promise<void>) | undefined,
  signal: AbortSignal | undefined,
): Promise<string> {
  const folder = archiveFolder(settings);
  const file = path.join(folder, archiveName(id));
  if (isWhole(file)) return file;
  await mkdir(folder, { recursive: true });
  return withLock(writeLock(settings), async () => {
    if (isWhole(file)) return file;
    await removePartial(folder);
    const partial = path.join(folder, `${randomUUID()}${PARTIAL}`);
    try {
      await save(docker, tag, partial, signal);
      // Under the tag there may be another image by now, and it is saved by its tag to carry its name.
      if ((await imageId(docker, tag)) !== id) {
        throw new BottleError('IMAGE_MISSING', `the image ${tag} was built anew just now`, { retryable: true });
      }
      await rename(partial, file);
    } finally {
      await rm(partial, { force: true });
    }
    await made?.();
    return file;
  });
}

/** One that is empty was spoilt by a smolvm whose creates ran at once. */
const isWhole = (file: string): boolean => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0;

async function save(docker: Dockerode, tag: string, file: string, signal: AbortSignal | undefined): Promise<void> {
  const archive = await engine(`save the image ${tag}`, () => docker.getImage(tag).get());
  await pipeline(archive, createWriteStream(file, { mode: 0o600 }), ...(signal === undefined ? [] : [{ signal }]));
  // A name that outlives a power cut must not lead to half of it.
  const written = await open(file, 'r');
  await written.sync().finally(() => written.close());
}

/** Nobody writes any of them: we hold the lock. */
async function removePartial(folder: string): Promise<void> {
  const left = (await readdir(folder)).filter((name) => name.endsWith(PARTIAL));
  await Promise.all(left.map((name) => rm(path.join(folder, name), { force: true })));
}

async function imageId(docker: Dockerode, tag: string): Promise<string> {
  return engine(`inspect image ${tag}`, async () => {
    try {
      return (await docker.getImage(tag).inspect()).Id;
    } catch (error) {
      if (statusOf(error) !== 404) throw error;
      throw new BottleError('IMAGE_MISSING', `the image ${tag} is not on this host`, { hint: 'bottle image build' });
    }
  });
}
