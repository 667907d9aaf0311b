import { expect, test } from 'vitest';
import { Pace } from '../../../src/client/pace.ts';

test('however many ask, turns are as far apart as for one', async () => {
  const pace = new Pace(20);
  const { signal } = new AbortController();
  const began = performance.now();
  const took = Array.from({ length: 6 }, () => pace.turn(signal).then(() => performance.now() - began));
  // Timers may fire a millisecond early.
  for (const [n, ms] of (await Promise.all(took)).entries()) expect(ms).toBeGreaterThanOrEqual(n * 20 - n - 1);
});

test('who is not interested any more waits for no turn', async () => {
  const pace = new Pace(60_000);
  await pace.turn(new AbortController().signal);
  await pace.turn(AbortSignal.abort());
});
