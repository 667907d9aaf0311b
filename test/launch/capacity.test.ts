/** As many bottles as a host takes: what they wait for keeps nobody else waiting. */
import { afterAll, beforeAll, expect, test } from 'vitest';
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
