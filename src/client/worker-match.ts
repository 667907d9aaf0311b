/**
 * A worker that works with another Engine, other files or another environment than this command's is never used in silence:
 * it is started anew with this one's where nothing can be lost by that, else it is said what to do.
 */
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { planVariables } from '../core/plan-variables.ts';
import { hasPlan, readPlan } from '../host/bottle-state.ts';
import { withLock } from '../host/file-lock.ts';
import { bottlesHere } from '../host/host-pin.ts';
import { type Settings, stateDirectory } from '../host/settings.ts';
import { type Difference, differences } from '../host/worker-place.ts';
import type { Output } from './output.ts';
import { sayIfSlow } from './say-if-slow.ts';
import type { Session } from './session.ts';
import { readLastWorker, readWorkerRecord, type ServedTarget, type WorkerRecord } from './worker-presence.ts';

const RESTART = 'bottle serve --restart';

/**
 * Makes sure that this host's worker works with what this command has.
 * @param variables names of those that matter to what is to be done
 * @throws BottleError `WORKER_DIFFERS` when a restart would take something from bottles that are there
 */
export async function matchWorker(
  { settings, target }: Pick<Session, 'settings' | 'target'>,
  output: Output,
  variables: readonly string[],
): Promise<void> {
  const look = async () => {
    const record = await readWorkerRecord(settings);
    return { record, found: record === undefined ? [] : differences(record, settings, variables) };
  };
  if ((await look()).found.length === 0) return;
  await inTurn(settings, async () => {
    // Somebody else may have done it meanwhile.
    const { record, found } = await look();
    if (record === undefined || found.length === 0) return;
    const objection = await whyNotRestart(settings, record, found);
    if (objection !== undefined) throw objection;
    if (found.some(({ kind }) => kind === 'engine')) await assertEngineAnswers();
    const pid = await sayIfSlow(output, restarting(settings), () => restartWorker(settings, target));
    output.note(`restarted the worker of ${settings.host} (process ${pid}): it had ${listed(found)}`);
    await assertTakenOver(settings, variables);
  });
}

const restarting = ({ host }: Settings): string =>
  `restarting the worker of ${host}; the steps that it runs may end first, for a minute at most`;

/**
 * The worker that runs is not moved to an Engine that nobody answers for: an address is soon mistyped.
 * @throws BottleError `DOCKER_UNREACHABLE`, `DOCKER_ERROR`
 */
async function assertEngineAnswers(): Promise<void> {
  const { connectDocker, engine } = await import('../host/docker.ts');
  await engine('ask the Docker Engine for its version', () => connectDocker().version());
}

/** Two commands at once must not stop each other's new worker. */
export const inTurn = <T>(settings: Settings, act: () => Promise<T>): Promise<T> =>
  withLock(path.join(stateDirectory(settings, 'run'), 'restart.lock'), act);

/**
 * Whether {@link matchWorker}, or the start of a worker, would be refused: asked before anything is started for it.
 * @throws BottleError `WORKER_DIFFERS`, `DOCKER_CONTEXT_INVALID`
 */
export async function assertMatchable(settings: Settings, variables: readonly string[]): Promise<void> {
  const { workerIsAlive } = await import('../host/worker-lock.ts');
  const [running, last] = await Promise.all([readWorkerRecord(settings), readLastWorker(settings)]);
  // The record of a killed one stays, and after a reboot its id is soon another program's.
  if (running !== undefined && (await workerIsAlive(settings))) {
    const found = differences(running, settings, variables);
    const objection = found.length === 0 ? undefined : await whyNotRestart(settings, running, found);
    if (objection !== undefined) throw objection;
  } else if (last !== undefined) assertSamePlace(settings, last);
}

async function restartWorker(settings: Settings, target: ServedTarget): Promise<number> {
  const { startWorker, stopWorker } = await import('./worker-process.ts');
  await stopWorker(settings);
  return (await startWorker(settings, target, { detached: true })).pid;
}

/** @throws BottleError `WORKER_DIFFERS` when it is somebody else who starts it, with what they have */
export async function assertTakenOver(settings: Settings, variables: readonly string[]): Promise<void> {
  const record = await readWorkerRecord(settings);
  const left = record === undefined ? [] : differences(record, settings, variables);
  if (left.length === 0) return;
  throw new BottleError('WORKER_DIFFERS', `the worker was started anew by somebody else, with ${listed(left)}`, {
    hint: 'end the bottle serve (or the service) that starts it, and start that with what you have here',
  });
}

