import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tryLock } from '../../../src/host/file-lock.ts';
import { settings as readSettings, type Settings, stateDirectory } from '../../../src/host/settings.ts';
import { takeWorkerLock, workerIsAlive } from '../../../src/host/worker-lock.ts';

let settings: Settings;
beforeEach(() => {
  settings = readSettings({ BOTTLE_STATE: mkdtempSync(path.join(os.tmpdir(), 'bottle-lock-')), BOTTLE_HOST: 'h' });
});
afterEach(() => rmSync(settings.state, { recursive: true, force: true }));

/** As another command does that looks at the same instant. */
const look = () => tryLock(path.join(stateDirectory(settings, 'run'), 'worker.lock'), 'shared');

test('who looks is told of a worker, and of none while somebody else looks just now', async () => {
  expect(await workerIsAlive(settings)).toBe(false);
  const looking = look();
  expect(await workerIsAlive(settings)).toBe(false);
  looking?.release();
  const lock = await takeWorkerLock(settings);
  expect(await workerIsAlive(settings)).toBe(true);
  await expect(takeWorkerLock(settings)).rejects.toMatchObject({ code: 'WORKER_LOCKED' });
  lock.release();
  expect(await workerIsAlive(settings)).toBe(false);
});

test('a worker that starts while somebody looks just now is not taken for a second one', async () => {
  const looking = look();
  const taking = takeWorkerLock(settings);
  looking?.release();
  (await taking).release();
});
