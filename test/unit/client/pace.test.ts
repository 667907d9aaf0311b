import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Pace, someAtATime } from '../../../src/client/pace.ts';

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

test('some at a time, and one that fails makes room like any other', async () => {
  const limited = someAtATime(2);
  let running = 0;
  let most = 0;
  const acts = Array.from({ length: 5 }, (_, n) =>
    limited(async () => {
      running += 1;
      most = Math.max(most, running);
      await sleep(5);
      running -= 1;
      if (n === 0) throw new Error('played');
    }),
  );
  const ended = await Promise.allSettled(acts);
  expect(ended.map(({ status }) => status)).toEqual(['rejected', ...Array(4).fill('fulfilled')]);
  expect(most).toBe(2);
});
