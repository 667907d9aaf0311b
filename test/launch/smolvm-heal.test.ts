/** What becomes of bottles whose machines are microVMs when those die, or their launch does; with the stand-in for smolvm. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { machineName } from '../../src/core/names.ts';
import type { StatusDocument } from '../../src/core/status.ts';
import type { Smolvm } from '../../src/host/machine/smolvm/cli.ts';
import { bootProcesses } from '../../src/host/machine/smolvm/processes.ts';
import { relays } from '../../src/host/machine/smolvm/relay.ts';
import { machineStateDirectory } from '../../src/host/machine/smolvm/state-directory.ts';
import {
  type Installation,
  installation,
  isHeld,
  isReady,
  root,
  uniqueId,
  type WorkerProcess,
} from '../support/installation.ts';
import { endMachines, standIn, standInTrouble } from '../support/smolvm.ts';
import { remainsOf } from '../support/smolvm-machines.ts';

const trouble = standInTrouble();
if (trouble !== undefined) console.error(`left out: the stand-in for smolvm ${trouble}`);

describe.skipIf(trouble !== undefined)('a microVM', () => {
  let it: Installation;
  let smolvm: Smolvm;
  let worker: WorkerProcess;

  beforeAll(async () => {
    it = await installation();
    it.env['PATH'] = `${path.dirname(standIn)}${path.delimiter}${it.env['PATH']}`;
    it.writeAgent('demo', 'driver: smolvm\nimage: minimal\nskills: [greet]', 'Be kind.');
    it.writeSkill('greet');
    smolvm = { program: { path: standIn }, state: machineStateDirectory(it.settings) };
    worker = await it.startWorker();
  });
  afterAll(async () => {
    await endMachines(machineStateDirectory(it.settings));
    await it.dispose();
  });

  async function ready(): Promise<string> {
    const id = uniqueId('vm');
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    return id;
  }

  async function crash(id: string): Promise<void> {
    for (const { pid } of await bootProcesses(smolvm.state, machineName(id))) process.kill(pid, 'SIGKILL');
  }

  async function bottle(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(process.execPath, [path.join(root, 'dist/client/main.js'), ...args], {
      env: it.env,
    });
    return stdout;
  }

  const attempts = ({ steps }: StatusDocument): Record<string, number> =>
    Object.fromEntries(steps.map((step) => [step.id, step.attempts]));

  /** All that is there of a machine, by its kind. */
  const remains = async (id: string): Promise<string[]> =>
    (await remainsOf(smolvm, id)).map((each) => (each.startsWith('/') ? 'folder' : (each.split(' ')[0] as string)));

  test('that dies under a ready bottle is booted again, with its files, and nothing else is redone', async () => {
    const id = await ready();
    const before = await it.status(id);
    await bottle('exec', id, '--', 'sh', '-c', 'echo kept > kept');
    await crash(id);
    const after = await it.waitFor(id, (status) => isReady(status) && attempts(status)['check'] === 2);
    expect(attempts(after)).toEqual({ ...attempts(before), 'machine.start': 2, check: 2 });
    expect(await bottle('exec', id, '--', 'cat', 'kept')).toBe('kept\n');
    expect(await it.down(id)).toEqual([]);
    expect(await remains(id)).toEqual([]);
  });

  test('whose launch was terminated is told by gc --dry-run and removed by gc, and one of an open launch stays', async () => {
    const [dead, open] = [await ready(), await ready()];
    await it.client.workflow.getHandle(dead).terminate('test');
    const objects = [
      path.join(it.settings.state, 'bottles', dead),
      `bottle-${dead}`,
      `bottle-${dead}-bundle`,
      machineName(dead),
    ];
    const found = { removed: false, leftovers: [{ id: dead, objects }] };
    expect(JSON.parse(await bottle('gc', '--dry-run', '--json'))).toMatchObject(found);
    expect(await remains(dead)).toEqual(['record', 'folder', 'process']);
    expect(JSON.parse(await bottle('gc', '--json'))).toMatchObject({ ...found, removed: true });
    expect(await remains(dead)).toEqual([]);
    expect(await it.leftovers(dead)).toEqual([]);
    expect(await remains(open)).toEqual(['record', 'folder', 'process']);
    expect(await it.down(open)).toEqual([]);
  });

  test('without a network becomes ready, and its way to the bundle is mended when that dies', async () => {
    it.writeConfig('network: {link: sockets}\n');
    try {
      const id = await ready();
      const before = await it.status(id);
      expect(await remains(id)).toEqual(['record', 'folder', 'folder', 'process', 'relay']);
      expect(await bottle('exec', id, '--', 'ls', '/sys/class/net')).toBe('lo\n');
      expect(
        await bottle('exec', id, '--', 'sh', '-c', 'curl -s -o /dev/null -w "%{http_code}" http://example.org/'),
      ).toBe('403');
      for (const { pid } of await relays(it.settings, machineName(id))) process.kill(pid, 'SIGKILL');
      const after = await it.waitFor(id, (status) => isReady(status) && attempts(status)['check'] === 2);
      expect(attempts(after)).toEqual({ ...attempts(before), 'machine.start': 2, check: 2 });
      await crash(id);
      await it.waitFor(id, (status) => isReady(status) && attempts(status)['check'] === 3);
      expect(await it.down(id)).toEqual([]);
      expect(await remains(id)).toEqual([]);
    } finally {
      it.writeConfig('');
    }
  });

  test('whose program is gone from PATH under a ready bottle holds the launch, which answers and goes on once it is back', async () => {
    const [kept, given] = [await ready(), await ready()];
    const { PATH } = it.env;
    await worker.stop();
    it.env['PATH'] = PATH?.replace(`${path.dirname(standIn)}${path.delimiter}`, '');
    it.env['BOTTLE_CACHE'] = path.join(it.settings.state, 'no-programs');
    worker = await it.startWorker();
    for (const id of [kept, given]) {
      const { steps } = await it.waitFor(id, isHeld);
      expect(steps.filter(({ state }) => state === 'held')).toMatchObject([
        { id: 'machine.start', error: { code: 'DRIVER_UNAVAILABLE', hint: expect.any(String) } },
      ]);
    }
    const handle = it.client.workflow.getHandle(kept);
    expect(await handle.executeUpdate('retry')).toBe('retry: machine.start');
    await it.waitFor(kept, (status) => isHeld(status) && attempts(status)['machine.start'] === 2);
    expect(await it.client.workflow.getHandle(given).executeUpdate('stop')).toContain('stopping');

    await worker.stop();
    Object.assign(it.env, { PATH, BOTTLE_CACHE: it.settings.cache });
    worker = await it.startWorker();
    await handle.executeUpdate('retry');
    await it.waitFor(kept, isReady);
    expect(await it.down(kept)).toEqual([]);
    const undone = it.client.workflow.getHandle(given);
    await it.waitFor(given, isHeld);
    await undone.executeUpdate('retry');
    await it.closed(given);
    expect([...(await it.leftovers(given)), ...(await remains(given))]).toEqual([]);
  });
});
