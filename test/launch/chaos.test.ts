/**
 * Whatever dies, and wherever it stands when it does: the launch goes on and ends as it would have, with one of each
 * thing while it lives and nothing when it is over. CHAOS_SEED plays the random moments of an earlier run again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { LAUNCH_STEPS } from '../../src/core/steps.ts';
import { type ActivityRun, activityRuns, eventsOf } from '../support/events.ts';
import {
  type Installation,
  installation,
  isHeld,
  isReady,
  type Pause,
  uniqueId,
  type WorkerProcess,
} from '../support/installation.ts';
import { seeded } from '../support/random.ts';

let it: Installation;
/** The one that was started last, if it lives: a test that ends well leaves it to the next. */
let current: WorkerProcess | undefined;

beforeAll(async () => {
  it = await installation();
  it.writeBottle('closed', 'allow: [example.com]');
  it.writeAgent('demo', 'bottle: closed\nskills: [greet]', 'Be kind.');
  it.writeAgent('unskilled', 'bottle: closed\nskills: [missing]');
  it.writeSkill('greet');
});
afterEach(async ({ task }) => {
  if (current !== undefined && task.result?.state === 'fail') await end(current);
});
afterAll(async () => {
  report();
  await it.dispose();
});

const NOWHERE: Pause = { at: 'nowhere', when: 'before' };

/** The one that lives, or a new one. */
async function aWorker(pause = NOWHERE): Promise<WorkerProcess> {
  current ??= await it.startWorker(pause);
  current.pauseAt(pause);
  return current;
}

/** Kills it, or lets it end by itself. */
async function end(worker: WorkerProcess, how: 'kill' | 'stop' = 'kill'): Promise<number | undefined> {
  if (current === worker) current = undefined;
  return (await worker[how]()) ?? undefined;
}

async function launch(agent = 'demo'): Promise<string> {
  const id = uniqueId('chaos');
  await it.launch(id, { agent });
  return id;
}

/** Asks for the stop and does not wait: nobody may be there to answer. */
const beginStop = (id: string): Promise<unknown> =>
  it.client.workflow.getHandle(id).startUpdate('stop', { waitForStage: 'ACCEPTED' });

/** Everything is there once, and every step is done. */
async function expectReady(id: string): Promise<void> {
  const { steps } = await it.waitFor(id, isReady);
  expect(steps.map(({ state }) => state)).toEqual(steps.map(() => 'done'));
  expect(await it.objects(id)).toEqual([`/bottle-${id}-bundle`, `/bottle-${id}-machine`, `bottle-${id}`]);
}

async function expectStopped(id: string): Promise<void> {
  await it.closed(id);
  expect(await it.client.workflow.getHandle(id).result()).toMatchObject({ phase: 'stopped' });
  expect(await it.leftovers(id)).toEqual([]);
}

async function runsOf(id: string, activity: string): Promise<ActivityRun[]> {
  return activityRuns(await eventsOf(it.client, id)).filter((run) => run.activity === activity);
}

const STEPS = LAUNCH_STEPS.map(({ id }) => id);
const UNDOS = LAUNCH_STEPS.flatMap((step) => ('undo' in step ? [step.undo] : [])).reverse();
const MOMENTS = ['before', 'after'] as const;
const pairs = (activities: readonly string[]): [at: string, when: Pause['when']][] =>
  activities.flatMap((at) => MOMENTS.map((when): [string, Pause['when']] => [at, when]));

interface TakeOver {
  what: string;
  ms: number;
}
const takeOvers: TakeOver[] = [];

/** From "the new worker polls" to "the next attempt has started". Told at the end, never asserted. */
async function measure(id: string, { at, when }: Pause, successor: WorkerProcess): Promise<void> {
  const last = (await runsOf(id, at)).at(-1);
  expect(last?.attempt).toBe(2);
  takeOvers.push({ what: `${when} ${at}`, ms: (last?.startedAt ?? 0) - successor.pollingSince });
}

function report(): void {
  const sorted = takeOvers.map(({ ms }) => ms).sort((a, b) => a - b);
  if (sorted.length === 0) return;
  const rows = takeOvers.map(({ what, ms }) => `  ${what.padEnd(26)}${ms.toFixed(0).padStart(7)} ms`);
  const middle = sorted[Math.floor(sorted.length / 2)] as number;
  console.log(
    [
      'killed worker: from "new worker polling" to "next attempt started"',
      ...rows,
      `  median of ${sorted.length}: ${middle.toFixed(0)} ms; longest: ${sorted.at(-1)?.toFixed(0)} ms`,
    ].join('\n'),
  );
}

describe('a worker killed in a step is replaced, and the launch becomes ready:', () => {
  test.each(pairs(STEPS))('%s, %s its work', async (at, when) => {
    const doomed = await aWorker({ at, when });
    const id = await launch();
    await doomed.paused();
    await end(doomed);

    const successor = await aWorker();
    await expectReady(id);
    await measure(id, { at, when }, successor);
    expect((await it.status(id)).steps.find((step) => step.id === at)).toMatchObject({ attempts: 2 });
    expect(await it.down(id)).toEqual([]);
  });
});

