/** The smolvm driver on the real program. On the stand-in: smolvm-standin-driver.test.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LABEL, machineName } from '../../src/core/names.ts';
import type { BottleRef } from '../../src/core/step-io.ts';
import type { MachineSpec } from '../../src/host/machine/driver.ts';
import { tryToBoot } from '../../src/host/machine/smolvm/boot-trial.ts';
import { callSmolvm } from '../../src/host/machine/smolvm/cli.ts';
import { imageSource } from '../../src/host/machine/smolvm/image.ts';
import { smolvmDriver } from '../../src/host/machine/smolvm/machine.ts';
import { allBootProcesses, bootProcesses, lifeCalls } from '../../src/host/machine/smolvm/processes.ts';
import { machineNames, readRecord } from '../../src/host/machine/smolvm/records.ts';
import { machineDirectory } from '../../src/host/machine/smolvm/state-directory.ts';
import { obtainSmolvm } from '../../src/host/smolvm-package.ts';
import { testMachineDriver } from '../contract/machine-driver.testsuite.ts';
import { NOBODYS, type SmolvmMachines, smolvmMachines } from '../support/smolvm-machines.ts';
import { importTiny } from '../support/tiny-image.ts';

const CALLER = fileURLToPath(new URL('../fixtures/smolvm-caller.ts', import.meta.url));
const CALL = { timeoutMs: 60_000 };

const real = await obtainSmolvm((line) => console.error(line));
const trial = await tryToBoot(real, new AbortController().signal);

testMachineDriver(`smolvm ${real.version}`, () => smolvmMachines(real), trial.boots ? {} : { noneBoots: trial.found });

describe('the real smolvm', () => {
  let machines: SmolvmMachines;
  let cache: string;
  /** Of next to nothing, so that a create is quick. */
  let image: string;

  beforeAll(async () => {
    cache = mkdtempSync('/tmp/bottle-cache-');
    machines = await smolvmMachines(real, cache);
    image = `bottle-test-${randomUUID()}:tiny`;
    await importTiny(machines.site.docker, image);
  });
  afterAll(async () => {
    await machines.site.docker.getImage(image).remove({ force: true });
    await machines.dispose();
    rmSync(cache, { recursive: true, force: true });
  });

  async function prepared(): Promise<{ bottle: BottleRef; spec: MachineSpec; id: string }> {
    const bottle = machines.site.bottle('vm');
    return { bottle, spec: { ...machines.site.machineSpec(NOBODYS), image }, id: bottle.id };
  }

  async function created(): Promise<{ bottle: BottleRef; spec: MachineSpec; id: string }> {
    const each = await prepared();
    await machines.driver.create(each.bottle, each.spec);
    return each;
  }

  /** As smolvm tells of it, which is all but the environment. */
  async function told(id: string): Promise<Record<string, unknown>> {
    const { stdout } = await callSmolvm(
      machines.smolvm,
      ['machine', 'status'],
      ['--json', '--name', machineName(id)],
      CALL,
    );
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  test('is told of the one address a machine may reach, of no name, and of whose it is', async () => {
    const { bottle, spec, id } = await prepared();
    await machines.driver.create(bottle, { ...spec, resources: { cpus: 1.5, memoryMiB: 700, pids: 64 } });
    const { allowed_cidrs: addresses, ...machine } = await told(id);
    expect(new Set(addresses as string[])).toEqual(new Set(['10.9.8.2/32']));
    expect(machine).toMatchObject({
      allowed_hosts: ['10.9.8.2'],
      cpus: 2,
      memory_mib: 700,
      storage_gb: 20,
      cmd: ['tini', '--', 'sleep', 'infinity'],
      mounts: 0,
      ports: 0,
      labels: {
        [LABEL.bottle]: id,
        [LABEL.run]: bottle.runId,
        [LABEL.owner]: machines.host.owner,
        [LABEL.step]: 'machine.create',
        [LABEL.spec]: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    });
  });

  test('one archive of an image serves every machine, and is written once', async () => {
    const archives = (): string[] => {
      const folder = path.join(machines.host.settings.cache, 'vm-images');
      return readdirSync(folder).map((name) => `${name} ${statSync(path.join(folder, name)).mtimeMs}`);
    };
    await created();
    const before = archives();
    await Promise.all([created(), created(), created()]);
    expect(archives()).toEqual(before);
    expect(before.filter((name) => name.includes('partial'))).toEqual([]);
  });

  test('an archive that a killed process left half-written goes, and those who need it at once get one file', async () => {
    const cache = mkdtempSync('/tmp/bottle-cache-');
    try {
      mkdirSync(path.join(cache, 'vm-images'));
      writeFileSync(path.join(cache, 'vm-images/half.partial'), 'half');
      const place = { docker: machines.site.docker, settings: { cache } };
      const sources = await Promise.all(Array.from({ length: 4 }, () => imageSource(place, image)));
      const files = new Set(await Promise.all(sources.map((source) => source.use(async (file) => file))));
      expect(files.size).toBe(1);
      const [file = ''] = files;
      expect(readdirSync(path.dirname(file)).sort()).toEqual([path.basename(file), 'in-use.lock', 'lock'].sort());
      expect(statSync(file).mode & 0o777).toBe(0o600);
    } finally {
      rmSync(cache, { recursive: true, force: true });
    }
  });

  test('an image built anew under the same tag makes another machine', async () => {
    const { bottle, spec, id } = await prepared();
    const tag = `bottle-test-${randomUUID()}:tiny`;
    const images: unknown[] = [];
    const imported: string[] = [];
    try {
      for (let round = 0; round < 2; round++) {
        imported.push(await importTiny(machines.site.docker, tag));
        await machines.driver.create(bottle, { ...spec, image: tag });
        images.push((await told(id))['image']);
      }
    } finally {
      for (const each of imported) await machines.site.docker.getImage(each).remove({ force: true });
    }
    expect(new Set(images).size).toBe(2);
  });

  test('what somebody made under that name by hand is left alone', async () => {
    const { bottle, spec, id } = await prepared();
    await callSmolvm(machines.smolvm, ['machine', 'create'], ['--name', machineName(id)], CALL);
    await expect(machines.driver.create(bottle, spec)).rejects.toMatchObject({
      code: 'NAME_TAKEN',
      message: expect.stringContaining('was not made by bottle'),
    });
    await expect(machines.driver.start(bottle)).rejects.toMatchObject({ code: 'NAME_TAKEN' });
    await machines.driver.stop(id);
    await machines.driver.delete(id);
    expect(await readRecord(machines.smolvm, machineName(id))).toBeDefined();
  });

  test('asking leaves nothing behind, whatever it asks for', async () => {
    const { bottle, id } = await prepared();
    const request = { argv: ['true'], stdout: new PassThrough(), stderr: new PassThrough() };
    await machines.driver.status(id);
    await machines.driver.exec(id, request).catch(() => undefined);
    await machines.driver.start(bottle).catch(() => undefined);
    await machines.driver.stop(id);
    await machines.driver.delete(id);
    expect(existsSync(machineDirectory(machines.smolvm.state, machineName(id)))).toBe(false);
  });

  test('a folder left without a record is removed before a new machine would find it', async () => {
    const { bottle, spec, id } = await prepared();
    const folder = machineDirectory(machines.smolvm.state, machineName(id));
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'storage.qcow2'), 'of another life');
    await machines.driver.create(bottle, spec);
    expect(existsSync(folder)).toBe(false);
    expect(machines.reports.join('\n')).toContain(folder);
  });

  test('a hidden machine that a broken-off start left goes with the next one that is deleted, one of a living start stays', async () => {
    const child = spawn('sleep', ['0']);
    await once(child, 'exit');
    const [dead, living] = [`image-seed-0123456789abcdef-${child.pid}`, `image-seed-0123456789abcdef-${process.pid}`];
    for (const name of [dead, living]) {
      await callSmolvm(machines.smolvm, ['machine', 'create'], ['--name', name], CALL);
    }
    const { id } = await created();
    await machines.driver.delete(id);
    const names = await machineNames(machines.smolvm);
    expect([names.includes(dead), names.includes(living)]).toEqual([false, true]);
    expect(machines.reports).toContain(`removed ${dead}, which a broken-off start had left`);
  });

  test('a .smolmachine can be what a machine is made from, and another content makes another machine', async () => {
    const { bottle, spec, id } = await prepared();
    const folder = mkdtempSync('/tmp/bottle-pack-');
    try {
      const bare = ['--name', 'to-pack', '--cpus', '1', '--mem', '512', '--storage', '1'];
      await callSmolvm(machines.smolvm, ['machine', 'create'], bare, CALL);
      // Its disks are made by a start, which may fail.
      await callSmolvm(machines.smolvm, ['machine', 'start'], ['--name', 'to-pack'], CALL);
      await callSmolvm(machines.smolvm, ['machine', 'stop'], ['--name', 'to-pack'], CALL);
      const from = ['--from-vm', 'to-pack', '-o', path.join(folder, 'guest')];
      expect(await callSmolvm(machines.smolvm, ['pack', 'create'], from, CALL)).not.toHaveProperty('failure.code');
      const image = path.join(folder, 'guest.smolmachine');
      await machines.driver.create(bottle, { ...spec, image });
      expect(await told(id)).toMatchObject({
        allowed_cidrs: ['10.9.8.2/32', '10.9.8.2/32'],
        allowed_hosts: ['10.9.8.2'],
      });
      const before = await machines.identity(id);
      await machines.driver.create(bottle, { ...spec, image });
      expect(await machines.identity(id)).toBe(before);
      writeFileSync(image, 'changed', { flag: 'a' });
      await machines.driver.create(bottle, { ...spec, image }).catch(() => undefined);
      expect(await machines.identity(id)).not.toBe(before);
      rmSync(image);
      await expect(machines.driver.create(bottle, { ...spec, image })).rejects.toMatchObject({ code: 'IMAGE_MISSING' });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('a trial of booting that is broken off leaves nothing', async () => {
    const folder = mkdtempSync('/tmp/bottle-trial-');
    try {
      const controller = new AbortController();
      const reason = new Error('enough');
      const tried = tryToBoot(real, controller.signal, folder);
      tried.catch(() => undefined);
      const booted = async (): Promise<number> => {
        const [state] = readdirSync(folder);
        return state === undefined ? 0 : (await allBootProcesses(path.join(folder, state))).length;
      };
      await expect.poll(booted).toBe(1);
      const [state = ''] = readdirSync(folder);
      controller.abort(reason);
      await expect(tried).rejects.toBe(reason);
      expect(readdirSync(folder)).toEqual([]);
      expect(await allBootProcesses(path.join(folder, state))).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('tells the bottles that have a machine, of this owner only', async () => {
    const one = await created();
    const stranger = smolvmDriver({ ...machines.host, owner: 'somebody/else' }, { find: async () => real });
    const other = await prepared();
    await stranger.create(other.bottle, other.spec);
    const listed = await machines.driver.bottles();
    expect(listed).toContainEqual({ id: one.id, run: one.bottle.runId });
    expect(listed.map(({ id }) => id)).not.toContain(other.bottle.id);
    expect(await stranger.bottles()).toEqual([{ id: other.bottle.id, run: other.bottle.runId }]);
  });

  describe.skipIf(trial.boots)('where no machine boots', () => {
    test('a start fails with its reason and where to look, leaves no process, and can be tried again', async () => {
      const { bottle, id } = await created();
      await expect(machines.driver.start(bottle)).rejects.toMatchObject({
        code: 'MACHINE_START_FAILED',
        message: expect.stringMatching(/did not start: .*(did not become ready|boot process exited)/),
        hint: expect.stringContaining('bottle doctor --boot'),
        retryable: false,
      });
      expect(await bootProcesses(machines.smolvm.state, machineName(id))).toEqual([]);
      expect(await machines.driver.status(id)).toBe('created');
      // It boots again; that it fails again takes half a minute more and shows nothing.
      const enough = new AbortController();
      const again = machines.driver.start(bottle, enough.signal);
      again.catch(() => undefined);
      await booting(id);
      enough.abort(new Error('it boots'));
      await expect(again).rejects.toThrow('it boots');
      expect(await machines.driver.status(id)).toBe('created');
      await machines.driver.stop(id);
      await machines.driver.delete(id);
      expect(await machines.remains(id)).toEqual([]);
    });

    test('an aborted start ends soon, with its process', async () => {
      const { bottle, id } = await created();
      const controller = new AbortController();
      const reason = new Error('enough');
      const started = machines.driver.start(bottle, controller.signal);
      started.catch(() => undefined);
      await booting(id);
      controller.abort(reason);
      await expect(started).rejects.toBe(reason);
      expect(await bootProcesses(machines.smolvm.state, machineName(id))).toEqual([]);
    });

    test('no more than two starts run at once, and a stop does not wait for a third', async () => {
      const controller = new AbortController();
      const all = await Promise.all([created(), created(), created()]);
      const started = all.map(({ bottle }) => machines.driver.start(bottle, controller.signal));
      for (const each of started) each.catch(() => undefined);
      const calls = async (): Promise<number> =>
        (await Promise.all(all.map(({ id }) => lifeCalls(machines.smolvm.state, machineName(id))))).flat().length;
      await expect.poll(calls).toBe(2);
      await sleep(1000);
      expect(await calls()).toBe(2);
      const idle = await Promise.all(
        all.map(async ({ id }) => (await lifeCalls(machines.smolvm.state, machineName(id))).length === 0),
      );
      const waiting = all[idle.indexOf(true)];
      await machines.driver.delete(waiting?.id ?? '');
      expect(await calls()).toBe(2);
      controller.abort(new Error('enough'));
      await Promise.allSettled(started);
      for (const { id } of all) await machines.driver.delete(id);
      expect((await Promise.all(all.map(({ id }) => machines.remains(id)))).flat()).toEqual([]);
    });

    describe('kill -9 of a worker', () => {
      test('in a create', async () => {
        for (const delay of delays(400)) {
          const { bottle, spec, id } = await prepared();
          await killedIn('create', { bottle, spec }, delay);
          if (delay % 2 === 0) {
            await machines.driver.create(bottle, spec);
            expect(await machines.driver.status(id)).toBe('created');
          }
          await goneWhole(id);
        }
      });

      test('in a start, whose smolvm goes on', async () => {
        for (const delay of [0, 100, 400, 1500]) {
          const { bottle, spec, id } = await created();
          await killedIn('start', { bottle, spec }, delay);
          await goneWhole(id);
        }
      });

      test('in a start, which the next attempt does not have to share with the smolvm of the dead one', async () => {
        const { bottle, spec, id } = await created();
        await calling('start', { bottle, spec }).then(async (worker) => {
          await booting(id);
          worker.kill('SIGKILL');
        });
        const controller = new AbortController();
        const reason = new Error('it boots and nobody disturbs it');
        setTimeout(() => controller.abort(reason), 8000);
        await expect(machines.driver.start(bottle, controller.signal)).rejects.toBe(reason);
        await goneWhole(id);
      });

      test('in a start, after which smolvm was killed too: the machine it was booting is found by nothing but its process', async () => {
        const { bottle, spec, id } = await created();
        await orphaned(bottle, spec);
        await machines.driver.delete(id);
        expect(await machines.remains(id)).toEqual([]);
      });

      test('in a start that was deleted by hand without a stop: its process is all there is, and is ended', async () => {
        const { bottle, spec, id } = await created();
        // Just begun, it ends by itself when its folder is gone.
        await orphaned(bottle, spec, 3000);
        await callSmolvm(machines.smolvm, ['machine', 'delete'], ['--name', machineName(id), '--force'], CALL);
        expect(await machines.remains(id)).toEqual([expect.stringMatching(/^process /)]);
        await machines.driver.delete(id);
        expect(await machines.remains(id)).toEqual([]);
        expect(machines.reports.join('\n')).toMatch(/killed the process \d+, in which/);
      });

      test.each(['stop', 'delete'] as const)('in a %s of a machine that was booting', async (verb) => {
        for (const delay of delays(300)) {
          const { bottle, spec, id } = await created();
          await orphaned(bottle, spec);
          await killedIn(verb, { bottle, spec }, delay);
          await goneWhole(id);
        }
      });
    });
  });

  /** Some moments of a time, even and odd, in no order of their own. */
  const delays = (ms: number): number[] => Array.from({ length: 4 }, () => Math.floor(Math.random() * ms));

  /** The worker's next attempt, or its undo, does what it does; then nothing is there, and nothing comes back. */
  async function goneWhole(id: string): Promise<void> {
    await machines.driver.delete(id);
    expect(await machines.remains(id)).toEqual([]);
    await sleep(500);
    expect(await machines.remains(id)).toEqual([]);
  }

  async function booting(id: string): Promise<number[]> {
    const found = async (): Promise<number[]> =>
      (await bootProcesses(machines.smolvm.state, machineName(id))).map(({ pid }) => pid);
    await expect.poll(found).not.toEqual([]);
    return found();
  }

  /** Leaves a machine booting of which no process knows any more. */
  async function orphaned(bottle: BottleRef, spec: MachineSpec, afterMs = 0): Promise<void> {
    const worker = await calling('start', { bottle, spec });
    await booting(bottle.id);
    await sleep(afterMs);
    worker.kill('SIGKILL');
    for (const { pid } of await lifeCalls(machines.smolvm.state, machineName(bottle.id))) process.kill(pid, 'SIGKILL');
    await expect.poll(() => lifeCalls(machines.smolvm.state, machineName(bottle.id))).toEqual([]);
  }

  async function killedIn(
    verb: string,
    made: { bottle: BottleRef; spec: MachineSpec },
    delayMs: number,
  ): Promise<void> {
    const worker = await calling(verb, made);
    await sleep(delayMs);
    worker.kill('SIGKILL');
    if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
  }

  /** A process that is about to call the driver. */
  async function calling(verb: string, made: { bottle: BottleRef; spec: MachineSpec }): Promise<ChildProcess> {
    const { owner, settings } = machines.host;
    const input = JSON.stringify({ verb, ...made, owner, settings, program: real });
    const worker = spawn(process.execPath, [CALLER, input], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(worker.stdout, 'data');
    return worker;
  }
});
