/** A cancel request from the plain Temporal CLI, whenever it comes, undoes everything and closes the launch. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { taskQueueOf } from '../../src/core/names.ts';
import { LAUNCH_STEPS } from '../../src/core/steps.ts';
import { activityRuns, eventsOf, failedTasks, phasesOf } from '../support/events.ts';
import {
  type Installation,
  installation,
  isHeld,
  isReady,
  type Pause,
  uniqueId,
  type WorkerProcess,
} from '../support/installation.ts';

let it: Installation;
let worker: WorkerProcess;

beforeAll(async () => {
  it = await installation();
  it.writeBottle('closed', 'allow: [example.com]');
  it.writeAgent('demo', 'bottle: closed\nskills: [greet]', 'Be kind.');
  it.writeAgent('unskilled', 'bottle: closed\nskills: [missing]');
  it.writeSkill('greet');
  worker = await it.startWorker({ at: 'nothing', when: 'before' });
});
afterAll(() => it.dispose());
beforeEach(() => worker.resume());

/** As contract.md has it, to the letter. */
async function startByCli(agent = 'demo'): Promise<string> {
  const id = uniqueId('cancel');
  const queue = taskQueueOf(it.settings.host);
  const where = ['--type', 'BottleLaunch', '--workflow-id', id, '--task-queue', queue];
  await it.temporal('workflow', 'start', ...where, '--input', JSON.stringify({ agent }));
  return id;
}

const cancel = (id: string): Promise<string> => it.temporal('workflow', 'cancel', '--workflow-id', id);

/** Waits until it is closed, in this way, with nothing left. */
async function expectClosed(id: string, as: 'CANCELLED' | 'COMPLETED'): Promise<void> {
  const handle = it.client.workflow.getHandle(id);
  await it.closed(id);
  const { status, searchAttributes } = await handle.describe();
  expect(status.name).toBe(as);
  expect(searchAttributes).toMatchObject({ BottlePhase: ['stopped'] });
  expect(await it.leftovers(id)).toEqual([]);
}

const STEPS = LAUNCH_STEPS.map(({ id }) => id);
const MOMENTS = STEPS.flatMap((at): Pause[] => [
  { at, when: 'before' },
  { at, when: 'after' },
]);

test('a launch started by the plain Temporal CLI becomes ready', async () => {
  const id = await startByCli();
  const { steps } = await it.waitFor(id, isReady);
  expect(steps.map(({ state }) => state)).toEqual(STEPS.map(() => 'done'));
  expect(await it.down(id)).toEqual([]);
});

describe('a cancel undoes everything', () => {
  test.each(MOMENTS)('while $at runs, $when its work', async (moment) => {
    worker.pauseAt(moment);
    const id = await startByCli();
    await worker.paused();
    await cancel(id);
    await expectClosed(id, 'CANCELLED');

    const events = await eventsOf(it.client, id);
    // What had not started never does; what had is interrupted, not taken for a failure.
    const started = activityRuns(events).map(({ activity }) => activity);
    expect(started.filter((activity) => STEPS.indexOf(activity as never) > lastSibling(moment.at))).toEqual([]);
    expect(phasesOf(events)).not.toContain('held');
    expect(failedTasks(events)).toBe(0);
  });

  test('right after the start, before any worker saw the launch', async () => {
    await worker.stop();
    const id = await startByCli();
    await cancel(id);
    worker = await it.startWorker({ at: 'nothing', when: 'before' });
    await expectClosed(id, 'CANCELLED');
    const events = await eventsOf(it.client, id);
    expect(activityRuns(events).filter(({ activity }) => STEPS.includes(activity as never))).toEqual([]);
    expect(phasesOf(events)).not.toContain('held');
  });

  test('right after the start', async () => {
    const id = await startByCli();
    await cancel(id);
    await expectClosed(id, 'CANCELLED');
  });

  test('while a step is held', async () => {
    const id = await startByCli('unskilled');
    await it.waitFor(id, isHeld);
    await cancel(id);
    await expectClosed(id, 'CANCELLED');
    const { memo, searchAttributes } = await it.client.workflow.getHandle(id).describe();
    expect(searchAttributes['BottleStep']?.[0] ?? null).toBeNull();
    expect(memo?.['error'] ?? null).toBeNull();
  });

  test('while the bottle is ready', async () => {
    const id = await startByCli();
    await it.waitFor(id, isReady);
    await cancel(id);
    await expectClosed(id, 'CANCELLED');
  });

  test('that another cancel asked for already', async () => {
    worker.pauseAt({ at: 'network.remove', when: 'before' });
    const id = await startByCli();
    await it.waitFor(id, isReady);
    await cancel(id);
    await worker.paused();
    await cancel(id);
    expect(await it.status(id)).toMatchObject({ phase: 'stopping' });
    worker.resume();
    await expectClosed(id, 'CANCELLED');
    expect(activityRuns(await eventsOf(it.client, id)).map(({ attempt }) => attempt)).not.toContain(2);
  });
});

describe('a cancel of a bottle that is stopping already changes nothing', () => {
  test.each(['machine.stop', 'bundle.remove', 'state.remove'])('while %s runs', async (at) => {
    worker.pauseAt({ at, when: 'before' });
    const id = await startByCli();
    await it.waitFor(id, isReady);
    await it.client.workflow.getHandle(id).startUpdate('stop', { waitForStage: 'ACCEPTED' });
    await worker.paused();
    await cancel(id);
    worker.resume();
    await expectClosed(id, 'COMPLETED');
    expect(activityRuns(await eventsOf(it.client, id))).toHaveLength(STEPS.length + 5);
  });
});

test('a stop while a step runs interrupts it, and the bottle completes', async () => {
  worker.pauseAt({ at: 'bundle', when: 'after' });
  const id = await startByCli();
  await worker.paused();
  expect(await it.client.workflow.getHandle(id).executeUpdate('stop')).toMatch(/^stopping/);
  await expectClosed(id, 'COMPLETED');
});

/** The place in the launch of the last step that runs beside this one. */
function lastSibling(step: string): number {
  const beside = step === 'bundle' || step.startsWith('machine.') ? 'machine.start' : step;
  return STEPS.indexOf((step.startsWith('provision.') ? 'provision.agent' : beside) as never);
}
