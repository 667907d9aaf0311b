import { expect, test } from 'vitest';
import { exitCodeOf, resultLine } from '../../../src/client/conclude.ts';
import { isGoingDown, restOf, type Settled } from '../../../src/client/settle.ts';
import { held, launching, status, step, undoHeld } from './status-fixture.ts';

const ready = status([step('check', 'done')], { phase: 'ready', readyAt: '2026-11-23T10:00:02.000Z' });

test('a launch rests when it is ready, closed, or held with nothing running', () => {
  expect(restOf(launching, false, 'ready')).toBeUndefined();
  expect(restOf(ready, false, 'ready')).toBe('ready');
  expect(restOf(held, false, 'ready')).toBe('held');
  expect(restOf(launching, true, 'ready')).toBe('closed');
});

test('a hold does not end the wait while siblings still run or are being undone', () => {
  const busy = (state: 'running' | 'undoing') => status([step('bundle', state), ...held.steps], { phase: 'held' });
  expect(restOf(busy('running'), false, 'ready')).toBeUndefined();
  expect(restOf(busy('undoing'), false, 'gone')).toBeUndefined();
});

test('whoever waits for its end is not content with a ready bottle, nor with a phase that only says stopped', () => {
  expect(restOf(ready, false, 'gone')).toBeUndefined();
  expect(restOf(status([], { phase: 'stopped' }), false, 'gone')).toBeUndefined();
  expect(restOf(undoHeld, false, 'gone')).toBe('held');
});

test('a launch with anything undone is on its way down', () => {
  expect(isGoingDown(undoHeld)).toBe(true);
  expect(isGoingDown(status([], { phase: 'stopping' }))).toBe(true);
  expect(isGoingDown(held)).toBe(false);
  expect(isGoingDown(ready)).toBe(false);
});

test.each<[Settled['kind'], 'ready' | 'gone', number, string]>([
  ['ready', 'ready', 0, 'demo is ready after 2.0 s'],
  ['held', 'ready', 3, ''],
  ['closed', 'ready', 1, ''],
  ['closed', 'gone', 0, 'demo is gone'],
  ['held', 'gone', 3, ''],
])('%s while waiting for %s: exit code %i, "%s"', (kind, goal, code, line) => {
  const settled = { kind, status: kind === 'ready' ? ready : held };
  expect(exitCodeOf(settled, goal)).toBe(code);
  expect(resultLine(settled, goal)).toBe(line);
});

test('a bottle with a lifetime is said to end when it is ready', () => {
  const limits = { lifetimeMs: 60_000, idleMs: null, endsAt: '2026-11-23T10:01:00.000Z' };
  const settled = { kind: 'ready' as const, status: status([], { limits }) };
  expect(resultLine(settled, 'ready')).toBe(
    'demo is ready; it is stopped at 2026-11-23T10:01:00.000Z (limits.lifetime)',
  );
});
