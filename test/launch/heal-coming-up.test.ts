/** What dies just before the step that needs it, before the bottle is ready, is found and made again. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { attempts, bundleOf, goesDown, machineOf } from '../support/healing.ts';
import { type Installation, installation, isReady, uniqueId, type WorkerProcess } from '../support/installation.ts';

let it: Installation;
let worker: WorkerProcess;

beforeAll(async () => {
  it = await installation();
  it.writeAgent('demo', 'image: minimal\nskills: [greet]', 'Be kind.');
  it.writeSkill('greet');
  worker = await it.startWorker({ at: 'nowhere', when: 'before' });
});
afterAll(() => it.dispose());

test.each([
  ['provision.prompt', 'a removed machine', (id: string) => machineOf(id).remove({ force: true }), 'machine.create'],
  ['provision.prompt', 'a killed machine', (id: string) => machineOf(id).kill(), 'machine.start'],
  ['check', 'a killed bundle', (id: string) => bundleOf(id).kill(), 'bundle'],
  ['check', 'a removed machine', (id: string) => machineOf(id).remove({ force: true }), 'machine.create'],
  ['machine.start', 'a removed machine', (id: string) => machineOf(id).remove({ force: true }), 'machine.create'],
])('just before %s: %s', async (at, _what, harm, maker) => {
  worker.pauseAt({ at, when: 'before' });
  const id = uniqueId('heal');
  await it.launch(id, { agent: 'demo' });
  await worker.paused();
  await harm(id);
  worker.resume();
  const after = await it.waitFor(id, (status) => isReady(status) || status.phase === 'held');
  expect(after.steps.filter(({ error }) => error !== undefined)).toEqual([]);
  expect(after.phase).toBe('ready');
  expect(attempts(after)[maker]).toBe(2);
  await goesDown(it, id);
});
