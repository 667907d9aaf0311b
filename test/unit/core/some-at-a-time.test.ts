import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { someAtATime } from '../../../src/core/some-at-a-time.ts';

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