/** What this host's worker has otherwise, in one line, for whoever only looks; undefined when it has the same, or none runs. */
export async function differenceText(settings: Settings): Promise<string | undefined> {
  const record = await readWorkerRecord(settings);
  if (record === undefined) return undefined;
  const found = differences(record, settings, await variablesOfBottles(settings));
  return found.length === 0 ? undefined : `it works with ${listed(found)}`;
}

export const RESTART_HINT = `${RESTART} has it work with what is here`;

async function whyNotRestart(
  settings: Settings,
  record: WorkerRecord,
  found: readonly Difference[],
): Promise<BottleError | undefined> {
  const bottles = settledBottles(settings);
  if (bottles.length === 0) return undefined;
  const says = `this host's worker (process ${record.pid}) works with ${listed(found)}`;
  const places = found.filter(({ kind }) => kind !== 'variable');
  if (places.length > 0) return elsewhere(says, places, record, bottles);
  const lost = await lostVariables(settings, record);
  if (lost.length === 0) return undefined;
  const whose = listOf(bottles);
  return new BottleError(
    'WORKER_DIFFERS',
    `${says}; a restart would take ${lost.join(', ')} from it, which ${whose} may need`,
    {
      hint: `export ${lost.join(', ')} here too, then try again; or go without: ${RESTART}`,
    },
  );
}

/**
 * Before a worker is started where none runs: bottles that are here are where that one made them, and a worker
 * that looks elsewhere would find nothing of them.
 * @throws BottleError `WORKER_DIFFERS`, `DOCKER_CONTEXT_INVALID`
 */
export function assertSamePlace(settings: Settings, last: WorkerRecord): void {
  const bottles = settledBottles(settings);
  const places = bottles.length === 0 ? [] : differences(last, settings, []).filter(({ kind }) => kind !== 'variable');
  if (places.length > 0)
    throw elsewhere(`this host's last worker worked with ${listed(places)}`, places, last, bottles);
}

/** A bottle is where it is: on that Engine, from those files, on the queue of that name. */
const elsewhere = (
  says: string,
  places: readonly Difference[],
  record: WorkerRecord,
  bottles: readonly string[],
): BottleError =>
  new BottleError(
    'WORKER_DIFFERS',
    `${says}; ${listOf(bottles)} ${bottles.length === 1 ? 'depends' : 'depend'} on that`,
    {
      hint: `${undoing(places, record)}; or, when those bottles are down: ${RESTART}; or give this one a BOTTLE_STATE and BOTTLE_PORT of its own`,
    },
  );

/** Those that hang on where their worker works. */
const settledBottles = (settings: Settings): string[] => bottlesHere(settings).filter((id) => hasPlan(settings, id));

const listOf = (bottles: readonly string[]): string =>
  `${bottles.slice(0, 3).join(', ')}${bottles.length > 3 ? ` and ${bottles.length - 3} more` : ''}`;

/** What that worker has, bottles that are here may need, and this process has not. */
export async function lostVariables(settings: Settings, record: WorkerRecord): Promise<string[]> {
  const needed = await variablesOfBottles(settings);
  return needed.filter((name) => !process.env[name] && record.environment?.[name] !== undefined);
}

/** How this command comes to have what the worker has. */
function undoing(places: readonly Difference[], record: WorkerRecord): string {
  const settings = places.flatMap(({ kind }) => {
    if (kind === 'home') return [`BOTTLE_HOME=${record.home}`];
    if (kind === 'cache') return [`BOTTLE_CACHE=${record.cache}`];
    if (kind === 'host') return [`BOTTLE_HOST=${record.host}`];
    const { address = '', chosenBy } = record.engine ?? {};
    return [chosenBy?.kind === 'context' ? `DOCKER_CONTEXT=${chosenBy.name}` : `DOCKER_HOST=${address}`];
  });
  return `to go on with that: export ${settings.join(' ')}`;
}

/** What the plans of the bottles that are here take from the environment. */
export async function variablesOfBottles(settings: Settings): Promise<string[]> {
  const plans = await Promise.all(bottlesHere(settings).map((id) => readPlan(settings, id).catch(() => undefined)));
  return [...new Set(plans.flatMap((plan) => (plan === undefined ? [] : planVariables(plan))))].sort();
}

const listed = (found: readonly Difference[]): string => found.map(({ text }) => text).join('; ');
