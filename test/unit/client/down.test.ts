import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { run } from '../../../src/client/commands/down.ts';
import { createOutput } from '../../../src/client/output.ts';
import { BottleError } from '../../../src/core/errors.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import { takeWorkerLock } from '../../../src/host/worker-lock.ts';

const launch = { id: 'demo', runId: 'r', host: 'h' };
const followed = vi.fn<() => void>();
const cancel = vi.fn<() => Promise<void>>();
let settings: Settings;

vi.mock('../../../src/client/engine.ts', () => ({
  ensureServed: async () => undefined,
  withEngine: (context: { settings: Settings }, act: (session: unknown) => Promise<number>) =>
    act({
      settings: context.settings,
      target: { kind: 'embedded', address: 'there', namespace: 'default' },
      client: { workflow: { getHandle: () => ({ cancel }) } },
    }),
}));
vi.mock('../../../src/client/open-launch.ts', () => ({ openLaunch: async () => launch }));
vi.mock('../../../src/client/stop-launch.ts', () => ({
  stopLaunch: async () => {
    throw new BottleError('WORKER_UNREACHABLE', "the worker of demo's host does not answer");
  },
}));
vi.mock('../../../src/client/settle.ts', () => ({
  untilSettled: async () => {
    followed();
    return { kind: 'closed', status: { id: 'demo', phase: 'stopped' } };
  },
}));

beforeEach(() => {
  settings = readSettings({ BOTTLE_STATE: mkdtempSync(path.join(os.tmpdir(), 'bottle-down-')), BOTTLE_HOST: 'h' });
});
afterEach(() => {
  vi.resetAllMocks();
  vi.restoreAllMocks();
  rmSync(settings.state, { recursive: true, force: true });
});

const down = (): Promise<number> => {
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const output = createOutput({ json: true, quiet: true, debug: false });
  return run({ output, settings }, ['demo'], {});
};

test('a stop that nobody answered is recorded, and followed to its end while the worker of this host lives', async () => {
  const lock = await takeWorkerLock(settings);
  expect(await down().finally(() => lock.release())).toBe(0);
  expect([cancel, followed].map((each) => each.mock.calls.length)).toEqual([1, 1]);
});

test('where no worker of this host lives, what is recorded is all that is told', async () => {
  expect(await down()).toBe(5);
  expect([cancel, followed].map((each) => each.mock.calls.length)).toEqual([1, 0]);
});

test('one that is over before its stop is recorded is gone', async () => {
  cancel.mockRejectedValueOnce(Object.assign(new Error('already completed'), { name: 'WorkflowNotFoundError' }));
  expect(await down()).toBe(0);
});
