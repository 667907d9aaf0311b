import { describe, expect, it } from 'vitest';
import { Healings, type HealingsSnapshot, healingText } from '../../../src/core/healing.ts';
import { befallenText } from '../../../src/core/launch-view.ts';
import type { StatusDocument } from '../../../src/core/status.ts';

const START = Date.UTC(2026, 0, 1);
const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** Waits of losses that follow each other at once, each of something that had stood so long. */
function waits(times: number, stoodMs: number | undefined, healings = new Healings()): number[] {
  let now = START;
  return Array.from({ length: times }, () => {
    const wait = healings.lose(['the bundle is gone'], now, stoodMs);
    now += wait + (stoodMs ?? 0);
    healings.mend();
    return wait;
  });
}

describe('what dies', () => {
  it('is made again at once, and what dies again at once with growing waits up to five minutes', () => {
    const expected = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map((seconds) => seconds * SECOND);
    expect(waits(12, 100)).toEqual(expected);
  });

  it('is made again at once each time where it had stood for a minute, or nobody knows how long', () => {
    expect(waits(4, MINUTE)).toEqual([0, 0, 0, 0]);
    expect(waits(4, undefined)).toEqual([0, 0, 0, 0]);
  });

  it('counts as steady when nothing was lost for a minute, however short the last watch was', () => {
    const healings = new Healings();
    waits(3, 100, healings);
    expect(healings.lose(['x'], START + 10 * MINUTE, 100)).toBe(0);
    expect(healings.status).toMatchObject({ count: 4, inARow: 1 });
  });

  it('is too much for one step when it dies three times in a row', () => {
    const healings = new Healings();
    expect(healings.isTooOften(START)).toBe(false);
    waits(2, 0, healings);
    expect(healings.isTooOften(START)).toBe(false);
    waits(1, 0, healings);
    expect(healings.isTooOften(START)).toBe(true);
  });

  it('is no longer too much once nothing was lost for a minute, or a person wants it tried again', () => {
    const healings = new Healings();
    waits(3, 0, healings);
    expect(healings.isTooOften(START + SECOND)).toBe(true);
    expect(healings.isTooOften(START + 2 * MINUTE)).toBe(false);
    healings.forgive();
    expect(healings.isTooOften(START + SECOND)).toBe(false);
  });

  it('goes on in another run where it was', () => {
    const healings = new Healings();
    waits(3, 100, healings);
    const carried = JSON.parse(JSON.stringify(healings.snapshot())) as HealingsSnapshot;
    const next = new Healings(carried);
    expect(next.status).toEqual(healings.status);
    expect(next.lose(['x'], START + 3 * SECOND, 100)).toBe(4 * SECOND);
    expect(new Healings(new Healings().snapshot()).status).toBeUndefined();
  });

  it('is told: how often, when, why, and when it is made again', () => {
    const healings = new Healings();
    expect(healings.status).toBeUndefined();
    healings.lose(['the bundle has ended with exit code 137, killed for memory'], START, 5);
    expect(healingText(healings.status as never)).toBe(
      'healed, last at 2026-01-01T00:00:00.000Z: the bundle has ended with exit code 137, killed for memory',
    );
    healings.lose(['the bundle is gone'], START + SECOND, 5);
    expect(healings.status).toEqual({
      count: 2,
      inARow: 2,
      at: '2026-01-01T00:00:01.000Z',
      why: ['the bundle is gone'],
      nextAt: '2026-01-01T00:00:02.000Z',
    });
    expect(healingText(healings.status as never)).toContain('2 times in a row');
    expect(healingText(healings.status as never)).toContain(
      '; made again at 2026-01-01T00:00:02.000Z, or at once with',
    );
    healings.mend();
    expect(healings.status).not.toHaveProperty('nextAt');
  });

  it('is made again at once where a person does not want to wait, and the waits begin anew', () => {
    const healings = new Healings();
    expect(healings.hurry()).toBe(false);
    for (const at of [0, 1, 2]) healings.lose(['x'], START + at, 5);
    expect([healings.waits, healings.hurry(), healings.waits, healings.hurry()]).toEqual([true, true, false, false]);
    expect(healings.lose(['x'], START + 3, 5)).toBe(0);
  });
});

it('the status tells first of whoever cannot be asked, then of what was made again', () => {
  const healings = new Healings();
  healings.lose(['the machine is gone'], START, undefined);
  const trouble = { code: 'DOCKER_UNREACHABLE', message: 'the Docker Engine does not answer (ENOENT)' };
  expect(befallenText({ trouble, healings: healings.status } as StatusDocument)).toEqual([
    'cannot be looked at: DOCKER_UNREACHABLE the Docker Engine does not answer (ENOENT)',
    'healed, last at 2026-01-01T00:00:00.000Z: the machine is gone',
  ]);
});
