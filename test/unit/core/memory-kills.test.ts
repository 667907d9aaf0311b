import { expect, test } from 'vitest';
import { statusText } from '../../../src/client/render/status-text.ts';
import { addKills, type MemoryKill } from '../../../src/core/memory-kills.ts';
import { Observation } from '../../../src/core/observation.ts';
import type { WatchNews } from '../../../src/core/step-io.ts';

const kill = (part: MemoryKill['part'], second: number, count = 1): MemoryKill => ({
  part,
  at: `2026-01-01T00:00:0${second}.000Z`,
  count,
});

test('kills of one part are added up, and the newest time is kept', () => {
  const added = addKills([kill('machine', 2)], [kill('bundle', 1), kill('machine', 1, 3)]);
  expect(added).toEqual([kill('machine', 2, 4), kill('bundle', 1)]);
});

test('a launch remembers them, and asks from the newest on', () => {
  const observed = new Observation();
  const news = (killed?: MemoryKill[]): WatchNews => ({
    steps: [],
    daemons: null,
    asked: [],
    refused: [],
    cursor: null,
    ...(killed === undefined ? {} : { killed }),
  });
  // Histories from before know nothing of it.
  observed.take(news());
  expect(observed.watchFrom()).toEqual({ daemons: {}, cursor: null });
  observed.take(news([kill('machine', 1)]));
  observed.take(news([kill('bundle', 3)]));
  expect(observed.killed).toEqual([kill('machine', 1), kill('bundle', 3)]);
  expect(observed.watchFrom().killedAt).toBe(kill('bundle', 3).at);
});

test('status says when, and which limit', () => {
  const text = statusText(
    {
      id: 'demo',
      agent: 'demo',
      phase: 'ready',
      host: 'h',
      driver: 'docker',
      runId: 'r',
      uiUrl: null,
      startedAt: '2026-01-01T00:00:00.000Z',
      readyAt: null,
      stoppedBy: null,
      network: null,
      bundle: null,
      machine: null,
      steps: [],
      requests: [],
      killedForMemory: [{ ...kill('machine', 2, 3), limitMiB: 256 }, kill('bundle', 1)],
    },
    { now: 0 },
  );
  expect(text).toContain(
    '3 processes of the machine were killed for memory, the last at 2026-01-01T00:00:02.000Z: the limit of 256 MiB (resources.memoryMiB)',
  );
  expect(text).toContain(
    "a process of the bundle was killed for memory, the last at 2026-01-01T00:00:01.000Z: the bundle's own limit of memory",
  );
});
