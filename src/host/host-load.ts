/** What this host has to give to bottles, and how much of it is free now. */
import { existsSync } from 'node:fs';
import os from 'node:os';
import type Dockerode from 'dockerode';
import { LABEL } from '../core/names.ts';
import { roomAt } from './disk.ts';
import { type DockerHost, engine } from './docker.ts';
import { type EngineSize, engineFacts } from './engine-facts.ts';
import { bottlesHere } from './host-pin.ts';
import type { Settings } from './settings.ts';
import { readStateOwner } from './state-owner.ts';

const MIB = 1024 ** 2;

/**
 * Asked once for a connection.
 * @throws BottleError `DOCKER_UNREACHABLE`
 */
export const engineSize = async (docker: Dockerode): Promise<EngineSize> =>
  (await engine('ask for its size', () => engineFacts(docker))).size;

/** In MiB. Null where the Engine's memory is not this computer's: nobody tells how much of that is free. */
export const freeMemoryMiB = ({ isHere }: EngineSize): number | null => (isHere ? os.freemem() / MIB : null);

/** In MiB, of the disk that containers are written to. Null where the Engine's disk is not this computer's. */
export const freeDiskMiB = ({ isHere, root }: EngineSize): number | null => (isHere ? freeAt(root) : null);

/** In MiB, of the disk that a folder is on. Null where that cannot be looked at: a folder of the Engine's need not be here. */
export function freeAt(folder: string): number | null {
  const room = existsSync(folder) ? roomAt(folder) : undefined;
  return room === undefined ? null : room.free / MIB;
}

/**
 * Ids of this owner's bottles of which the Engine has a container, whether or not it runs.
 * @throws BottleError `DOCKER_UNREACHABLE`, `DOCKER_ERROR`
 */
export async function bottlesThere(host: DockerHost & { settings: Pick<Settings, 'state'> }): Promise<string[]> {
  const filters = { label: [LABEL.bottle] };
  const found = await engine('list containers', () => host.docker.listContainers({ all: true, filters }));
  const ids = (isOurs: boolean): string[] => [
    ...new Set(
      found
        .filter(({ Labels }) => (Labels[LABEL.owner] === host.owner) === isOurs)
        .flatMap(({ Labels }) => Labels[LABEL.bottle] ?? []),
    ),
  ];
  const here = bottlesHere(host.settings);
  const owners = await Promise.all(
    ids(false)
      .filter((id) => here.includes(id))
      .map(async (id) => ((await readStateOwner(host.settings, id))?.owner === host.owner ? [id] : [])),
  );
  return [...new Set([...ids(true), ...owners.flat()])];
}
