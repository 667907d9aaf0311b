/**
 * Removes what no open launch owns: a terminated workflow runs no code, so its compensations never run.
 * It never guesses: only what says that it is this owner's (labels, the state's own file), only when Temporal itself says
 * that its launch is closed or unknown, asked again right before each removal, and by run: a launch of the same id that
 * begins meanwhile loses nothing. A question that fails ends the whole run with nothing more removed.
 * (Model: testcontainers' reaper for the labels, gondolin's gc for the caution.)
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { isBottleId, LABEL, machineName } from '../core/names.ts';
import type { LaunchMemo } from '../core/status.ts';
import type { Maker } from '../core/step-io.ts';
import { staleAnswers } from './answers-aside.ts';
import { removeBundle } from './bundle.ts';
import { removeContainers } from './container.ts';
import { engine, labelFilter } from './docker.ts';
import { removeStaleHelpers } from './helper-container.ts';
import { bottlesInSmolvm, type MachineHost, removeFromSmolvm } from './machine/drivers.ts';
import { removeNetwork } from './network.ts';
import {
  claimState,
  isLaunch,
  isSuperseded,
  makerOf,
  readStateOwner,
  releaseState,
  type StateOwner,
  stateOwners,
} from './state-owner.ts';

/** What is left of one launch that nobody owns any more. */
export interface Leftover {
  id: string;
  /** Its first run id. */
  run: string;
  /** Names of Docker's objects and of smolvm's machine, and the state directory if there is one. */
  objects: string[];
}

export interface ReapPlace {
  host: MachineHost;
  client: Client;
}

/**
 * @returns what {@link reap} would remove
 * @throws BottleError `DOCKER_UNREACHABLE`, `DRIVER_UNAVAILABLE`; whatever the Temporal client throws when it cannot tell
 */
export async function findLeftovers(place: ReapPlace): Promise<Leftover[]> {
  const leftovers: Leftover[] = [];
  for (const each of await ownObjects(place)) {
    if ((await openRun(place.client, each.id)) !== each.run) leftovers.push(each);
  }
  return leftovers;
}

/** Removes every leftover and returns what it removed. */
export async function reap(place: ReapPlace): Promise<Leftover[]> {
  await engine('remove what builds left', () => removeStaleHelpers(place.host.docker, place.host.settings));
  const removed: Leftover[] = [];
  for (const leftover of await findLeftovers(place)) {
    // A launch can be taken up again (`temporal workflow reset`) while the others were removed.
    if ((await openRun(place.client, leftover.id)) === leftover.run) continue;
    await removeLaunch(place.host, leftover);
    removed.push(leftover);
  }
  return removed;
}

/** Removes all that one launch of this owner has made on this host, and nothing of another launch of the same id. */
export async function removeLaunch(host: MachineHost, { id, run }: Pick<Leftover, 'id' | 'run'>): Promise<void> {
  const launch = { owner: host.owner, run };
  const state = await readStateOwner(host.settings, id);
  if (isSuperseded(state, launch)) return;
  await removeMadeBy(host, id, state !== undefined && isLaunch(state, launch) ? makerOf(state) : launch);
  await releaseState(host.settings, id, launch);
}

/** Removes all of a bottle that bears the name of that launch, and nothing else. */
export async function removeMadeBy(host: MachineHost, id: string, { owner, run }: Maker): Promise<void> {
  const maker = { ...host, owner };
  await removeFromSmolvm(maker, id, run);
  // First of its containers: what it said is kept.
  await removeBundle(maker, id, run);
  await removeContainers(maker, labelFilter(maker, id, { run }));
  await removeNetwork(maker, id, run);
}

/**
 * Answers that a killed `bottle up` or a terminated launch left.
 * @param remove whether they go, or are only told of
 * @returns their files
 */
export async function reapAnswers({ host, client }: ReapPlace, remove: boolean): Promise<string[]> {
  const wanted = async (): Promise<Set<string>> => {
    const ids = new Set<string>();
    for await (const { memo } of client.workflow.list({ query: OPEN })) {
      const { answers } = (memo ?? {}) as Partial<LaunchMemo>;
      if (answers !== undefined) ids.add(answers);
    }
    return ids;
  };
  const stale = await staleAnswers(host.settings, host.owner, wanted);
  if (remove) for (const file of stale) await rm(file, { force: true });
  return stale;
}

