/**
 * Whose a bottle's state directory is. One BOTTLE_STATE may have met several Temporal servers (another address, a
 * namespace, a new database), and what a bottle of one of them keeps is for no other's launch or reaper to touch.
 */
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { assertBottleId } from '../core/names.ts';
import type { BottleRef, Maker } from '../core/step-io.ts';
import { bottleDirectory, bottlePath } from './bottle-state.ts';
import { withLock } from './file-lock.ts';
import { bottlesHere } from './host-pin.ts';
import { writePrivate } from './private-file.ts';
import { type Settings, stateDirectory } from './settings.ts';

/** Where launches of an owner are known, for whoever finds something of theirs later. */
export interface OwnerServer {
  kind: 'embedded' | 'external';
  /** `host:port` */
  address: string;
}

export interface StateOwner {
  /** `<Temporal cluster id>/<namespace>`, as on Docker's labels. */
  owner: string;
  /** The launch's first run id, which it keeps for as long as it is open. */
  run: string;
  server?: OwnerServer;
  /** Whose it was before this launch adopted it, oldest first; absent where this launch made it. */
  adopted?: Former[];
}

/** A launch that has had a bottle, and where it is known. */
export interface Former extends Maker {
  server?: OwnerServer;
}

const FILE = 'owner.json';

type State = Pick<Settings, 'state'>;

/** Whoever claims or removes a directory does so alone: a launch may begin while the leftovers of another are removed. */
const alone = <T>(settings: State, act: () => Promise<T>): Promise<T> =>
  withLock(path.join(stateDirectory(settings, 'run'), 'states.lock'), act);

