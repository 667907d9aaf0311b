import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { scannerChanged } from '../../../src/host/last-scanner.ts';
import { settings } from '../../../src/host/settings.ts';

test('a scanner that appears or goes is noticed once, and none at the first launch', async () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-scanner-'));
  const here = settings({ BOTTLE_STATE: directory });
  const seen: boolean[] = [];
  for (const scanner of ['allow-list', 'allow-list', 'pipelock', 'pipelock', 'allow-list'] as const) {
    seen.push(await scannerChanged(here, scanner));
  }
  expect(seen).toEqual([false, false, true, false, true]);
  rmSync(directory, { recursive: true });
});
