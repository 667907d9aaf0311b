import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { ActivityHost } from '../../../src/activities/activity-host.ts';
import { prepare } from '../../../src/activities/prepare.ts';
import { settings as readSettings } from '../../../src/host/settings.ts';

let planning = 0;
let most = 0;
const looked = Promise.withResolvers<void>();
vi.mock('../../../src/host/planning.ts', () => ({
  makePlan: async () => {
    planning += 1;
    most = Math.max(most, planning);
    await looked.promise;
    planning -= 1;
    throw new Error('no plan');
  },
}));

test('however many launches are asked for at once, a few plans are made at a time', async () => {
  const state = mkdtempSync(path.join(os.tmpdir(), 'bottle-prepare-'));
  const host = { settings: readSettings({ BOTTLE_STATE: state }), owner: 'o' } as ActivityHost;
  const few = os.availableParallelism() + 2;
  try {
    const asked = Array.from({ length: few * 2 }, (_, n) =>
      prepare(host, { bottle: { id: `b-${n}`, runId: 'r' }, agent: 'a' }),
    );
    // All have come so far that they would make their plans.
    await vi.waitFor(() => {
      for (const n of asked.keys()) expect(existsSync(path.join(state, 'bottles', `b-${n}`))).toBe(true);
      expect(most).toBeGreaterThanOrEqual(few);
    }, 60_000);
    await sleep(50);
    looked.resolve();
    for (const { status, reason } of (await Promise.allSettled(asked)) as PromiseRejectedResult[])
      expect([status, (reason as Error).message]).toEqual(['rejected', 'no plan']);
    expect(most).toBe(few);
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
});