/** Whose the state of a bottle is; undefined where there is none, or where an earlier version made it and nobody knows. */
export async function readStateOwner(settings: State, id: string): Promise<StateOwner | undefined> {
  assertBottleId(id);
  const text = await readFile(path.join(bottlePath(settings, id), FILE), 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  return text === undefined ? undefined : parsed(text);
}

/** Every bottle that this state keeps something of, and whose it is. */
export async function stateOwners(settings: State): Promise<Map<string, StateOwner | undefined>> {
  const ids = bottlesHere(settings);
  return new Map(await Promise.all(ids.map(async (id) => [id, await readStateOwner(settings, id)] as const)));
}

/**
 * Makes the state of a bottle this launch's: to be called before anything is kept in it. What an earlier launch of the
 * same owner left goes; what an earlier version of bottle has made is taken over.
 * @throws BottleError `NAME_TAKEN` when it is another owner's
 */
export async function claimState(
  settings: State,
  { id, runId, madeBy }: BottleRef,
  { owner, server }: Omit<StateOwner, 'run'>,
): Promise<void> {
  assertBottleId(id);
  await alone(settings, async () => {
    const known = await readStateOwner(settings, id);
    if (isLaunch(known, { owner, run: runId })) return;
    if (known !== undefined && known.owner !== owner) throw taken(settings, id, known);
    const directory = bottlePath(settings, id);
    if (known !== undefined) await rm(directory, { recursive: true, force: true });
    const adopted = madeBy === undefined ? {} : { adopted: [madeBy] };
    await write(settings, id, { owner, run: runId, ...(server === undefined ? {} : { server }), ...adopted });
  });
}

/**
 * Makes the state of a lost bottle this launch's, with all that is kept in it. This is what an adoption is: whoever asks from
 * then on whose the bottle is hears of this launch, and whoever adopts it at the same time is refused. Done again, it is done.
 * @param from whose it is until then
 * @throws BottleError `STATE_MISSING` when nothing is kept of it, `ADOPTED` when it is yet another launch's by now
 */
export async function adoptState(
  settings: State,
  { id, runId }: BottleRef,
  { owner, server }: Omit<StateOwner, 'run' | 'adopted'>,
  from: Maker,
): Promise<StateOwner> {
  return alone(settings, async () => {
    const known = await readStateOwner(settings, id);
    if (known === undefined) throw nothingKept(settings, id);
    if (isLaunch(known, { owner, run: runId })) return known;
    if (!isLaunch(known, from)) throw adoptedBy(known, id);
    const { adopted: before = [], ...former } = known;
    const adopted = [...before, former];
    const mine: StateOwner = { owner, run: runId, ...(server === undefined ? {} : { server }), adopted };
    await write(settings, id, mine);
    return mine;
  });
}

/**
 * Undoes {@link adoptState}: the bottle is that of the launch which had it before, with all that is kept of it. What is not this launch's
 * by an adoption stays as it is.
 */
export async function giveBackState(settings: State, { id, runId }: BottleRef, owner: string): Promise<void> {
  await alone(settings, async () => {
    const known = await readStateOwner(settings, id);
    const former = known?.adopted?.at(-1);
    if (known === undefined || former === undefined || !isLaunch(known, { owner, run: runId })) return;
    const earlier = known.adopted?.slice(0, -1) ?? [];
    await write(settings, id, { ...former, ...(earlier.length === 0 ? {} : { adopted: earlier }) });
  });
}

/** Who made a bottle, and so what the labels of its objects say, also of those that are made anew: a bottle keeps one name. */
export function makerOf(state: StateOwner): Maker {
  const { owner, run } = state.adopted?.[0] ?? state;
  return { owner, run };
}

/** Whether a launch has had a bottle that another has adopted since: nothing of it is that launch's any more. */
export const isSuperseded = (state: StateOwner | undefined, launch: Maker): boolean =>
  state?.adopted?.some((each) => isLaunch(each, launch)) === true && !isLaunch(state, launch);

export const isLaunch = (one: Maker | undefined, other: Maker): boolean =>
  one?.owner === other.owner && one.run === other.run;

/** The namespace that an owner's launches are in. */
export const namespaceOf = (owner: string): string => owner.slice(owner.indexOf('/') + 1);

const write = (settings: State, id: string, owner: StateOwner): Promise<void> =>
  writePrivate(path.join(bottleDirectory(settings, id), FILE), `${JSON.stringify(owner)}\n`);

/** Ensures that nothing of this launch is kept. What is another owner's or another run's stays. */
export async function releaseState(
  settings: State,
  id: string,
  { owner, run }: Pick<StateOwner, 'owner' | 'run'>,
): Promise<void> {
  assertBottleId(id);
  await alone(settings, async () => {
    const known = await readStateOwner(settings, id);
    if (known !== undefined && !isLaunch(known, { owner, run })) return;
    await rm(bottlePath(settings, id), { recursive: true, force: true });
  });
}

/** The server of an owner in a few words. */
export const serverText = ({ owner, server }: Pick<StateOwner, 'owner' | 'server'>): string => {
  const where = server === undefined ? 'of another owner' : `at ${server.address}`;
  return `the Temporal server ${where}, namespace ${namespaceOf(owner)}`;
};

function taken({ state }: State, id: string, known: StateOwner): BottleError {
  return new BottleError('NAME_TAKEN', `${state} keeps a bottle ${id} of ${serverText(known)}`, {
    hint: `launch this one under another id with --name; or, if that one is lost: bottle adopt ${id}, or bottle gc --lost ${id}`,
  });
}

/** For whoever comes too late, and for the launch that has had it. */
export const adoptedBy = (state: StateOwner, id: string): BottleError =>
  new BottleError('ADOPTED', `${id} was adopted by a launch on ${serverText(state)}`, {
    hint: `bottle down ${id} ends this launch and touches nothing of the bottle`,
  });

const nothingKept = ({ state }: State, id: string): BottleError =>
  new BottleError('STATE_MISSING', `${state} keeps nothing of a bottle ${id}, so there is nothing to adopt`, {
    hint: `docker ps --filter label=bottleworks.bottle=${id} shows what is left of it`,
  });

function parsed(text: string): StateOwner | undefined {
  try {
    const { owner, run, server, adopted } = JSON.parse(text) as Partial<StateOwner>;
    if (typeof owner !== 'string' || typeof run !== 'string') return undefined;
    return { owner, run, ...(server === undefined ? {} : { server }), ...(adopted === undefined ? {} : { adopted }) };
  } catch {
    return undefined;
  }
}
