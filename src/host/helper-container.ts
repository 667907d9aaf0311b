/**
 * Containers that belong to no bottle and last for a moment, such as the one that a program is copied out of. Whoever makes one
 * removes it; what a killed process has left is found by its labels.
 */
import { createHash } from 'node:crypto';
import os from 'node:os';
import { resolve } from 'node:path';
import type Dockerode from 'dockerode';
import { LABEL } from '../core/names.ts';
import { removeContainer } from './container.ts';
import { type Settings, settings } from './settings.ts';

/** What one is for. */
export type HelperStep = 'image.copy' | 'way-out.try';

type InstallationOf = Pick<Settings, 'state'>;

/** No work of theirs takes as long. */
const STALE_SECONDS = 3600;

/** They are made without any Temporal server, so they belong to the state of the installation that makes them. */
const helperOwner = ({ state }: InstallationOf): string =>
  `build/${createHash('sha256')
    .update(`${os.hostname()}:${resolve(state)}`)
    .digest('hex')
    .slice(0, 12)}`;

/** Makes one, not started, with the labels by which it is found when this process dies. */
export const createHelper = (
  docker: Dockerode,
  step: HelperStep,
  spec: Dockerode.ContainerCreateOptions,
  installation: InstallationOf = settings(),
): Promise<Dockerode.Container> =>
  docker.createContainer({ ...spec, Labels: { [LABEL.step]: step, [LABEL.owner]: helperOwner(installation) } });

/** Removes what killed processes of this installation have left: those that were started end by themselves. */
export async function removeStaleHelpers(
  docker: Dockerode,
  installation: InstallationOf,
  now = Date.now(),
): Promise<void> {
  const filters = { label: [`${LABEL.owner}=${helperOwner(installation)}`], status: ['created'] };
  for (const { Id, Created } of await docker.listContainers({ all: true, filters })) {
    if (now / 1000 - Created > STALE_SECONDS) await removeContainer(docker.getContainer(Id));
  }
}
