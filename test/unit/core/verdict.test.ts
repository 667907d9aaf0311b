import { describe, expect, test } from 'vitest';
import { parseDuration } from '../../../src/core/duration.ts';
import { parseVerdict } from '../../../src/core/verdict.ts';

const approved = { request: 'r', approve: true, note: null, forMs: null, private: false };

describe('a verdict', () => {
  test.each<[unknown[], object]>([
    [[{ request: 'r', decision: 'approve' }], approved],
    [['r', 'approve'], approved],
    [['r', 'deny', 'no'], { ...approved, approve: false, note: 'no' }],
    [['r', 'approve', null, null, null], approved],
    [[{ request: 'r', decision: 'deny', note: null, for: null, private: null }], { ...approved, approve: false }],
    [['r', 'approve', null, null, true], { ...approved, private: true }],
    [['r', 'approve', 'x'.repeat(2000)], { ...approved, note: 'x'.repeat(2000) }],
    [['r', 'approve', null, '10m'], { ...approved, forMs: 600_000 }],
    [
      [{ request: 'r', decision: 'approve', note: '', for: '1h', private: true }],
      { ...approved, forMs: 3_600_000, private: true },
    ],
  ])('%j is understood', (args, expected) => {
    expect(parseVerdict(args)).toEqual(expected);
  });

  test.each<[unknown[], string]>([
    [[], 'request: expected the id of a request'],
    [[null], 'request: expected the id of a request'],
    [[{}], 'request: expected the id of a request'],
    [[7, 'approve'], 'request: expected the id of a request'],
    [['r'], 'decision: expected "approve" or "deny"'],
    [['r', true], 'decision: expected "approve" or "deny"'],
    [[{ request: 'r', decision: 'approve', x: 1 }], 'x: unknown field (known: request, decision, note, for, private)'],
    [[{ request: 'r', decision: 'approve' }, 'more'], 'decide: expected one JSON object, got 2 arguments'],
    [['r', 'approve', null, null, true, 'more'], 'decide: expected at most 5 arguments, got 6'],
    [[['r', 'approve']], 'request: expected the id of a request'],
    [[{ request: '', decision: 'approve' }], 'request: expected the id of a request'],
    [['r', 'APPROVE'], 'decision: expected "approve" or "deny"'],
    [[{ request: 'r', decision: 'approve', for: 600 }], 'for: expected a time such as 30s, 10m, 2h or 1d'],
    [['r', 'approve', null, {}], 'for: expected a time such as 30s, 10m, 2h or 1d'],
    [['r', 'approve', 7], 'note: expected text'],
    [['r', 'approve', 'x'.repeat(2001)], 'note: expected at most 2000 characters'],
    [['r', 'approve', null, 'soon'], 'for: expected a time such as 30s, 10m, 2h or 1d'],
    [['r', 'deny', null, '1h'], 'for: only what is approved lasts for a time'],
    [['r', 'approve', null, null, 'yes'], 'private: expected true or false'],
  ])('%j is told what is wrong with it', (args, words) => {
    expect(parseVerdict(args)).toBe(words);
  });
});

describe('a time', () => {
  test.each([
    ['1s', 1000],
    ['90s', 90_000],
    ['10m', 600_000],
    ['2h', 7_200_000],
    [' 1 d ', 86_400_000],
    ['365d', 31_536_000_000],
  ])('%j is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each([
    '',
    '0s',
    '00s',
    '10',
    'm',
    '1 m s',
    '10M',
    '١0m',
    '1e3s',
    '+1s',
    '10m\n5',
    '-1s',
    '1.5h',
    '366d',
    '1w',
    '1h30m',
    '9999999999s',
  ])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});
