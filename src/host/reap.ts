/**
 * Removes what no open launch owns: a terminated workflow runs no code, so its compensations never run.
 * It never guesses: only this owner's labels, only when Temporal itself says that the launch is closed or unknown,
 * asked again right before each removal. A question that fails ends the whole run with nothing more removed.
 * (Model: testcontainers' reaper for the labels, gondolin's gc for the caution.)
 */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { isBottleId, LABEL, machineName } from '../core/names.ts';
import { removeBottleState } from './bottle-state.ts';
import { removeBundle } from './bundle.ts';
import { removeContainers } from './container.ts';
import { engine, labelFilter } from './docker.ts';
import { bottlesInSmolvm, type MachineHost, removeFromSmolvm } from './machine/drivers.ts';
import { removeNetwork } from './network.ts';

/** What is left of one bottle that nobody owns any more. */
export interface Leftover {
  id: string;
  /** Names of Docker's objects and of smolvm's machine, and the state directory if there is one. */
  objects: string[];
}

interface Place {
  host: MachineHost;
  client: Client;
}

/**
 * @returns what {@link reap} would remove
 * @throws BottleError `DOCKER_UNREACHABLE`, `DRIVER_UNAVAILABLE`; whatever the Temporal client throws when it cannot tell
 */
export async function findLeftovers(place: Place): Promise<Leftover[]> {
  const found = await ownObjects(place);
  const leftovers: Leftover[] = [];
  for (const [id, objects] of found) {
    if (!(await isOpen(place.client, id))) leftovers.push({ id, objects: [...objects].sort() });
  }
  return leftovers;
}

/** Removes every leftover and returns what it removed. */
export async function reap(place: Place): Promise<Leftover[]> {
  const leftovers = await findLeftovers(place);
  const removed: Leftover[] = [];
  for (const leftover of leftovers) {
    // A launch of that id may have started while the others were removed.
    if (await isOpen(place.client, leftover.id)) continue;
    await removeFromSmolvm(place.host, leftover.id);
    // First of its containers: what it said is kept.
    await removeBundle(place.host, leftover.id);
    await removeContainers(place.host, labelFilter(place.host, leftover.id));
    await removeNetwork(place.host, leftover.id);
    await removeBottleState(place.host.settings, leftover.id);
    removed.push(leftover);
  }
  return removed;
}

async function ownObjects({ host }: Place): Promise<Map<string, Set<string>>> {
  const filters = labelFilter(host);
  const [containers, networks, inSmolvm] = await Promise.all([
    engine('list containers', () => host.docker.listContainers({ all: true, filters })),
    engine('list networks', () => host.docker.listNetworks({ filters })),
    bottlesInSmolvm(host),
  ]);
  const found = new Map<string, Set<string>>();
  const note = (id: string | undefined, name: string): void => {
    if (id === undefined || !isBottleId(id)) return;
    found.set(id, (found.get(id) ?? new Set()).add(name));
  };
  for (const { Labels, Names } of containers) note(Labels[LABEL.bottle], (Names[0] ?? '').replace(/^\//, ''));
  for (const { Labels, Name } of networks) note(Labels?.[LABEL.bottle], Name);
  for (const id of inSmolvm) note(id, machineName(id));
  const states = path.join(host.settings.state, 'bottles');
  for (const id of await readdir(states).catch(() => [])) note(id, path.join(states, id));
  return found;
}

/** Whether Temporal has an open launch of that id. Only "unknown" counts as no; any other failure is thrown. */
async function isOpen(client: Client, id: string): Promise<boolean> {
  try {
    return (await client.workflow.getHandle(id).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
