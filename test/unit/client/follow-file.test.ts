import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { followFile } from '../../../src/client/follow-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'follow-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('shows what is appended, whole lines only, and reads a replaced file from its start', async () => {
  const file = path.join(directory, 'log');
  writeFileSync(file, 'old\n');
  const lines: string[] = [];
  const controller = new AbortController();
  const following = followFile(file, (line) => lines.push(line), controller.signal);
  try {
    // The first look at the file decides what is old.
    await new Promise((resolve) => setTimeout(resolve, 300));
    appendFileSync(file, 'one\ntw');
    await vi.waitFor(() => expect(lines).toEqual(['one']), { timeout: 60_000 });
    appendFileSync(file, 'o\n');
    await vi.waitFor(() => expect(lines).toEqual(['one', 'two']), { timeout: 60_000 });
    writeFileSync(file, 'new\n');
    await vi.waitFor(() => expect(lines).toEqual(['one', 'two', 'new']), { timeout: 60_000 });
  } finally {
    controller.abort();
    await following;
  }
});
