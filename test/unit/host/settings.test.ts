import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { settings, stateDirectory } from '../../../src/host/settings.ts';

const machine = { homedir: '/home/someone', hostname: 'mac-1' };

describe('settings', () => {
  it('has a default for everything', () => {
    expect(settings({}, machine)).toEqual({
      home: '/home/someone/.bottle',
      state: '/home/someone/.local/state/bottle',
      cache: '/home/someone/.cache/bottle',
      host: 'mac-1',
      port: 7233,
      uiPort: 8233,
    });
  });

  it('takes every BOTTLE_ variable, and XDG directories where there is none', () => {
    const env = {
      XDG_STATE_HOME: '/x/state',
      XDG_CACHE_HOME: '/x/cache',
      BOTTLE_HOST: 'build_7.example',
      BOTTLE_PORT: '64535',
    };
    expect(settings(env, machine)).toMatchObject({
      state: '/x/state/bottle',
      cache: '/x/cache/bottle',
      host: 'build_7.example',
      port: 64535,
      uiPort: 65535,
    });
    expect(
      settings({ ...env, BOTTLE_HOME: '/b/h', BOTTLE_STATE: '/b/s/', BOTTLE_CACHE: '/b/c' }, machine),
    ).toMatchObject({
      home: '/b/h',
      state: '/b/s',
      cache: '/b/c',
    });
  });

  it('takes empty variables for unset, and ignores a relative XDG directory', () => {
    const env = {
      BOTTLE_HOME: '',
      BOTTLE_STATE: '',
      BOTTLE_HOST: '',
      BOTTLE_PORT: '',
      XDG_STATE_HOME: 'state',
      XDG_CACHE_HOME: '',
    };
    expect(settings(env, machine)).toEqual(settings({}, machine));
  });

  it.each(['0', '64536', '99999', '-1', '7233.5', '7e3', 'http', ' 7233'])('refuses the port %j', (port) => {
    expect(() => settings({ BOTTLE_PORT: port }, machine)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('BOTTLE_PORT') }),
    );
  });

  it.each(['a host', '-x', 'a\nb', 'x'.repeat(254), 'a/b'])('refuses the host name %j', (host) => {
    expect(() => settings({ BOTTLE_HOST: host }, machine)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('BOTTLE_HOST') }),
    );
  });
});

describe('stateDirectory', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'bottle-settings-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const mode = (directory: string): string => (statSync(directory).mode & 0o777).toString(8);

  it('makes the directory and all above it, up to the state directory, for the owner only', () => {
    const state = path.join(root, 'state');
    const directory = stateDirectory({ state }, 'bottles', 'demo');
    expect(directory).toBe(path.join(state, 'bottles', 'demo'));
    expect([state, path.join(state, 'bottles'), directory].map(mode)).toEqual(['700', '700', '700']);
  });

  it('tightens what was there with a looser mode, but not what is above the state directory', () => {
    const state = path.join(root, 'above', 'state');
    mkdirSync(path.join(state, 'run'), { recursive: true, mode: 0o755 });
    stateDirectory({ state }, 'run');
    expect([path.join(root, 'above'), state, path.join(state, 'run')].map(mode)).toEqual(['755', '700', '700']);
  });

  it('does not leave the state directory', () => {
    expect(() => stateDirectory({ state: path.join(root, 'state') }, '..', 'other')).toThrow(
      /leaves the state directory/,
    );
  });
});
