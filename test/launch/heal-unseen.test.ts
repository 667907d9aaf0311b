/** What dies while nobody looks: no worker is there, or the Engine is gone. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DockerRelay } from '../chaos/docker-relay.ts';
import { attempts, bundleOf, goesDown, heals, inMachine, machineOf, ONCE, ranAgain } from '../support/healing.ts';
import {
  docker,
  type Installation,
  installation,
  isReady,
  root,
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
    ['bundle'],
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

test('an Engine that goes away, or stands still, is told of by name, and what died meanwhile is made again when it is back', async () => {
  // The tests may run on an Engine beside the usual one.
  const { DOCKER_HOST: usual } = it.env;
  const { socketPath } = docker.modem as unknown as { socketPath: string };
  const socket = path.join(it.settings.state, 'docker.sock');
  const engine = new DockerRelay(socket, socketPath);
  await engine.open();
  try {
    await worker.stop();
    it.env['DOCKER_HOST'] = `unix://${socket}`;
    worker = await it.startWorker();
    const id = uniqueId('heal');
    await it.launch(id, { agent: 'demo' });
    const before = await it.waitFor(id, isReady);

    engine.refuse();
    const blind = await it.waitFor(id, ({ trouble }) => trouble !== undefined);
    expect(blind).toMatchObject({ phase: 'ready', trouble: { code: 'DOCKER_UNREACHABLE' } });
    await bundleOf(id).kill();
    await engine.open();
    const after = await it.waitFor(id, (status) => isReady(status) && (status.healings?.count ?? 0) > 0);
    expect(ranAgain(before, after)).toEqual(['bundle', 'check']);
    expect(after.trouble).toBeUndefined();

    engine.hang();
    const silent = {
      code: 'DOCKER_UNREACHABLE',
      message: `the Docker Engine at unix://${socket} (DOCKER_HOST) does not answer (ETIMEDOUT)`,
    };
    expect(await it.waitFor(id, ({ trouble }) => trouble !== undefined)).toMatchObject({ trouble: silent });
    const [status, rows, doctor] = await Promise.all([bottle('status', id), bottle('ls'), bottle('doctor')]);
    expect(status).toMatchObject({ phase: 'ready', trouble: silent, engineError: silent });
    expect(rows).toMatchObject([{ id, phase: 'ready', trouble: silent }]);
    const { checks } = doctor as { checks: { name: string; state: string; found: string }[] };
    expect(checks.find(({ name }) => name === 'Docker Engine')).toMatchObject({ state: 'fail', found: silent.message });
    // As another host is told, which cannot ask this one's Engine.
    const { memo } = await it.client.workflow.getHandle(id).describe();
    expect(memo).toMatchObject({ trouble: silent });

    await engine.open();
    const well = await it.waitFor(id, ({ trouble }) => trouble === undefined);
    expect([well.phase, attempts(well)]).toEqual(['ready', attempts(after)]);
    expect((await it.client.workflow.getHandle(id).describe()).memo).not.toHaveProperty('trouble');
    await goesDown(it, id);
  } finally {
    await worker.stop();
    if (usual === undefined) delete it.env['DOCKER_HOST'];
    else it.env['DOCKER_HOST'] = usual;
    engine.close();
    worker = await it.startWorker();
  }
});

/** What a command prints as JSON, whatever its exit code. */
async function bottle(...args: string[]): Promise<unknown> {
  const run = promisify(execFile)(process.execPath, [path.join(root, 'dist/client/main.js'), ...args, '--json'], {
    env: it.env,
  });
  const { stdout } = await run.catch((error: unknown) => error as { stdout: string });
  return JSON.parse(stdout);
}
