/** Bottles are told apart: by id on one installation, by owner on one Docker Engine. */
import { WorkflowExecutionAlreadyStartedError, type WorkflowFailedError } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LABEL } from '../../src/core/names.ts';
import { docker, type Installation, installation, isHeld, isReady, uniqueId } from '../support/installation.ts';

let it: Installation;

async function prepared(): Promise<Installation> {
  const made = await installation();
  made.writeBottle('closed', 'allow: [example.com]');
  made.writeAgent('demo', 'bottle: closed', 'Be kind.');
  await made.startWorker();
  return made;
}

beforeAll(async () => {
  it = await prepared();
});
afterAll(() => it.dispose());

async function ready(id: string): Promise<void> {
  await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, isReady);
}

/** Engine ids of a bottle's containers and network, whoever's it is: a thing replaced gets another. */
async function engineIds(id: string): Promise<string[]> {
  const filters = { label: [`${LABEL.bottle}=${id}`] };
  const [containers, networks] = await Promise.all([
    docker.listContainers({ all: true, filters }),
    docker.listNetworks({ filters }),
  ]);
  return [...containers, ...networks].map(({ Id }) => Id).sort();
}

test('two bottles launched at once are both ready, each on a subnet of its own', async () => {
  const ids = [uniqueId('twin'), uniqueId('twin')];
  await Promise.all(ids.map((id) => it.launch(id, { agent: 'demo' })));
  const both = await Promise.all(ids.map((id) => it.waitFor(id, isReady)));
  const [first, second] = both.map(({ network }) => network?.subnet);
  expect(first).toMatch(/\/28$/);
  expect(second).toMatch(/\/28$/);
  expect(first).not.toBe(second);

  // Stopping one leaves the other whole.
  const [one, other] = ids as [string, string];
  const kept = await engineIds(other);
  expect(await it.down(one)).toEqual([]);
  expect(await engineIds(other)).toEqual(kept);
  expect(kept).toHaveLength(3);
  expect(await it.down(other)).toEqual([]);
});

test('the id of an open bottle is refused by the server, and the bottle does not notice', async () => {
  const id = uniqueId('same');
  await ready(id);
  const before = await engineIds(id);
  await expect(it.launch(id, { agent: 'demo' })).rejects.toBeInstanceOf(WorkflowExecutionAlreadyStartedError);
  expect(await engineIds(id)).toEqual(before);
  expect(await it.status(id)).toMatchObject({ phase: 'ready' });
  expect(await it.down(id)).toEqual([]);
});

test('the id of a stopped bottle can be used again', async () => {
  const id = uniqueId('again');
  await ready(id);
  const { runId } = await it.status(id);
  expect(await it.down(id)).toEqual([]);
  await ready(id);
  expect((await it.status(id)).runId).not.toBe(runId);
  expect(await it.down(id)).toEqual([]);
});

test('what a terminated launch left behind is replaced by the next launch of its id', async () => {
  const id = uniqueId('reborn');
  await ready(id);
  await it.temporal('workflow', 'terminate', '--workflow-id', id, '--reason', 'test');
  const left = await engineIds(id);
  expect(left).toHaveLength(3);

  await ready(id);
  const { runId } = await it.status(id);
  const now = await engineIds(id);
  expect(now).toHaveLength(3);
  expect(now.filter((each) => left.includes(each))).toEqual([]);
  const machine = await docker.getContainer(`bottle-${id}-machine`).inspect();
  expect(machine.Config.Labels[LABEL.run]).toBe(runId);
  expect(await it.down(id)).toEqual([]);
});

test('another installation on the same Engine is held where the name is taken, and touches nothing of the first', async () => {
  const id = uniqueId('shared');
  await ready(id);
  const before = await engineIds(id);
  const other = await prepared();
  try {
    await other.launch(id, { agent: 'demo' });
    const { steps } = await other.waitFor(id, isHeld);
    expect(steps.find(({ state }) => state === 'held')).toMatchObject({
      id: 'network',
      error: { code: 'NAME_TAKEN', message: expect.stringContaining('another bottle installation') },
    });
    expect(await other.objects()).toEqual([]);

    const handle = other.client.workflow.getHandle(id);
    await handle.executeUpdate('abort');
    const failed = (await handle.result().catch((error: unknown) => error)) as WorkflowFailedError;
    expect(failed.cause).toMatchObject({ type: 'Aborted', cause: { type: 'NAME_TAKEN' } });
    expect(await other.leftovers(id)).toEqual([]);
    expect(await engineIds(id)).toEqual(before);
    expect(await it.status(id)).toMatchObject({ phase: 'ready' });
  } finally {
    await other.dispose();
  }
  expect(await engineIds(id)).toEqual(before);
  expect(await it.down(id)).toEqual([]);
});
