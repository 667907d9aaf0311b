/** What this host has to give to bottles, and how much of it is free now. */
import { statfs } from 'node:fs/promises';
import os from 'node:os';
import type Dockerode from 'dockerode';
import type { HostSize } from '../core/capacity.ts';
import { LABEL } from '../core/names.ts';
import { type DockerHost, engine, labelFilter } from './docker.ts';

const MIB = 1024 ** 2;

/** The part of the Engine's `/info` that is read here. */
export interface EngineSize {
  readonly cores: number;
  readonly memoryMiB: number;
  /** Whether containers use this computer's own memory and disk, and not another's, or a virtual machine's. */
  readonly isHere: boolean;
  /** Where it keeps containers, as seen from the Engine. */
  readonly root: string;
}

const kept = new WeakMap<Dockerode, Promise<EngineSize>>();

/**
 * Asked once for a connection.
 * @throws BottleError `DOCKER_UNREACHABLE`
 */
export function engineSize(docker: Dockerode): Promise<EngineSize> {
  const known = kept.get(docker);
  if (known !== undefined) return known;
  const asked = askSize(docker);
  kept.set(docker, asked);
  asked.catch(() => kept.delete(docker));
  return asked;
}

async function askSize(docker: Dockerode): Promise<EngineSize> {
  const info = (await engine('ask for its size', () => docker.info())) as {
    NCPU: number;
    MemTotal: number;
    KernelVersion: string;
    DockerRootDir: string;
  };
  return {
    cores: info.NCPU,
    memoryMiB: info.MemTotal / MIB,
    isHere: process.platform === 'linux' && info.KernelVersion === os.release() && info.MemTotal === os.totalmem(),
    root: info.DockerRootDir,
  };
}

export const sizeOf = ({ cores, memoryMiB }: EngineSize): HostSize => ({ cores, memoryMiB });

/** In MiB. Null where the Engine's memory is not this computer's: nobody tells how much of that is free. */
export const freeMemoryMiB = ({ isHere }: EngineSize): number | null => (isHere ? os.freemem() / MIB : null);

/** In MiB, of the disk that containers are written to. Null where the Engine's disk is not this computer's. */
export const freeDiskMiB = async ({ isHere, root }: EngineSize): Promise<number | null> =>
  isHere ? freeAt(root) : null;

/** In MiB, of the disk that a folder is on. Null where that cannot be looked at. */
export async function freeAt(folder: string): Promise<number | null> {
  const found = await statfs(folder).catch(() => undefined);
  return found === undefined ? null : (found.bavail * found.bsize) / MIB;
}

/**
 * Ids of this owner's bottles of which the Engine has a container, whether or not it runs.
 * @throws BottleError `DOCKER_UNREACHABLE`, `DOCKER_ERROR`
 */
export async function bottlesThere(host: DockerHost): Promise<string[]> {
  const filters = labelFilter(host);
  const found = await engine('list containers', () => host.docker.listContainers({ all: true, filters }));
  return [...new Set(found.flatMap(({ Labels }) => Labels[LABEL.bottle] ?? []))];
}
