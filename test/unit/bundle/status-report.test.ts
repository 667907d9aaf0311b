import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { statusReporter } from '../../../src/bundle/status-report.ts';
import type { DaemonState } from '../../../src/core/daemons.ts';

let directory: string;
let told: string[];
let complaints: string[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'bottle-status-'));
  told = [];
  complaints = [];
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const reporterTo = (path: string) =>
  statusReporter({ path, tell: (line) => told.push(line), complain: (line) => complaints.push(line) });
const pipelock = (state: DaemonState, pid: number) => ({
  pipelock: { state, pid, restarts: 0, since: '2026-11-23T10:00:00.000Z' },
});

test('a changed state is told and written; a changed process is only written', () => {
  const path = join(directory, 'new', 'status.json');
  const report = reporterTo(path);
  report(pipelock('failed', 7));
  report(pipelock('failed', 8));
  expect(told).toEqual(['[init] status {"pipelock":"failed"}\n']);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ daemons: pipelock('failed', 8) });
  report(pipelock('ready', 8));
  expect(told.at(-1)).toBe('[init] status {"pipelock":"ready"}\n');
  expect(readdirSync(join(path, '..'))).toEqual(['status.json']);
});

test('no daemon at all is told too', () => {
  reporterTo(join(directory, 'status.json'))({});
  expect(told).toEqual(['[init] status {}\n']);
});

test('a file that cannot be written is complained of once, and the states are told all the same', () => {
  writeFileSync(join(directory, 'file'), '');
  const report = reporterTo(join(directory, 'file', 'status.json'));
  report(pipelock('starting', 7));
  report(pipelock('ready', 7));
  expect(complaints).toEqual([expect.stringMatching(/^\[init\] error: no status file: .*\n$/)]);
  expect(told.length).toBe(2);
});
