/** What dies under a bottle is made again, and nothing else is. */
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ALL_OF_THE_MACHINE,
  attempts,
  bundleOf,
  goesDown,
  heals,
  inMachine,
  machineOf,
  ONCE,
  ranAgain,
} from '../support/healing.ts';
import { docker, type Installation, installation, isHeld, isReady, uniqueId } from '../support/installation.ts';

let it: Installation;

beforeAll(async () => {
  it = await installation();
  it.writeAgent('demo', 'image: minimal\nskills: [greet]', 'Be kind.');
  it.writeSkill('greet');
  await it.startWorker();
});
afterAll(() => it.dispose());

// Side by side: each waits for its own bottle most of the time.
describe.concurrent('under a ready bottle', () => {
  test('a killed bundle is started again, with its address, and nothing else is redone', async () => {
    const id = await heals(it, (each) => bundleOf(each).kill(), ['bundle']);
    const bundle = await bundleOf(id).inspect();
    expect(bundle.NetworkSettings.Networks[`bottle-${id}`]?.IPAddress).toBe((await it.status(id)).network?.bundleIp);
    await goesDown(it, id);
  });

  test('a removed bundle is made again', async () => {
    await goesDown(it, await heals(it, (id) => bundleOf(id).remove({ force: true }), ['bundle']));
  });

  test('a killed machine is started again and keeps its files', async () => {
    const id = await heals(it, (each) => machineOf(each).kill(), ['machine.start']);
    expect(await inMachine(id, 'test', '-f', '/home/agent/.claude/skills/greet/SKILL.md')).toBe(0);
    await goesDown(it, id);
  });

  test('a removed machine is made and provisioned again', async () => {
    await goesDown(it, await heals(it, (id) => machineOf(id).remove({ force: true }), ALL_OF_THE_MACHINE));
  });

  test('a bundle that dies again at once is made again later, which the status tells, or at once by a retry', async () => {
    const id = uniqueId('heal');
    const launch = await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    // On a busy computer a retry may come when the wait is over; the next one is twice as long.
    for (let [count, retried] = [1, '']; retried === ''; count += 1) {
      await bundleOf(id).kill();
      const { phase, healings } = await it.waitFor(id, (status) => status.healings?.count === count);
      expect(healings?.why).toEqual(['the bundle has ended with exit code 137']);
      if (healings?.nextAt !== undefined) {
        expect(phase).toBe('healing');
        retried = count < 3 ? '' : await launch.executeUpdate<string, []>('retry').catch(() => '');
        if (retried !== '') expect(retried).toBe('retry: what was lost, without waiting');
      }
      const after = await it.waitFor(id, (status) => isReady(status) && attempts(status)['bundle'] === count + 1);
      expect(after.healings).toMatchObject({ count, inARow: retried === '' ? expect.any(Number) : 0 });
    }
    const refused = await launch.executeUpdate('retry').catch((error: Error) => error.cause);
    expect(refused).toMatchObject({ message: 'no step is held' });
    await goesDown(it, id);
  });

  test('what the host keeps of it, removed behind our back, is made again; where the files have changed since, that is told', async () => {
    const id = uniqueId('heal');
    it.writeAgent(id, 'image: minimal', 'Be kind.');
    await it.launch(id, { agent: id });
    const before = await it.waitFor(id, isReady);
    const state = path.join(it.settings.state, 'bottles', id);
    const kept = readdirSync(state);
    rmSync(state, { recursive: true });
    const after = await it.waitFor(id, (status) => isReady(status) && status.healings?.count === 1);
    expect(ranAgain(before, after)).toEqual(['bundle', 'provision.ca', 'check']);
    expect(after.healings).toMatchObject({ count: 1, why: ['what the host keeps is gone'] });
    expect(readdirSync(state)).toEqual(kept);

    it.writeAgent(id, 'image: minimal', 'Be brief.');
    rmSync(state, { recursive: true });
    const { phase, trouble } = await it.waitFor(id, (status) => status.trouble !== undefined);
    expect([phase, trouble?.code]).toEqual(['ready', 'STATE_MISSING']);
    expect(trouble?.hint).toContain(`bottle apply ${id}`);
    await it.client.workflow.getHandle(id).executeUpdate('apply');
    await it.waitFor(id, (status) => isReady(status) && status.trouble === undefined && status.healings?.count === 2);
    expect(readdirSync(state)).toEqual(kept);
    await goesDown(it, id);
  });

  test('a limit of memory or processes that is met is told of in the status, and heals nothing', async () => {
    it.writeAgent('small', 'image: minimal\nresources: {memoryMiB: 256, pids: 64}', '');
    const id = uniqueId('oom');
    await it.launch(id, { agent: 'small' });
    await it.waitFor(id, isReady);
    const program = 'a = []; for (;;) a.push(Buffer.alloc(1e7, 1))';
    const exec = await machineOf(id).exec({ Cmd: ['node', '-e', program] });
    await exec.start({ Detach: true });
    const { phase, killedForMemory } = await it.waitFor(id, (status) => status.killedForMemory !== undefined);
    expect(phase).toBe('ready');
    expect(killedForMemory).toMatchObject([{ part: 'machine', count: 1, limitMiB: 256 }]);
    // It stays when no more can be started, so the machine stays full: other Engines' counts are looked at now and then only.
    const many = `const more = () => require('node:child_process').spawn('sleep', ['600']).on('spawn', more).on('error', () => {});
      more(); setInterval(() => {}, 1e6)`;
    const filling = await machineOf(id).exec({ Cmd: ['node', '-e', many] });
    await filling.start({ Detach: true });
    const full = await it.waitFor(id, (status) => status.outOfPids !== undefined);
    expect(full).toMatchObject({ phase: 'ready', outOfPids: { limit: 64 } });
    await goesDown(it, id);
  });
});

describe.concurrent('under a launch that is held', () => {
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
    await goesDown(it, id);
  });

  test('a machine with all that was in it, while a step is held', async () => {
    const id = await heldLaunch();
    const before = await it.status(id);
    await machineOf(id).remove({ force: true });
    const after = await it.waitFor(id, (status) => isHeld(status) && (status.healings?.count ?? 0) > 0);
    expect(ranAgain(before, after)).toEqual(ALL_OF_THE_MACHINE.filter((step) => step !== 'provision.skills'));
    it.writeSkill('late');
    await it.client.workflow.getHandle(id).executeUpdate('retry');
    await it.waitFor(id, isReady);
    expect(await inMachine(id, 'test', '-f', '/home/agent/.claude/skills/late/SKILL.md')).toBe(0);
    await goesDown(it, id);
  });
});

describe.concurrent('a bridge', () => {
  test('that loses the bundle, and then the machine, gets each back, and the machine runs on with its files', async () => {
    const id = await heals(
      it,
      (each) => docker.getNetwork(`bottle-${each}`).disconnect({ Container: `bottle-${each}-bundle`, Force: true }),
      ['bundle'],
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
    await goesDown(it, id);
  });
});
