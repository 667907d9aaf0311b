/** Which processes of this host are a machine's, and that no other is ever ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { machineLock, startSlots, withOneOf } from '../../../src/host/machine/smolvm/locks.ts';
import {
  allBootProcesses,
  bootProcesses,
  isGone,
  killProcess,
  lifeCalls,
  parsePs,
} from '../../../src/host/machine/smolvm/processes.ts';
import { settle } from '../../../src/host/machine/smolvm/removal.ts';
import { machineDirectory } from '../../../src/host/machine/smolvm/state-directory.ts';

let state: string;
const children: ChildProcess[] = [];
beforeAll(() => {
  state = mkdtempSync(path.join(os.tmpdir(), 'bottle-processes-'));
  // A shell that is given one of these as its program has smolvm's own command line.
  for (const name of ['machine', '_boot-vm']) writeFileSync(path.join(state, name), 'sleep 60 & wait');
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(() => rmSync(state, { recursive: true, force: true }));

const running = (...argv: string[]): Promise<ChildProcess> => runningIn(state, ...argv);

async function runningIn(cwd: string, ...argv: string[]): Promise<ChildProcess> {
  const child = spawn('sh', argv, { cwd, stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  return child;
}
const boot = (name: string) => running('_boot-vm', path.join(machineDirectory(state, name), 'boot-config.json'));
const pids = (found: readonly { pid: number }[]): number[] => found.map(({ pid }) => pid);

describe('a machine is found', () => {
  test('by its name, among others of the same state directory, and not in another one', async () => {
    const one = await boot('one');
    const other = await boot('other');
    expect(pids(await bootProcesses(state, 'one'))).toEqual([one.pid]);
    expect(pids(await allBootProcesses(state)).sort()).toEqual([one.pid, other.pid].sort());
    expect(await allBootProcesses(`${state}/elsewhere`)).toEqual([]);
    expect(await bootProcesses(state, 'on')).toEqual([]);
  });

  test('not in what only speaks of it', async () => {
    await running('-c', 'sleep 60 & wait', 'grep', path.join(machineDirectory(state, 'one'), 'boot-config.json'));
    expect(await bootProcesses(state, 'one')).toEqual([]);
  });
});

describe('a call is found', () => {
  const call = (verb: string, directory: string, name: string) =>
    running('machine', verb, '--error-format', 'json', '--state-dir', directory, '--name', name);

  test('by machine and state directory, when it changes the machine', async () => {
    const start = await call('start', state, 'one');
    const stop = await call('stop', state, 'one');
    await call('exec', state, 'one');
    await call('start', state, 'two');
    await call('start', '/elsewhere', 'one');
    const found = await lifeCalls(state, 'one');
    expect(found.map(({ pid, verb }) => `${verb} ${pid}`).sort()).toEqual([`start ${start.pid}`, `stop ${stop.pid}`]);
  });

  test('and a start that nobody waits for is ended at once, while a short one may end by itself', async () => {
    const start = await call('start', state, 'one');
    const short = path.join(state, 'short');
    mkdirSync(short);
    writeFileSync(path.join(short, 'machine'), 'sleep 1');
    const stop = await runningIn(short, 'machine', 'stop', '--state-dir', state, '--name', 'one');
    const ends = Promise.all([once(start, 'exit'), once(stop, 'exit')]);
    const reports: string[] = [];
    await settle({ program: { path: 'smolvm' }, state }, 'one', (line) => void reports.push(line));
    expect(await ends).toEqual([
      [null, 'SIGKILL'],
      [0, null],
    ]);
    expect(reports).toEqual(['ended a "smolvm machine start" of one that nobody waited for']);
  });
});

describe('a process', () => {
  test('is ended when it is that very one', async () => {
    const child = await boot('one');
    const exit = once(child, 'exit');
    const [found] = await bootProcesses(state, 'one');
    expect(found && (await killProcess(found))).toBe(true);
    expect(await exit).toEqual([null, 'SIGKILL']);
    expect(found && (await killProcess(found))).toBe(false);
  });

  test('is left alone when its number is another one by now', async () => {
    const child = await boot('one');
    const [found] = await bootProcesses(state, 'one');
    const earlier = { ...found, started: `${Number(found?.started) - 1}` } as NonNullable<typeof found>;
    expect(await killProcess(earlier)).toBe(false);
    expect(await isGone(earlier, 0)).toBe(true);
    await sleep(50);
    expect([child.exitCode, child.signalCode]).toEqual([null, null]);
  });
});

test('the words of ps are read with the time of their start, which may have a blank more', () => {
  const lines = `    1 Mon Nov  2 09:05:07 2026 /sbin/launchd
 4242 Tue Nov 24 12:40:18 2026 /proc/self/exe _boot-vm /s/.cache/smolvm/vms/ab/boot-config.json
not a line of ps`;
  expect(parsePs(lines)).toEqual([
    { pid: 1, started: 'Mon Nov  2 09:05:07 2026', argv: ['/sbin/launchd'] },
    {
      pid: 4242,
      started: 'Tue Nov 24 12:40:18 2026',
      argv: ['/proc/self/exe', '_boot-vm', '/s/.cache/smolvm/vms/ab/boot-config.json'],
    },
  ]);
});

describe('locks', () => {
  test('let as many in as there are files, and the next one when one leaves', async () => {
    const files = startSlots({ state }, 2);
    let inside = 0;
    let most = 0;
    const each = async (): Promise<void> => {
      most = Math.max(most, ++inside);
      await sleep(60);
      inside--;
    };
    await Promise.all(Array.from({ length: 6 }, () => withOneOf(files, each)));
    expect([most, inside]).toEqual([2, 0]);
  });

  test('are left when what they guard fails', async () => {
    const files = [machineLock({ state }, 'one')];
    await expect(withOneOf(files, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await withOneOf(files, async () => 'in')).toBe('in');
  });

  test('are waited for no longer than the signal allows', async () => {
    const files = [machineLock({ state }, 'one')];
    const reason = new Error('enough');
    const controller = new AbortController();
    await withOneOf(files, async () => {
      const waiting = withOneOf(files, async () => 'in', controller.signal);
      setTimeout(() => controller.abort(reason), 50);
      await expect(waiting).rejects.toBe(reason);
    });
  });
});
