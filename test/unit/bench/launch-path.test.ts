import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { describe, expect, test } from 'vitest';
import { launchPath, sums, WORKFLOW } from '../../bench/launch-path.ts';
import { pathPicture } from '../../bench/path-picture.ts';
import type { HistoryEvent } from '../../support/events.ts';

const folder = fileURLToPath(new URL('../../fixtures/histories', import.meta.url));
const saved = (name: string): HistoryEvent[] =>
  (historyFromJSON(JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8'))).events ?? []) as HistoryEvent[];

describe('the longest chain of a launch', () => {
  const { chain, readyMs, spans } = launchPath(saved('ready-and-stopped'));

  test('leads without a gap from the start to ready', () => {
    expect(chain[0]?.from).toBe(0);
    expect(chain.at(-1)?.until).toBe(readyMs);
    for (const [at, { from }] of chain.slice(1).entries())
      expect(Math.abs(from - (chain[at]?.until ?? 0))).toBeLessThan(1);
  });

  test('goes through what each step waited for', () => {
    const steps = chain.filter(({ kind }) => kind === 'work').map(({ name }) => name);
    expect(steps).toEqual(['prepare', 'network', 'bundle', expect.stringMatching(/^provision\./), 'check']);
    expect(spans.map(({ name }) => name)).toContain('machine.start');
  });

  test('takes as long as its parts together', () => {
    const all = Object.values(sums(chain)).reduce((sum, ms) => sum + ms, 0);
    expect(Math.abs(all - readyMs)).toBeLessThan(5);
  });

  test('is drawn with a bar for each step, and nothing of what came after', () => {
    const picture = pathPicture({ chain, readyMs, spans });
    for (const name of [WORKFLOW, 'prepare', 'machine.create', 'provision.ca', 'check'])
      expect(picture).toContain(`>${name}<`);
    expect(picture).not.toContain('>network.remove<');
  });
});

test('a launch that never came to a phase has no way there', () => {
  expect(() => launchPath(saved('held-and-aborted'))).toThrow('never came to ready');
});
