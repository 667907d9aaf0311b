/** The names of contract.md in one place: ids, Docker objects, labels, queues. Pure string functions. */
import { BottleError } from './errors.ts';

const BOTTLE_ID = /^[a-z0-9](-?[a-z0-9])*$/;
const MAX_ID_LENGTH = 40;

/** Whether `id` may name a bottle: `[a-z0-9](-?[a-z0-9])*`, at most 40 characters. */
export function isBottleId(id: string): boolean {
  return id.length <= MAX_ID_LENGTH && BOTTLE_ID.test(id);
}

/** @throws BottleError `INVALID_ID` when {@link isBottleId} says no */
export function assertBottleId(id: string): void {
  if (isBottleId(id)) return;
  throw new BottleError('INVALID_ID', `"${id.slice(0, 60)}" is not a bottle id`, {
    hint: 'lower-case letters, digits and single dashes between them, at most 40 characters',
  });
}

/** The n-th id to try for an agent: `researcher`, `researcher-2`, ... changed as little as makes it a valid id. */
export function candidateId(agent: string, n: number): string {
  const suffix = n === 1 ? '' : `-${n}`;
  return (
    agent
      .replace(/-+/g, '-')
      .slice(0, MAX_ID_LENGTH - suffix.length)
      .replace(/-$/, '') + suffix
  );
}

/** The bottle's own name on the host: its network's, and its machine's whatever the driver calls it. */
export const bottleName = (id: string): string => `bottle-${id}`;
export const networkName = bottleName;
/** Whose a network is by its name; undefined for one that no bottle's is called like. */
export function bottleOfNetwork(network: string): string | undefined {
  const id = network.startsWith(networkName('')) ? network.slice(networkName('').length) : '';
  return isBottleId(id) ? id : undefined;
}
export const bundleName = (id: string): string => `bottle-${id}-bundle`;
export const machineName = (id: string): string => `bottle-${id}-machine`;

/** What a machine on that network calls itself: a container by its bottle's id, a microVM by the machine's name. */
export function ownNames(network: string): string[] {
  const id = network.slice(networkName('').length);
  return [id, machineName(id)];
}

/** The task queue of a host: workflow and activities share it, so activities can be dispatched eagerly. */
export const taskQueueOf = (host: string): string => `bottle@${host}`;

/** Where a host's worker takes what only waits, beside its task queue: that has room for all, and takes none from a step. */
export const waitingQueueOf = (taskQueue: string): string => `${taskQueue}/waiting`;

export const LABEL = {
  bottle: 'bottleworks.bottle',
  run: 'bottleworks.run',
  owner: 'bottleworks.owner',
  step: 'bottleworks.step',
  spec: 'bottleworks.spec',
  /** On microVMs: where their bundle is, as they see it. */
  bundle: 'bottleworks.bundle',
} as const;
