import { describe, expect, test } from 'vitest';
import { sinceOf, tailOf } from '../../../src/client/log-range.ts';

const NOW = Date.parse('2026-11-23T10:00:00Z');

describe('--since', () => {
  test.each([
    ['10m', '2026-11-23T09:50:00.000Z'],
    ['1h30m', '2026-11-23T08:30:00.000Z'],
    ['1.5s', '2026-11-23T09:59:58.500Z'],
    ['2d', '2026-11-21T10:00:00.000Z'],
    ['0s', '2026-11-23T10:00:00.000Z'],
    ['2026-11-23T09:00:00Z', '2026-11-23T09:00:00.000Z'],
    ['2026-11-23T09:00:00.123456789Z', '2026-11-23T09:00:00.123456789Z'],
    ['2026-11-23T10:00:00+01:00', '2026-11-23T09:00:00.000Z'],
    ['2026-11-23T09Z', '2026-11-23T09:00:00.000Z'],
    ['1763888400', '2025-11-23T09:00:00.000Z'],
    ['1763888400.25', '2025-11-23T09:00:00.25Z'],
  ])('%s is %s', (text, at) => {
    expect(sinceOf(text, NOW)).toBe(at);
  });

  test("a day and a time without a zone are this computer's", () => {
    const midnight = new Date(2026, 10, 23).toISOString();
    expect(sinceOf('2026-11-23', NOW)).toBe(midnight);
    expect(sinceOf('2026-11-23T00:00:00', NOW)).toBe(midnight);
  });

  test.each(['', 'yesterday', '10', '-5m', '5 m', '2026-13-01', '2026-11-23T25:00:00Z', '999999999999d'])(
    '%j is refused, or a time',
    (text) => {
      // Seconds since 1970 are numbers too.
      if (text === '10') expect(sinceOf(text, NOW)).toBe('1970-01-01T00:00:10.000Z');
      else expect(() => sinceOf(text, NOW)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );
});

describe('--tail', () => {
  test.each([
    [undefined, undefined],
    ['all', undefined],
    ['0', 0],
    ['20', 20],
  ])('%j is %j', (text, count) => {
    expect(tailOf(text)).toBe(count);
  });

  test.each(['', '-1', '1.5', 'ten', '1e3'])('%j is refused', (text) => {
    expect(() => tailOf(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});
