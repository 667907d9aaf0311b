import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bottlesHere, pinHost, strandedHost } from '../../../src/host/host-pin.ts';
import { settings } from '../../../src/host/settings.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'bottle-pin-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** What a process with this environment, on a computer of that name, takes for the settings. */
const on = (hostname: string, env: NodeJS.ProcessEnv = {}) =>
  settings(
    { BOTTLE_STATE: path.join(directory, 'state'), BOTTLE_HOME: path.join(directory, 'home'), ...env },
    { homedir: directory, hostname },
  );
const bottle = (id: string): void => void mkdirSync(path.join(directory, 'state', 'bottles', id), { recursive: true });
const config = (yaml: string): void => {
  mkdirSync(path.join(directory, 'home'), { recursive: true });
  writeFileSync(path.join(directory, 'home', 'config.yaml'), yaml);
};

describe('the name of a host', () => {
  test('is that of the computer, until it is kept; then it stays when the computer is called otherwise', () => {
    expect(on('at-home').host).toBe('at-home');
    pinHost(on('at-home'));
    expect(on('in-the-office').host).toBe('at-home');
    expect(readFileSync(path.join(directory, 'state', 'host'), 'utf8')).toBe('at-home\n');
  });

  test('is BOTTLE_HOST before hosts.name of config.yaml before the kept one', () => {
    pinHost(on('kept'));
    config('hosts: {name: written}');
    expect(on('x').host).toBe('written');
    expect(on('x', { BOTTLE_HOST: 'said' }).host).toBe('said');
  });

  test.each(['hosts: [', 'hosts: {name: 7}', 'hosts: {name: a b}', 'hosts:', '# hosts', 'network: {}'])(
    'is the kept one where config.yaml says %j',
    (yaml) => {
      pinHost(on('kept'));
      config(yaml);
      expect(on('x').host).toBe('kept');
    },
  );

  test('is what a broken file of it leaves: the computer’s', () => {
    pinHost(on('kept'));
    writeFileSync(path.join(directory, 'state', 'host'), 'not a name\n');
    expect(on('x').host).toBe('x');
  });

  test('is another one as soon as no bottle hangs on it, and not before', () => {
    pinHost(on('first'));
    bottle('demo');
    pinHost(on('x', { BOTTLE_HOST: 'second' }));
    expect(on('x').host).toBe('first');
    expect(strandedHost(on('x', { BOTTLE_HOST: 'second' }))).toBe('first');
    expect(strandedHost(on('x'))).toBeUndefined();
    rmSync(path.join(directory, 'state', 'bottles'), { recursive: true });
    expect(strandedHost(on('x', { BOTTLE_HOST: 'second' }))).toBeUndefined();
    pinHost(on('x', { BOTTLE_HOST: 'second' }));
    expect(on('x').host).toBe('second');
  });

  test('is kept apart by two installations', () => {
    const other = { BOTTLE_STATE: path.join(directory, 'other') };
    pinHost(on('a'));
    pinHost(on('b', other));
    expect([on('x').host, on('x', other).host]).toEqual(['a', 'b']);
  });
});

test('bottles that are here are those with a folder of their own', () => {
  expect(bottlesHere(on('x'))).toEqual([]);
  bottle('demo');
  bottle('Not-An-Id');
  expect(bottlesHere(on('x'))).toEqual(['demo']);
});
