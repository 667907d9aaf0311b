/** What dies while nobody looks: no worker is there, or the Engine is gone. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { engineDoor } from '../support/engine-door.ts';
import { attempts, bundleOf, goesDown, heals, inMachine, machineOf, ONCE } from '../support/healing.ts';
import {
  docker,
  type Installation,
  installation,
  isReady,
  uniqueId,
  type WorkerProcess,
} from '../support/installation.ts';

let it: Installation;
let worker: WorkerProcess;

beforeAll(async () => {
  it = await installation();
  it.writeAgent('demo', 'image: minimal\nskills: [greet]', 'Be kind.');
  it.writeSkill('greet');
  worker = await it.startWorker();
});
afterAll(() => it.dispose());

test('what died while no worker was there is found by the next one, and a stop of the worker is not held up', async () => {
  const id = await heals(
    it,
    async (each) => {
      const start = Date.now();
      expect(await worker.stop()).toBe(0);
      // It did not wait for the grace that running activities have: a watch gives way at once.
      expect(Date.now() - start).toBeLessThan(10_000);
      await bundleOf(each).kill();
      worker = await it.startWorker();
    },
    { bundle: 2 },
  );
  await goesDown(it, id);
});

test('a bottle that cannot be healed is held, and a retry heals it', async () => {
  const id = uniqueId('heal');
  const handle = await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, isReady);
  // Somebody else takes the bundle's place before the step can.
  const bundle = bundleOf(id);
  const { Image } = await bundle.inspect();
  await worker.stop();
  await bundle.remove({ force: true });
  const thief = await docker.createContainer({ name: `bottle-${id}-bundle`, Image });
  worker = await it.startWorker();
  try {
    const held = await it.waitFor(id, ({ phase }) => phase === 'held');
    expect(held.steps.find((step) => step.id === 'bundle')?.error?.code).toBe('NAME_TAKEN');
  } finally {
    await thief.remove({ force: true });
  }
  await handle.executeUpdate('retry');
  await it.waitFor(id, isReady);
  await goesDown(it, id);
});

test('a bridge that is removed is made again with the addresses it had, and the machine keeps its files', async () => {
  const remove = async (id: string): Promise<void> => {
    expect(await inMachine(id, 'touch', '/home/agent/kept')).toBe(0);
    await Promise.all([machineOf(id).kill(), bundleOf(id).kill()]);
    await docker.getNetwork(`bottle-${id}`).remove();
  };
  const id = uniqueId('heal');
  await it.launch(id, { agent: 'demo' });
  const before = await it.waitFor(id, isReady);
  await worker.stop();
  await remove(id);
  worker = await it.startWorker();
  const after = await it.waitFor(id, (status) => isReady(status) && attempts(status)['check'] === 2);
  expect(attempts(after)).toEqual({
    ...ONCE,
    network: 2,
    bundle: 2,
    'machine.create': 2,
    'machine.start': 2,
    check: 2,
  });
  expect(after.network).toEqual(before.network);
  expect(await inMachine(id, 'test', '-f', '/home/agent/kept')).toBe(0);
  await goesDown(it, id);
});

test('an Engine that goes away is told of by name, and what died meanwhile is made again when it is back', async () => {
  const door = await engineDoor(docker);
  // The tests may run on an Engine beside the usual one.
  const { DOCKER_HOST: usual } = it.env;
  try {
    await worker.stop();
    it.env['DOCKER_HOST'] = door.address;
    worker = await it.startWorker();
    const id = uniqueId('heal');
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    await door.shut();
    const blind = await it.waitFor(id, ({ trouble }) => trouble !== undefined);
    expect(blind).toMatchObject({ phase: 'ready', trouble: { code: 'DOCKER_UNREACHABLE' } });
    await bundleOf(id).kill();
    await door.open();
    const after = await it.waitFor(id, (status) => isReady(status) && attempts(status)['check'] === 2);
    expect(attempts(after)).toEqual({ ...ONCE, bundle: 2, check: 2 });
    expect(after.trouble).toBeUndefined();
    await goesDown(it, id);
  } finally {
    await worker.stop();
    if (usual === undefined) delete it.env['DOCKER_HOST'];
    else it.env['DOCKER_HOST'] = usual;
    await door.dispose();
    worker = await it.startWorker();
  }
});
