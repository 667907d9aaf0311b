import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffDelay, countEnd, DEFAULT_BACKOFF } from '../../../src/bundle/backoff.ts';

test('the delays double from 250 ms to 10 s and stay there', () => {
  const delays = [1, 2, 3, 4, 5, 6, 7, 8].map((ends) => backoffDelay(DEFAULT_BACKOFF, ends));
  expect(delays).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
});

test('however often it ended, the delay is between the first and the cap', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), (ends) => {
      const delay = backoffDelay(DEFAULT_BACKOFF, ends);
      expect(delay).toBeGreaterThanOrEqual(DEFAULT_BACKOFF.firstMs);
      expect(delay).toBeLessThanOrEqual(DEFAULT_BACKOFF.capMs);
    }),
  );
});

test('a healthy run starts the count anew; a short or never-ready one does not', () => {
  expect(countEnd(DEFAULT_BACKOFF, 4, DEFAULT_BACKOFF.healthyMs)).toBe(1);
  expect(countEnd(DEFAULT_BACKOFF, 4, DEFAULT_BACKOFF.healthyMs - 1)).toBe(5);
  expect(countEnd(DEFAULT_BACKOFF, 4, undefined)).toBe(5);
});
