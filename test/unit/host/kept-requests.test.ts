import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RequestView } from '../../../src/core/requests.ts';
import { readRequests, takeRequests } from '../../../src/host/kept-requests.ts';
import type { Settings } from '../../../src/host/settings.ts';

let settings: Settings;
beforeEach(async () => {
  settings = { state: await mkdtemp(path.join(os.tmpdir(), 'bottle-kept-')) } as Settings;
});
afterEach(() => rm(settings.state, { recursive: true, force: true }));

const bottle = { id: 'demo', runId: 'run-1' };
const request = (id: string, note: string | null = null): RequestView => ({
  id,
  ask: { kind: 'question', question: id, options: [] },
  askedAt: '2026-11-24T10:00:00.000Z',
  state: note === null ? 'pending' : 'approved',
  decidedAt: null,
  note,
  expiresAt: null,
  private: false,
});
const take = (since: number, version: number, changed: RequestView[], dropped: string[] = [], of = bottle) =>
  takeRequests(settings, { bottle: of, book: { since, version, changed, dropped } });
const told = async (...args: Parameters<typeof take>) => (await take(...args)).map(({ id, note }) => `${id} ${note}`);

test('the host puts together what it is told bit by bit', async () => {
  expect(await told(0, 2, [request('a'), request('b')])).toEqual(['a null', 'b null']);
  expect(await told(2, 3, [request('a', 'yes')])).toEqual(['a yes', 'b null']);
  expect(await told(3, 5, [request('c')], ['b'])).toEqual(['a yes', 'c null']);
  expect(await told(5, 5, [])).toEqual(['a yes', 'c null']);
});

test('an attempt whose result was lost is told over again', async () => {
  await take(0, 1, [request('a')]);
  await take(1, 2, [request('b')]);
  expect(await told(1, 3, [request('b'), request('c')])).toEqual(['a null', 'b null', 'c null']);
});

test.each([
  ['is gone', async (file: string) => rm(file)],
  ['was cut off', async (file: string) => writeFile(file, (await readFile(file, 'utf8')).slice(0, 20))],
  ['is of another launch', async () => void (await take(0, 4, [request('x')], [], { id: 'demo', runId: 'run-0' }))],
  ['is older', async () => void (await take(0, 1, [request('a')]))],
])('what %s is told of, and everything is taken then', async (_how, harm) => {
  await take(0, 2, [request('a')]);
  await harm(path.join(settings.state, 'bottles/demo/requests.json'));
  await expect(take(2, 3, [request('b')])).rejects.toMatchObject({ code: 'STATE_MISSING', retryable: false });
  expect(await told(0, 3, [request('a'), request('b')])).toEqual(['a null', 'b null']);
});

test('a step that an earlier version scheduled brings them all', async () => {
  expect(await takeRequests(settings, { bottle, requests: [request('a')] })).toEqual([request('a')]);
});

test('whoever adopts the bottle is told what was asked, and from when on the log may have more', async () => {
  expect(await readRequests(settings, 'demo')).toEqual({ requests: [], since: null });
  const before = Date.now();
  await take(0, 2, [request('a', 'yes'), request('b')]);
  const { requests, since } = await readRequests(settings, 'demo');
  expect(requests.map(({ id, state }) => `${id} ${state}`)).toEqual(['a approved', 'b pending']);
  expect(Date.parse(since ?? '')).toBeLessThan(before);
  expect(Date.parse(since ?? '')).toBeGreaterThan(before - 120_000);
});
