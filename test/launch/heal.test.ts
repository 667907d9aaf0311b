import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusDocument } from '../../src/core/status.ts';
import { engineDoor } from '../support/engine-door.ts';
import {
  docker,
  type Installation,
  installation,
  isHeld,
  isReady,
  uniqueId,
  type WorkerProcess,
} from '../support/installation.ts';

let it: Installation;
let worker: WorkerProcess;

beforeAll(async () => {
  it = await installation();
  it.writeAgent('demo', 'skills: [greet]', 'Be kind.');
  it.writeSkill('greet');
  worker = await it.startWorker();
});
afterAll(() => it.dispose());

const attempts = ({ steps }: StatusDocument): Record<string, number> =>
  Object.fromEntries(steps.map((step) => [step.id, step.attempts]));

const ONCE = {
  prepare: 1,
  network: 1,
  bundle: 1,
  'machine.create': 1,
  'machine.start': 1,
  'provision.ca': 1,
  'provision.prompt': 1,
  'provision.skills': 1,
  'provision.git': 1,
  'provision.supervise': 1,
  'provision.agent': 1,
  check: 1,
};

/** A ready bottle; `break` does its worst to it; then it is ready again, having run just `again` once more. */
async function heals(harm: (id: string) => Promise<unknown>, again: Record<string, number>): Promise<string> {
  const id = uniqueId('heal');
  await it.launch(id, { agent: 'demo' });
  const before = await it.waitFor(id, ({ phase }) => phase === 'ready');
  expect(attempts(before)).toEqual(ONCE);
  await harm(id);
  const after = await it.waitFor(id, (status) => status.phase === 'ready' && attempts(status)['check'] === 2);
  expect(attempts(after)).toEqual({ ...ONCE, ...again, check: 2 });
  expect(after.network).toEqual(before.network);
  expect(after.readyAt).toBe(before.readyAt);
  return id;
}

async function down(id: string): Promise<void> {
  const handle = it.client.workflow.getHandle(id);
  await handle.executeUpdate('stop');
  await handle.result();
  expect(await it.objects(id)).toEqual([]);
}

test('a killed bundle is started again, with its address, and nothing else is redone', async () => {
  const id = await heals((each) => docker.getContainer(`bottle-${each}-bundle`).kill(), { bundle: 2 });
  const bundle = await docker.getContainer(`bottle-${id}-bundle`).inspect();
  expect(bundle.NetworkSettings.Networks[`bottle-${id}`]?.IPAddress).toBe((await it.status(id)).network?.bundleIp);
  await down(id);
});

test('a removed bundle is made again', async () => {
  await down(await heals((id) => docker.getContainer(`bottle-${id}-bundle`).remove({ force: true }), { bundle: 2 }));
});

test('a killed machine is started again and keeps its files', async () => {
  const id = await heals((each) => docker.getContainer(`bottle-${each}-machine`).kill(), { 'machine.start': 2 });
  const exec = await docker.getContainer(`bottle-${id}-machine`).exec({
    Cmd: ['test', '-f', '/home/agent/.claude/skills/greet/SKILL.md'],
  });
  await exec.start({ Detach: true });
  await expect.poll(async () => (await exec.inspect()).ExitCode).toBe(0);
  await down(id);
});

test('a removed machine is made and provisioned again', async () => {
  await down(await heals((id) => machineOf(id).remove({ force: true }), ALL_OF_THE_MACHINE));
});

test('what died while no worker was there is found by the next one, and a stop of the worker is not held up', async () => {
  const id = await heals(
    async (each) => {
      const start = Date.now();
      expect(await worker.stop()).toBe(0);
      // It did not wait for the grace that running activities have: a watch gives way at once.
      expect(Date.now() - start).toBeLessThan(10_000);
      await docker.getContainer(`bottle-${each}-bundle`).kill();
      worker = await it.startWorker();
    },
    { bundle: 2 },
  );
  await down(id);
});

