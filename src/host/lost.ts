/**
 * Bottles that this host keeps and whose Temporal server is not the one that is used now: another address or namespace was
 * named, or the embedded server's database is a new one. They go on running, and nobody but a person decides about them.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { bottlePath, removeBottleState } from './bottle-state.ts';
import type { MachineHost } from './machine/drivers.ts';
import { objectsByLaunch, removeLaunch } from './reap.ts';
import type { Settings } from './settings.ts';
import { namespaceOf, type StateOwner, serverText, stateOwners } from './state-owner.ts';

export interface LostBottle {
  id: string;
  /** Absent where an earlier version of bottle did not note it. */
  owner?: string;
  run?: string;
  /** Whose it is, in words. */
  server: string;
  /** Whether its server's database is there: `unknown` for a server elsewhere, which may well go on. */
  database: 'there' | 'gone' | 'unknown';
  /** What brings it back, where something may. */
  hint?: string;
  /** Names of Docker's objects and of smolvm's machine, and the state directory. */
  objects: string[];
}

/** @throws BottleError `DOCKER_UNREACHABLE`, `DRIVER_UNAVAILABLE` */
export async function findLost(host: MachineHost): Promise<LostBottle[]> {
  const states = [...(await stateOwners(host.settings))].filter(([, state]) => state?.owner !== host.owner);
  if (states.length === 0) return [];
  const owners = new Set(states.flatMap(([, state]) => (state === undefined ? [] : [state.owner])));
  const objects = new Map<string, string[]>();
  for (const owner of new Set([...owners, host.owner])) {
    for (const launch of await objectsByLaunch({ ...host, owner }))
      objects.set(`${owner} ${launch.id} ${launch.run}`, launch.objects);
  }
  const versions = embeddedDatabases(host.settings, owners);
  return states.flatMap(([id, state]): LostBottle[] => {
    const directory = bottlePath(host.settings, id);
    if (state !== undefined) {
      const found = objects.get(`${state.owner} ${id} ${state.run}`) ?? [directory];
      return [{ id, owner: state.owner, run: state.run, ...whereabouts(state, versions), objects: found }];
    }
    // One that an earlier version has made, and that is ours by its objects: the next reaping notes it.
    if ([...objects.keys()].some((key) => key.startsWith(`${host.owner} ${id} `))) return [];
    return [{ id, server: 'a Temporal server that nobody noted', database: 'unknown', objects: [directory] }];
  });
}

/** Removes all that is left of a lost bottle: of that very launch, whoever uses its id now. @throws as {@link findLost} */
export async function removeLost(host: MachineHost, { id, owner, run }: LostBottle): Promise<void> {
  if (owner === undefined || run === undefined) await removeBottleState(host.settings, id);
  else await removeLaunch({ ...host, owner }, { id, run });
}

function whereabouts(
  state: StateOwner,
  versions: ReadonlyMap<string, string>,
): Pick<LostBottle, 'server' | 'database' | 'hint'> {
  if (state.server?.kind !== 'embedded') {
    const at = state.server === undefined ? '' : `TEMPORAL_ADDRESS=${state.server.address} `;
    return {
      server: serverText(state),
      database: 'unknown',
      hint: `with its settings again: ${at}bottle serve --restart`,
    };
  }
  const version = versions.get(clusterOf(state.owner));
  if (version === undefined) return { server: `an embedded server whose database is gone`, database: 'gone' };
  return {
    server: `the embedded server ${version}, namespace ${namespaceOf(state.owner)}`,
    database: 'there',
    hint: `bottle serve --stop, then bottle serve --detach without TEMPORAL_ADDRESS and with the Temporal CLI of server ${version}`,
  };
}

const clusterOf = (owner: string): string => owner.slice(0, owner.indexOf('/'));

/** Cluster id to server version, of the embedded server's databases that are still there. */
function embeddedDatabases({ state }: Pick<Settings, 'state'>, owners: ReadonlySet<string>): Map<string, string> {
  const folder = path.join(state, 'temporal');
  const found = new Map<string, string>();
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const version = /^(\d+\.\d+)\.db$/.exec(name)?.[1];
    if (version === undefined) continue;
    const metadata = clusterMetadata(path.join(folder, name));
    for (const owner of owners) if (metadata.includes(clusterOf(owner))) found.set(clusterOf(owner), version);
  }
  return found;
}

/** What the server keeps of its cluster, its id among it; empty when the file cannot be read. */
function clusterMetadata(file: string): Buffer {
  try {
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      const rows = database.prepare('SELECT data FROM cluster_metadata_info').all() as { data: Uint8Array }[];
      return Buffer.concat(rows.map(({ data }) => data));
    } finally {
      database.close();
    }
  } catch {
    return Buffer.alloc(0);
  }
}
