import { describe, expect, test } from 'vitest';
import {
  type Capacity,
  defaultCapacity,
  type HostLoad,
  shortage,
  turnOf,
  waitsForText,
} from '../../../src/core/capacity.ts';

const capacity: Capacity = { bottles: 10, launching: 4, cpus: null, freeMemoryMiB: 1000, freeDiskMiB: 1000 };
const idle: HostLoad = {
  bottles: 0,
  launching: 0,
  cpus: 0,
  freeMemoryMiB: 8000,
  freeDiskMiB: 8000,
  freeStateMiB: 8000,
};
const missing = (load: Partial<HostLoad>, limits: Partial<Capacity> = {}) =>
  shortage({ ...capacity, ...limits }, { ...idle, ...load }, { cpus: 2 })?.what;

describe('one more launch', () => {
  test.each<[Partial<HostLoad>, Partial<Capacity>]>([
    [{}, {}],
    [{ bottles: 9, launching: 3 }, {}],
    [{ freeMemoryMiB: 1256, freeDiskMiB: 1000 }, {}],
    // Nobody can tell what is free in another computer.
    [{ freeMemoryMiB: null, freeDiskMiB: null, freeStateMiB: null }, {}],
    // The state may be on a disk of its own, however small.
    [{ freeStateMiB: 64 }, {}],
    [{ freeStateMiB: 0 }, { freeDiskMiB: 0 }],
    [{ cpus: 6 }, { cpus: 8 }],
    // One machine may always be there, whatever it wants: it would wait for ever.
    [{ cpus: 0 }, { cpus: 1 }],
  ])('has room at %j with %j', (load, limits) => {
    expect(missing(load, limits)).toBeUndefined();
  });

  test.each<[string, Partial<HostLoad>, Partial<Capacity>]>([
    ['bottles', { bottles: 10 }, {}],
    ['launching', { launching: 4 }, {}],
    ['memory', { freeMemoryMiB: 1255 }, {}],
    // Those that launch have not taken theirs yet.
    ['memory', { freeMemoryMiB: 1256, launching: 1 }, {}],
    ['disk', { freeDiskMiB: 999 }, {}],
    ['disk', { freeStateMiB: 63 }, {}],
    ['cpus', { cpus: 7 }, { cpus: 8 }],
  ])('waits for %s at %j with %j', (what, load, limits) => {
    expect(missing(load, limits)).toBe(what);
  });
});

test('a computer of two cores and 24 GB takes a hundred bottles, four launches at a time; a small one still takes some', () => {
  expect(defaultCapacity({ cores: 2, memoryMiB: 24_105 })).toMatchObject({ bottles: 112, launching: 4 });
  expect(defaultCapacity({ cores: 1, memoryMiB: 2048 })).toMatchObject({
    bottles: 9,
    launching: 2,
    freeMemoryMiB: 128,
  });
  expect(defaultCapacity({ cores: 64, memoryMiB: 262_144 })).toMatchObject({ launching: 16, freeMemoryMiB: 2048 });
});

test('who waits for a turn is told of how many, and of what the first waits for', () => {
  const first = { what: 'memory', message: '10 MiB of memory are free' } as const;
  expect(waitsForText(first)).toBe('memory: 10 MiB of memory are free');
  expect(waitsForText(turnOf(2, first))).toBe(
    'its turn: 2 launches are before it; the first waits for memory: 10 MiB of memory are free',
  );
  expect(waitsForText(turnOf(1, { what: 'turn', message: 'soon' }))).toBe('its turn: one launch is before it');
});
