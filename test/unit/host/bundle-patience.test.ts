import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { bundlePatience } from '../../../src/host/bundle-patience.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
afterEach(() => void vi.useRealTimers());

test.each([
  ['one that keeps dying is given up after half a minute', 'failed', 30],
  ['one that starts on a busy computer is given a minute and a half', 'starting', 90],
] as const)('%s', (_, state, seconds) => {
  const { signal, end } = bundlePatience(() => ({ egress: 'ready', pipelock: state }));
  vi.advanceTimersByTime(seconds * 1000 - 1);
  expect(signal.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(signal.aborted).toBe(true);
  end();
});

test('whoever waits no more is told nothing', () => {
  const { signal, end } = bundlePatience(() => ({ pipelock: 'failed' }));
  end();
  vi.advanceTimersByTime(60_000);
  expect(signal.aborted).toBe(false);
});
