import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StatusDocument } from '../../src/core/status.ts';
import { docker, type Installation, installation, uniqueId, type WorkerProcess } from '../support/installation.ts';

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
  const again = {
    'machine.create': 2,
    'machine.start': 2,
    'provision.ca': 2,
    'provision.prompt': 2,
    'provision.skills': 2,
    'provision.git': 2,
    'provision.supervise': 2,
    'provision.agent': 2,
  };
  await down(await heals((id) => docker.getContainer(`bottle-${id}-machine`).remove({ force: true }), again));
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
