/** Which process is this host's worker, and of which server: by lock and record, never by a number alone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Context } from '../../../src/client/context.ts';
import { serveInForeground } from '../../../src/client/foreground.ts';
import { assertMatchable } from '../../../src/client/worker-match.ts';
import { startWorker, stopWorker } from '../../../src/client/worker-process.ts';
import { writeBottleState } from '../../../src/host/bottle-state.ts';
import type { FileLock } from '../../../src/host/file-lock.ts';
import { writePrivateSync } from '../../../src/host/private-file.ts';
import { settings as readSettings, type Settings, stateDirectory } from '../../../src/host/settings.ts';
import type { TemporalTarget } from '../../../src/host/temporal-target.ts';
import { takeWorkerLock } from '../../../src/host/worker-lock.ts';
import { workerPlace } from '../../../src/host/worker-place.ts';
import { NONE, plan } from '../core/plan-fixture.ts';

let settings: Settings;
/** Lives as long as a test, under a command line that could be a worker's. */
let other: ChildProcess;
let lock: FileLock | undefined;
beforeEach(async () => {
  settings = readSettings({ BOTTLE_STATE: mkdtempSync(path.join(os.tmpdir(), 'bottle-worker-')), BOTTLE_HOST: 'h' });
  other = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1e6)', 'worker.js'], { stdio: 'ignore' });
  await once(other, 'spawn');
  write('worker.pid', `${other.pid}\n`);
});
afterEach(() => {
  lock?.release();
  lock = undefined;
  other.kill('SIGKILL');
  rmSync(settings.state, { recursive: true, force: true });
});

const write = (name: string, text: string): void =>
  writePrivateSync(path.join(stateDirectory(settings, 'run'), name), text);
const writeRecord = (more: object = {}): void =>
  write('worker.json', JSON.stringify({ pid: other.pid, address: 'there:7233', namespace: 'default', ...more }));

const here = { kind: 'external', address: 'here:7233', namespace: 'default' } as TemporalTarget;
const context = { output: { say: () => undefined, errColours: { dim: String } } } as unknown as Context;
const REFUSED = { code: 'WORKER_UNREACHABLE', message: expect.stringContaining('serves there:7233') };

test('another program that has the id of a dead worker is not stopped as one', async () => {
  expect(await stopWorker(settings)).toBe('not-running');
  await sleep(50);
  expect([other.exitCode, other.signalCode]).toEqual([null, null]);
});

test('another program that has the id of a dead worker keeps nobody from starting one', async () => {
  await writeBottleState(settings, 'demo', { plan: plan(NONE), prompt: '', launch: { agent: 'demo' } });
  writeRecord(workerPlace(settings, { ...process.env, HOST_TOKEN: 'x', BOTTLE_TOOLS: '/tools' }));
  await expect(assertMatchable(settings, ['HOST_TOKEN'])).resolves.toBeUndefined();
  lock = await takeWorkerLock(settings);
  await expect(assertMatchable(settings, ['HOST_TOKEN'])).rejects.toMatchObject({ code: 'WORKER_DIFFERS' });
});

test.each(['polls', 'begins to poll'])('a worker of another server that %s is none of this one', async (what) => {
  lock = await takeWorkerLock(settings);
  if (what === 'polls') writeRecord();
  else setTimeout(writeRecord, 100);
  await expect(startWorker(settings, here, { detached: true })).rejects.toMatchObject(REFUSED);
});

test('a serve in the foreground refuses beside a worker of another server', async () => {
  lock = await takeWorkerLock(settings);
  writeRecord();
  await expect(serveInForeground({ ...context, settings }, here)).rejects.toMatchObject(REFUSED);
});
