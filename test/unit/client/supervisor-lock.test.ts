import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isSupervised, takeSupervisorLock } from '../../../src/client/supervisor-lock.ts';
import { tryLock } from '../../../src/host/file-lock.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';

let settings: Settings;
beforeEach(() => {
  const state = mkdtempSync(path.join(os.tmpdir(), 'bottle-supervisor-'));
  settings = readSettings({ BOTTLE_STATE: state, BOTTLE_HOST: 'h' });
});
afterEach(() => rmSync(settings.state, { recursive: true, force: true }));

test('whoever looks makes nothing, and is told for as long as one is held', async () => {
  expect(isSupervised(settings)).toBe(false);
  expect(existsSync(path.join(settings.state, 'run'))).toBe(false);
  const lock = await takeSupervisorLock(settings);
  expect(isSupervised(settings)).toBe(true);
  lock?.release();
  expect(isSupervised(settings)).toBe(false);
});

test('is taken though somebody looks just now', async () => {
  mkdirSync(path.join(settings.state, 'run'), { mode: 0o700 });
  const looking = tryLock(path.join(settings.state, 'run', 'serve.lock'), 'shared');
  const taking = takeSupervisorLock(settings);
  looking?.release();
  const lock = await taking;
  expect(lock).not.toBeNull();
  lock?.release();
});
