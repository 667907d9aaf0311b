/** As many bottles as a host takes: what they wait for keeps nobody else waiting. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mergeStatus } from '../../src/client/bottle-status.ts';
import { listBottles } from '../../src/client/list-bottles.ts';
import type { Session } from '../../src/client/session.ts';
import type { StatusDocument } from '../../src/core/status.ts';
import { type Installation, installation, isReady, uniqueId } from '../support/installation.ts';

const NARROW = 'test/fixtures/narrow-worker.ts';

let it: Installation;
beforeAll(async () => {
  it = await installation();
  it.writeAgent('small', 'image: minimal');
});
afterAll(() => it.dispose());

test('more bottles are ready than steps can run at a time, and each can still be reloaded and taken down', async () => {
  const worker = await it.startWorker(undefined, NARROW);
  const ids = [uniqueId('many'), uniqueId('many'), uniqueId('many')];
  await Promise.all(ids.map((id) => it.launch(id, { agent: 'small' })));
  for (const id of ids) await it.waitFor(id, isReady);
  const [first, ...others] = ids as [string, string, string];
  expect(await it.client.workflow.getHandle(first).executeUpdate('reload')).toBe('reload: bundle');
  await it.waitFor(
    first,
    (status) => isReady(status) && status.steps.find(({ id }) => id === 'bundle')?.attempts === 2,
  );
  expect(await it.down(first)).toEqual([]);
  // The next worker watches the others from where the last one left off.
  await worker.kill();
  const next = await it.startWorker(undefined, NARROW);
  for (const id of others) expect(await it.down(id)).toEqual([]);
  await next.kill();
});

describe('a launch that the host has no room for', () => {
  const rows = async () =>
    (await listBottles({ client: it.client } as Session, { all: false })).map(({ id, phase, waitsFor }) => [
      id,
      phase,
      waitsFor?.what,
    ]);
  const isQueued = ({ phase }: StatusDocument): boolean => phase === 'queued';

  test('waits as queued, told of why, in its order, past the death of the worker, and can be taken back at any time', async () => {
    it.writeConfig('capacity: {bottles: 1}');
    const worker = await it.startWorker();
    const [first, second, third, fourth] = [1, 2, 3, 4].map((n) => uniqueId(`room${n}`)) as [
      string,
      string,
      string,
      string,
    ];
    await it.launch(first, { agent: 'small' });
    await it.waitFor(first, isReady);
    for (const id of [second, third, fourth]) {
      await it.launch(id, { agent: 'small' });
      await it.waitFor(id, isQueued);
    }
    const { waitsFor, steps, network } = await it.status(second);
    expect(waitsFor).toMatchObject({ what: 'bottles', message: expect.stringContaining('capacity.bottles') });
    expect(steps.map(({ id, state }) => [id, state]).slice(0, 2)).toEqual([
      ['prepare', 'running'],
      ['network', 'pending'],
    ]);
    expect(network).toBeNull();
    await expect
      .poll(async () => (await rows()).sort())
      .toEqual([
        [first, 'ready', undefined],
        [second, 'queued', 'bottles'],
        [third, 'queued', 'turn'],
        [fourth, 'queued', 'turn'],
      ]);

    await worker.kill();
    await it.startWorker();
    // Both at once, although what waits is not held.
    expect(await it.down(third)).toEqual([]);
    const aborted = it.client.workflow.getHandle(fourth);
    expect(await aborted.executeUpdate('abort')).toBe('abort: prepare');
    await expect(aborted.result()).rejects.toMatchObject({ cause: { type: 'Aborted', cause: { type: 'HOST_FULL' } } });
    expect(await it.leftovers(fourth)).toEqual([]);

    const last = uniqueId('room5');
    await it.launch(last, { agent: 'small' });
    await it.waitFor(last, isQueued);
    // What it waits for changes, and is told where it leaves no trace in the history.
    const description = () => it.client.workflow.getHandle(second).describe();
    const session = { target: { uiUrl: () => null } } as unknown as Session;
    await expect
      .poll(async () => mergeStatus(await it.status(second), await description(), session).waitsFor?.what)
      .toBe('bottles');
    expect(await it.down(first)).toEqual([]);
    await it.waitFor(second, isReady);
    expect((await it.status(last)).phase).toBe('queued');
    it.writeConfig('capacity: {bottles: 2}');
    await it.waitFor(last, isReady);
    expect((await it.status(last)).waitsFor).toBeUndefined();
    for (const id of [second, last]) expect(await it.down(id)).toEqual([]);
  });

  test('waits beside those that launch, and all of them come up', async () => {
    it.writeConfig('capacity: {launching: 1}');
    const ids = [1, 2, 3].map((n) => uniqueId(`turn${n}`));
    await Promise.all(ids.map((id) => it.launch(id, { agent: 'small' })));
    for (const id of ids) await it.waitFor(id, isReady);
    for (const id of ids) expect(await it.down(id)).toEqual([]);
  });
});
