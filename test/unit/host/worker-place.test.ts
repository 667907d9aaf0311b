import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Settings } from '../../../src/host/settings.ts';
import { differences, workerPlace } from '../../../src/host/worker-place.ts';

let directory: string;
let settings: Settings;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'bottle-place-'));
  settings = { home: '/h', cache: '/c', host: 'mac-1', state: path.join(directory, 'state'), port: 1, uiPort: 2 };
  writeFileSync(path.join(directory, 'engine.sock'), '');
  symlinkSync('engine.sock', path.join(directory, 'link.sock'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const engine = (name = 'engine.sock'): string => `unix://${directory}/${name}`;
const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({ HOME: directory, DOCKER_HOST: engine(), ...more });
/** As a worker writes it down and a client reads it. */
const record = (more: NodeJS.ProcessEnv = {}) => JSON.parse(JSON.stringify(workerPlace(settings, env(more))));
const texts = (theirs: object, ours: NodeJS.ProcessEnv, names: string[] = [], mine = settings): string[] =>
  differences(theirs, mine, names, ours).map(({ text }) => text);

test('who has the same as the worker finds nothing, by whatever link to the socket', () => {
  expect(texts(record({ A: '1' }), env({ A: '1', B: '2' }), ['A'])).toEqual([]);
  expect(texts(record(), env({ DOCKER_HOST: engine('link.sock') }))).toEqual([]);
});

test('another Engine, home, cache and host name are told, each with both', () => {
  const other = { ...settings, home: '/other', cache: '/elsewhere', host: 'mac-2' };
  expect(texts(record(), env({ DOCKER_HOST: 'tcp://far:2375' }), [], other)).toEqual([
    `the Docker Engine at ${engine()} (DOCKER_HOST), not tcp://far:2375 (DOCKER_HOST)`,
    'BOTTLE_HOME /h, not /other',
    'BOTTLE_CACHE /c, not /elsewhere',
    'the host name mac-1, not mac-2',
  ]);
});

test('of variables only those that matter are told, and only where this shell has one', () => {
  const theirs = record({ SAME: 'x', OTHER: 'x', THEIRS: 'x', UNNAMED: 'x' });
  const ours = env({ SAME: 'x', OTHER: 'y', OURS: 'y', UNNAMED: 'y', EMPTY: '' });
  expect(texts(theirs, ours, ['SAME', 'OTHER', 'THEIRS', 'OURS', 'EMPTY', 'NOBODYS'])).toEqual([
    'another OTHER',
    'no OURS',
  ]);
});

test('what chooses tools and images is told even where it is not set here', () => {
  expect(texts(record({ BOTTLE_TOOLS: '/t' }), env())).toEqual(['BOTTLE_TOOLS, which is not set here']);
  expect(texts(record(), env({ BOTTLE_TOOLS: '/t' }))).toEqual(['no BOTTLE_TOOLS']);
});

test('a record holds no value, and the digests of two states have nothing in common', () => {
  const own = record({ TOKEN: 'hunter2' });
  expect(JSON.stringify(own)).not.toContain('hunter2');
  const other = workerPlace({ ...settings, state: path.join(directory, 'other') }, env({ TOKEN: 'hunter2' }));
  expect(own.environment.TOKEN).toMatch(/^[\w-]{22}$/);
  expect(other.environment['TOKEN']).not.toBe(own.environment.TOKEN);
});

test('a worker of a version that did not say so differs in nothing', () => {
  expect(texts({ host: 'mac-1' }, env({ DOCKER_HOST: 'tcp://far:1' }), ['A'])).toEqual([]);
});