test('a bottle that cannot be healed is held, and a retry heals it', async () => {
  const id = uniqueId('heal');
  const handle = await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, ({ phase }) => phase === 'ready');
  // Somebody else takes the bundle's place before the step can.
  const bundle = docker.getContainer(`bottle-${id}-bundle`);
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
  await it.waitFor(id, ({ phase }) => phase === 'ready');
  await down(id);
});

const ALL_OF_THE_MACHINE = {
  'machine.create': 2,
  'machine.start': 2,
  'provision.ca': 2,
  'provision.prompt': 2,
  'provision.skills': 2,
  'provision.git': 2,
  'provision.supervise': 2,
  'provision.agent': 2,
};
const bundleOf = (id: string) => docker.getContainer(`bottle-${id}-bundle`);
const machineOf = (id: string) => docker.getContainer(`bottle-${id}-machine`);

async function inMachine(id: string, ...Cmd: string[]): Promise<number | null> {
  const exec = await machineOf(id).exec({ Cmd });
  await exec.start({ Detach: true });
  await expect.poll(async () => (await exec.inspect()).Running).toBe(false);
  return (await exec.inspect()).ExitCode;
}

describe('what dies before the bottle is ready is found and made again', () => {
  /** A launch that is held since its skill is missing. */
  async function heldLaunch(): Promise<string> {
    const id = uniqueId('heal');
    it.writeAgent(id, 'image: minimal\nskills: [late]');
    await it.launch(id, { agent: id });
    await it.waitFor(id, isHeld);
    return id;
  }

  test('a bundle, while a step is held that has nothing to do with it', async () => {
    const id = await heldLaunch();
    await bundleOf(id).kill();
    const after = await it.waitFor(id, (status) => isHeld(status) && attempts(status)['bundle'] === 2);
    expect(after.steps.filter(({ state }) => state === 'held').map((step) => step.id)).toEqual(['provision.skills']);
    expect(after.healings).toMatchObject({ count: 1, why: ['the bundle has ended with exit code 137'] });
    await it.client.workflow.getHandle(id).executeUpdate('skip');
    expect(attempts(await it.waitFor(id, isReady))).toEqual({ ...ONCE, bundle: 2 });
    await down(id);
  });

  test('a machine with all that was in it, while a step is held', async () => {
    const id = await heldLaunch();
    await machineOf(id).remove({ force: true });
    const again = { ...ONCE, ...ALL_OF_THE_MACHINE, 'provision.skills': 1, check: 0 };
    const after = await it.waitFor(id, (status) => isHeld(status) && attempts(status)['provision.agent'] === 2);
    expect(attempts(after)).toEqual(again);
    it.writeSkill('late');
    await it.client.workflow.getHandle(id).executeUpdate('retry');
    await it.waitFor(id, isReady);
    expect(await inMachine(id, 'test', '-f', '/home/agent/.claude/skills/late/SKILL.md')).toBe(0);
    await down(id);
  });

  test.each([
    ['provision.prompt', 'a removed machine', (id: string) => machineOf(id).remove({ force: true }), 'machine.create'],
    ['provision.prompt', 'a killed machine', (id: string) => machineOf(id).kill(), 'machine.start'],
    ['check', 'a killed bundle', (id: string) => bundleOf(id).kill(), 'bundle'],
    ['check', 'a removed machine', (id: string) => machineOf(id).remove({ force: true }), 'machine.create'],
    ['machine.start', 'a removed machine', (id: string) => machineOf(id).remove({ force: true }), 'machine.create'],
  ])('just before %s: %s', async (at, _what, harm, maker) => {
    await worker.stop();
    const pausing = await it.startWorker({ at, when: 'before' });
    const id = uniqueId('heal');
    await it.launch(id, { agent: 'demo' });
    await pausing.paused();
    await harm(id);
    pausing.resume();
    const after = await it.waitFor(id, (status) => isReady(status) || status.phase === 'held');
    expect(after.steps.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(after.phase).toBe('ready');
    expect(attempts(after)[maker]).toBe(2);
    await down(id);
    await pausing.stop();
    worker = await it.startWorker();
  });
});

describe('a bridge', () => {
  test('that loses the bundle, and then the machine, gets each back, and the machine runs on with its files', async () => {
    const id = await heals(
      (each) => docker.getNetwork(`bottle-${each}`).disconnect({ Container: `bottle-${each}-bundle`, Force: true }),
      { bundle: 2 },
    );
    const before = await machineOf(id).inspect();
    expect(await inMachine(id, 'touch', '/home/agent/kept')).toBe(0);
    await docker.getNetwork(`bottle-${id}`).disconnect({ Container: `bottle-${id}-machine`, Force: true });
    await it.waitFor(id, (status) => isReady(status) && attempts(status)['machine.create'] === 2);
    const after = await machineOf(id).inspect();
    expect([after.Id, after.State.StartedAt]).toEqual([before.Id, before.State.StartedAt]);
    expect(after.NetworkSettings.Networks[`bottle-${id}`]?.IPAddress).toBe(
      before.NetworkSettings.Networks[`bottle-${id}`]?.IPAddress,
    );
    expect(await inMachine(id, 'test', '-f', '/home/agent/kept')).toBe(0);
    await down(id);
  });

  test('that is removed is made again with the addresses it had, and the machine keeps its files', async () => {
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
    await down(id);
  });
});

test('a bundle that dies again at once is made again later, and the status says when and why', async () => {
  const id = uniqueId('heal');
  await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, isReady);
  for (const count of [1, 2, 3]) {
    await bundleOf(id).kill();
    const { phase, healings } = await it.waitFor(id, (status) => status.healings?.count === count);
    if (count < 3) await it.waitFor(id, (status) => isReady(status) && attempts(status)['bundle'] === count + 1);
    else if (healings?.nextAt !== undefined) expect(phase).toBe('healing');
  }
  const { healings } = await it.waitFor(id, isReady);
  expect(healings).toMatchObject({ count: 3, why: ['the bundle has ended with exit code 137'] });
  await down(id);
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
    await down(id);
  } finally {
    await worker.stop();
    if (usual === undefined) delete it.env['DOCKER_HOST'];
    else it.env['DOCKER_HOST'] = usual;
    await door.dispose();
    worker = await it.startWorker();
  }
});