const OPEN = "WorkflowType = 'BottleLaunch' AND ExecutionStatus = 'Running'";

/**
 * The launches of this owner that have something on this host, with its names.
 * @param states whose each state directory is, where that was read already
 */
export async function objectsByLaunch(
  host: MachineHost,
  states?: ReadonlyMap<string, StateOwner | undefined>,
): Promise<Leftover[]> {
  const owned = new Map([...(states ?? (await stateOwners(host.settings)))]);
  const adopted = [...owned].filter(([, state]) => state?.owner === host.owner && state.adopted !== undefined);
  const makers = new Map(adopted.map(([id, state]) => [id, makerOf(state as StateOwner)]));
  const found = new Map<string, Leftover>();
  const note = (id: string, run: string, name: string): void => {
    const launch = found.get(`${id} ${run}`) ?? { id, run, objects: [] };
    launch.objects = [...new Set([...launch.objects, name])].sort();
    found.set(`${id} ${run}`, launch);
  };
  for (const { id, run, name } of await labelledObjects(host)) {
    if (!isSuperseded(owned.get(id), { owner: host.owner, run })) note(id, run, name);
  }
  for (const owner of new Set([...makers.values()].map((maker) => maker.owner))) {
    for (const { id, run, name } of await labelledObjects({ ...host, owner })) {
      const maker = makers.get(id);
      if (maker?.owner === owner && maker.run === run) note(id, owned.get(id)?.run ?? run, name);
    }
  }
  for (const [id, state] of owned) {
    if (state?.owner === host.owner) note(id, state.run, path.join(host.settings.state, 'bottles', id));
  }
  return [...found.values()];
}

/** What bears the name of that owner, by the launch that made it. */
async function labelledObjects(host: MachineHost): Promise<{ id: string; run: string; name: string }[]> {
  const filters = labelFilter(host);
  const [containers, networks, inSmolvm] = await Promise.all([
    engine('list containers', () => host.docker.listContainers({ all: true, filters })),
    engine('list networks', () => host.docker.listNetworks({ filters })),
    bottlesInSmolvm(host),
  ]);
  const labelled = [
    ...containers.map(({ Labels, Names }) => ({ labels: Labels, name: (Names[0] ?? '').replace(/^\//, '') })),
    ...networks.map(({ Labels = {}, Name }) => ({ labels: Labels, name: Name })),
  ].flatMap(({ labels: { [LABEL.bottle]: id, [LABEL.run]: run }, name }) =>
    id === undefined || run === undefined ? [] : [{ id, run, name }],
  );
  const machines = inSmolvm.map(({ id, run }) => ({ id, run, name: machineName(id) }));
  return [...labelled, ...machines].filter(({ id }) => isBottleId(id));
}

/** As {@link objectsByLaunch}, once what an earlier version of bottle has kept without an owner has found its own. */
async function ownObjects({ host, client }: ReapPlace): Promise<Leftover[]> {
  const states = await stateOwners(host.settings);
  const found = await objectsByLaunch(host, states);
  let claimed = false;
  for (const [id, state] of states) {
    if (state !== undefined) continue;
    const runs = found.filter((launch) => launch.id === id).map(({ run }) => run);
    if (runs.length === 0) continue;
    // Its objects say whose it is: the open launch's, where two have left some.
    const open = await openRun(client, id);
    const runId = runs.find((run) => run === open) ?? (runs[0] as string);
    await claimState(host.settings, { id, runId }, { owner: host.owner });
    claimed = true;
  }
  return claimed ? objectsByLaunch(host) : found;
}

/**
 * The first run id of the open launch of that id, which labels and state bear however often it continues as new;
 * undefined where there is none. Only "unknown" and "closed" count as none; any other failure is thrown.
 */
async function openRun(client: Client, id: string): Promise<string | undefined> {
  try {
    const { status, runId, raw } = await client.workflow.getHandle(id).describe();
    if (status.name !== 'RUNNING') return undefined;
    // Servers before 1.25 do not tell it.
    return raw.workflowExecutionInfo?.firstRunId || runId;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}
