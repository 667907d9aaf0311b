import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Installation, installation, uniqueId } from '../support/installation.ts';

let it: Installation;

beforeAll(async () => {
  it = await installation();
  it.writeBottle('closed', 'allow: [example.com]');
  it.writeAgent('demo', 'bottle: closed\nskills: [greet]', 'Be kind.');
  it.writeSkill('greet');
  await it.startWorker();
});
afterAll(() => it.dispose());

test('a launch becomes ready, and a stop leaves nothing', async () => {
  const id = uniqueId('happy');
  const handle = await it.launch(id, { agent: 'demo' });
  const ready = await it.waitFor(id, ({ phase }) => phase === 'ready');
  expect(ready.steps.map(({ state }) => state)).toEqual(ready.steps.map(() => 'done'));
  expect(await it.objects(id)).toEqual([`/bottle-${id}-bundle`, `/bottle-${id}-machine`, `bottle-${id}`]);

  await handle.executeUpdate('stop');
  const last = await handle.result();
  expect(last).toMatchObject({ phase: 'stopped', network: null, bundle: null, machine: { state: 'absent' } });
  expect(await it.leftovers(id)).toEqual([]);
});