describe('a worker killed in an undo is replaced, and nothing is left:', () => {
  test.each(pairs(UNDOS))('%s, %s its work', async (at, when) => {
    const doomed = await aWorker({ at, when });
    const id = await launch();
    await expectReady(id);
    await beginStop(id);
    await doomed.paused();
    await end(doomed);

    const successor = await aWorker();
    await expectStopped(id);
    await measure(id, { at, when }, successor);
  });
});

describe('a worker killed at any moment', () => {
  const seed = Number(process.env['CHAOS_SEED'] ?? Date.now() % 1_000_000);
  const random = seeded(seed);
  console.log(`random kills: CHAOS_SEED=${seed}`);

  test.each(Array.from({ length: 10 }, (_, index) => index + 1))('of launch and stop %i', async () => {
    const moment = async (): Promise<number> => {
      const ms = Math.floor(random() * 1200);
      await sleep(ms);
      return ms;
    };
    let worker = await aWorker();
    const moments: number[] = [];
    const killAndReplace = async (): Promise<void> => {
      moments.push(await moment());
      await end(worker);
      worker = await aWorker();
    };
    const id = await launch();
    await killAndReplace();
    if (random() < 0.5) await killAndReplace();
    await expectReady(id);
    const launched = Date.now() - worker.pollingSince;
    await beginStop(id);
    await killAndReplace();
    await expectStopped(id);
    const stopped = Date.now() - worker.pollingSince;
    console.log(
      `killed after ${moments.join(', ')} ms; ready ${launched} ms, stopped ${stopped} ms after the last start`,
    );
  });
});

describe('a killed server comes back, and the launch goes on', () => {
  test('when it died while a step ran', async () => {
    const worker = await aWorker({ at: 'bundle', when: 'before' });
    const id = await launch();
    await worker.paused();
    await it.killServer();
    worker.resume();
    await it.startServer();
    await expectReady(id);
    expect(await it.down(id)).toEqual([]);
  });

  test('when it died while an undo ran', async () => {
    const worker = await aWorker({ at: 'network.remove', when: 'after' });
    const id = await launch();
    await expectReady(id);
    await beginStop(id);
    await worker.paused();
    await it.killServer();
    worker.resume();
    await it.startServer();
    await expectStopped(id);
  });

  test('when it died while a step was held', async () => {
    await aWorker();
    const id = await launch('unskilled');
    await it.waitFor(id, isHeld);
    await it.killServer();
    await it.startServer();
    const { steps } = await it.waitFor(id, isHeld);
    expect(steps.find(({ state }) => state === 'held')).toMatchObject({ error: { code: 'SKILL_NOT_FOUND' } });
    await it.client.workflow.getHandle(id).executeUpdate('skip');
    await it.waitFor(id, isReady);
    expect(await it.down(id)).toEqual([]);
  });

  test('when it died while the bottle was ready', async () => {
    await aWorker();
    const id = await launch();
    await expectReady(id);
    await it.killServer();
    await it.startServer();
    await expectReady(id);
    expect(await it.down(id)).toEqual([]);
  });
});

describe('a server and a worker killed together come back, and the launch goes on', () => {
  test.each([
    ['bundle', 'before'],
    ['machine.start', 'after'],
  ] as const)('when they died in %s, %s its work', async (at, when) => {
    const worker = await aWorker({ at, when });
    const id = await launch();
    await worker.paused();
    await Promise.all([it.killServer(), end(worker)]);
    await it.startServer();
    await aWorker();
    await expectReady(id);
    expect(await it.down(id)).toEqual([]);
  });
});

describe('a worker that is asked to stop', () => {
  test('undoes nothing, and the next one goes on where it stood', async () => {
    const worker = await aWorker({ at: 'check', when: 'before' });
    const id = await launch();
    await worker.paused();
    const before = await it.objects(id);
    expect(await end(worker, 'stop')).toBe(0);
    expect(await it.objects(id)).toEqual(before);
    expect(before).toHaveLength(3);

    await aWorker();
    await expectReady(id);
    // Only the step that it left runs again.
    const again = activityRuns(await eventsOf(it.client, id)).filter(({ attempt }) => attempt > 1);
    expect(again.map(({ activity }) => activity)).toEqual(['check']);
    expect(await it.down(id)).toEqual([]);
  });

  test('leaves a ready bottle as it is', async () => {
    const worker = await aWorker();
    const id = await launch();
    await expectReady(id);
    expect(await end(worker, 'stop')).toBe(0);
    expect(await it.objects(id)).toHaveLength(3);
    await aWorker();
    await expectReady(id);
    expect(await it.down(id)).toEqual([]);
  });
});