test('a limit of memory or processes that is met is told of in the status, and heals nothing', async () => {
  it.writeAgent('small', 'image: minimal\nresources: {memoryMiB: 256, pids: 64}', '');
  const id = uniqueId('oom');
  await it.launch(id, { agent: 'small' });
  await it.waitFor(id, ({ phase }) => phase === 'ready');
  const program = 'a = []; for (;;) a.push(Buffer.alloc(1e7, 1))';
  const exec = await docker.getContainer(`bottle-${id}-machine`).exec({ Cmd: ['node', '-e', program] });
  await exec.start({ Detach: true });
  const { phase, killedForMemory } = await it.waitFor(id, (status) => status.killedForMemory !== undefined);
  expect(phase).toBe('ready');
  expect(killedForMemory).toMatchObject([{ part: 'machine', count: 1, limitMiB: 256 }]);
  // It stays when no more can be started, so the machine stays full: other Engines' counts are looked at now and then only.
  const many = `const more = () => require('node:child_process').spawn('sleep', ['600']).on('spawn', more).on('error', () => {});
    more(); setInterval(() => {}, 1e6)`;
  const filling = await docker.getContainer(`bottle-${id}-machine`).exec({ Cmd: ['node', '-e', many] });
  await filling.start({ Detach: true });
  const full = await it.waitFor(id, (status) => status.outOfPids !== undefined);
  expect(full).toMatchObject({ phase: 'ready', outOfPids: { limit: 64 } });
  await down(id);
});
