import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
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

const reporterAt = (socket: string) =>
  statusReporter({ socket, tell: (line) => told.push(line), complain: (line) => complaints.push(line) });
const pipelock = (state: DaemonState, pid: number) => ({
  pipelock: { state, pid, restarts: 0, since: '2026-11-23T10:00:00.000Z' },
});

/** As the container's health check asks, once somebody listens. */
async function ask(socketPath: string): Promise<{ status: number | undefined; body: unknown }> {
  for (;;) {
    const request = http.get({ socketPath, path: '/', agent: false });
    const response = await once(request, 'response').then(
      ([answer]) => answer as http.IncomingMessage,
      () => undefined,
    );
    if (response !== undefined) return { status: response.statusCode, body: JSON.parse(await text(response)) };
  }
}

test('a changed state is told; the socket has the whole picture, and is healthy only while all are ready', async () => {
  const socket = join(directory, 'new', 'init.sock');
  const { report } = reporterAt(socket);
  report(pipelock('failed', 7));
  report(pipelock('failed', 8));
  expect(told).toEqual(['[init] status {"pipelock":"failed"}\n']);
  expect(await ask(socket)).toEqual({ status: 503, body: { daemons: pipelock('failed', 8) } });
  report(pipelock('ready', 8));
  expect(told.at(-1)).toBe('[init] status {"pipelock":"ready"}\n');
  expect(await ask(socket)).toEqual({ status: 200, body: { daemons: pipelock('ready', 8) } });
  expect(statSync(socket).mode & 0o777).toBe(0o600);
});

test('the states are told again for whoever came late', () => {
  const { report, retell } = reporterAt(join(directory, 'init.sock'));
  report(pipelock('ready', 7));
  retell();
  expect(told).toEqual(Array(2).fill('[init] status {"pipelock":"ready"}\n'));
});

test('no daemon at all is told too', () => {
  reporterAt(join(directory, 'init.sock')).report({});
  expect(told).toEqual(['[init] status {}\n']);
});

test('what a predecessor left in the place of the socket is no obstacle', async () => {
  const socket = join(directory, 'init.sock');
  writeFileSync(socket, '');
  reporterAt(socket).report(pipelock('ready', 7));
  expect((await ask(socket)).status).toBe(200);
});

test('a socket that cannot be made is complained of once, and the states are told all the same', async () => {
  writeFileSync(join(directory, 'file'), '');
  const { report } = reporterAt(join(directory, 'file', 'init.sock'));
  report(pipelock('starting', 7));
  report(pipelock('ready', 7));
  expect(complaints).toEqual([expect.stringMatching(/^\[init\] error: no status socket: .*\n$/)]);
  expect(told.length).toBe(2);
});
