import { expect, test } from 'vitest';
import { isOutlier, settleTimes } from '../../chaos/report.ts';
import type { Settled } from '../../chaos/settle.ts';

const rest = (ms: number): Settled => ({ id: 'a', state: 'ready', ms, status: undefined, why: '' });

test('a rest that took far longer than the others stands out, so that its history is kept and explained', () => {
  const times = settleTimes([rest(900), rest(1000), rest(1100), rest(120_000)]);
  expect(times).toMatchObject({ count: 4, worstMs: 120_000 });
  const median = times?.medianMs ?? 0;
  expect([7_700, 20_001, 120_000].map((ms) => isOutlier(rest(ms), median))).toEqual([false, true, true]);
  // On a computer where all take long, long is no wonder.
  expect(isOutlier(rest(120_000), 60_000)).toBe(false);
});
