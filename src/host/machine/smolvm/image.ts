/**
 * What a machine is made from: the guest image as `docker save` writes it, kept once for all bottles, or a `.smolmachine`
 * that a person made.
 */
import { randomUUID } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
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
  /** Where the file is; makes it if need be. */
  file(): Promise<string>;
}

const FOLDER = 'vm-images';
const PARTIAL = '.partial';

/**
 * @param image tag of an image on the Engine, or a `.smolmachine` as smolmachine.ts writes it
 * @param signal breaks the making of the file off
 * @throws BottleError `IMAGE_MISSING`, `DOCKER_ERROR`, `DOCKER_UNREACHABLE`; the signal's reason
 */
export async function imageSource(
  { docker, settings }: { docker: Dockerode; settings: Pick<Settings, 'cache'> },
  image: string,
  signal?: AbortSignal,
): Promise<ImageSource> {
  const packed = smolmachineOf(image);
  if (packed !== undefined) return packedSource(packed);
  const id = await imageId(docker, image);
  return { option: '--image', id, file: () => ensureArchive(docker, settings, image, id, signal) };
}

/** A machine that was made from what the plan means is that one, whatever has become of the file since. */
async function packedSource({ file, digest }: Smolmachine): Promise<ImageSource> {
  const wanted = digest ?? (await smolmachineDigest(file));
  return {
    option: '--from',
    id: wanted,
    file: async () => {
      if ((await smolmachineDigest(file)) === wanted) return file;
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
  { cache }: Pick<Settings, 'cache'>,
  tag: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const folder = path.join(cache, FOLDER);
  const file = path.join(folder, `${id.replace(/^sha256:/, '')}.tar`);
  if (existsSync(file)) return file;
  await mkdir(folder, { recursive: true });
  return withLock(path.join(folder, 'lock'), async () => {
    if (existsSync(file)) return file;
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
    return file;
  });
}

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
