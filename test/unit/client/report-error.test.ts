import { expect, test } from 'vitest';
import { logLine } from '../../../src/client/foreground.ts';
import { errorLines, viewOf } from '../../../src/client/report-error.ts';
import { BottleError } from '../../../src/core/errors.ts';

test('an error of ours keeps its code and hint', () => {
  const error = new BottleError('NO_SUCH_BOTTLE', 'there is no bottle "x"', { hint: 'bottle ls' });
  expect(viewOf(error)).toEqual({ code: 'NO_SUCH_BOTTLE', message: 'there is no bottle "x"', hint: 'bottle ls' });
});

test("a gRPC answer that nobody is there is Temporal's absence, however deep it is wrapped", () => {
  const grpc = Object.assign(new Error('14 UNAVAILABLE: connection refused'), { code: 14 });
  expect(viewOf(new Error('Failed to describe', { cause: grpc })).code).toBe('TEMPORAL_UNREACHABLE');
  expect(viewOf(Object.assign(new Error('3 INVALID_ARGUMENT'), { code: 3 })).code).toBe('INTERNAL');
});

test('anything else is a fault of ours, in one line', () => {
  expect(viewOf(new TypeError('x is\nnot a function'))).toEqual({ code: 'INTERNAL', message: 'x is not a function' });
  expect(viewOf(undefined)).toEqual({ code: 'INTERNAL', message: 'undefined' });
});

test('error lines carry no control characters', () => {
  expect(errorLines({ code: 'A', message: 'b\u001b[31mc', hint: 'd\u0007' })).toEqual(['error[A]: bc', 'hint: d']);
});

test('several problems are a line each, above the error; one alone is the error', () => {
  const view = { code: 'MANIFEST_INVALID', message: 'a; b', hint: 'look' };
  expect(errorLines({ ...view, problems: ['a.md:1:1: one', 'b.md:2:3: \u001b[1mtwo'] })).toEqual([
    'a.md:1:1: one',
    'b.md:2:3: two',
    'error[MANIFEST_INVALID]: 2 problems, listed above',
    'hint: look',
  ]);
  expect(errorLines({ ...view, problems: ['a.md:1:1: one'] })).toEqual(['error[MANIFEST_INVALID]: a; b', 'hint: look']);
  expect(errorLines({ ...view, problems: [] })).toEqual(['error[MANIFEST_INVALID]: a; b', 'hint: look']);
});

test('an error of ours keeps its problems where there are several, up to what a history should hold', () => {
  const error = (count: number) =>
    viewOf(new BottleError('MANIFEST_INVALID', 'x', { problems: Array.from({ length: count }, (_, at) => `p${at}`) }));
  expect(error(0)).not.toHaveProperty('problems');
  expect(error(1)).not.toHaveProperty('problems');
  expect(error(2).problems).toEqual(['p0', 'p1']);
  expect(error(60).problems).toHaveLength(51);
  expect(error(60).problems?.at(-1)).toBe('and 10 more');
});

test("a worker's JSON log line reads as time, level, message and facts; any other line as it is", () => {
  const time = Date.parse('2026-11-23T10:00:00.000Z');
  expect(
    logLine(JSON.stringify({ level: 30, time, pid: 7, hostname: 'h', msg: 'polling', address: 'a:1', x: {} })),
  ).toBe('10:00:00 info polling address=a:1');
  expect(logLine('error[WORKER_LOCKED]: busy')).toBe('error[WORKER_LOCKED]: busy');
  expect(logLine('{"level":30}')).toBe('{"level":30}');
  expect(logLine('null')).toBe('null');
});
