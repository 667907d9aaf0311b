/** Which smolvm, kept where, on which host: all that is found out before a machine is made. */
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectDocker } from '../../../src/host/docker.ts';
import { environmentOf } from '../../../src/host/machine/smolvm/cli.ts';
import { smolvmDriver } from '../../../src/host/machine/smolvm/machine.ts';
import { placing } from '../../../src/host/machine/smolvm/platform.ts';
import {
  machineDirectory,
  machineStateDirectory,
  machineStatePath,
} from '../../../src/host/machine/smolvm/state-directory.ts';
import { assertUsable, assertVersion } from '../../../src/host/machine/smolvm/version.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-smolvm-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function says(name: string, line: string): string {
  const file = path.join(directory, name);
  writeFileSync(file, `#!/bin/sh\necho '${line}'\n`);
  chmodSync(file, 0o755);
  return file;
}

describe('the version', () => {
  test.each(['1.31.0', '1.31.5', '1.32.2', '1.100.0', '2.0.0'])('%s will do', (version) => {
    expect(assertUsable('/bin/smolvm', version)).toBe(version);
  });

  test.each(['0.8.0', '0.99.9', '1.0.2', '1.7.7'])('%s confines nobody', (version) => {
    expect(() => assertUsable('/bin/smolvm', version)).toThrow(/network policy holds since 1\.8\.0/);
  });

  test.each(['1.8.0', '1.9.3', '1.29.1', '1.30.9'])('%s has no state directory of our choosing', (version) => {
    expect(() => assertUsable('/bin/smolvm', version)).toThrow(/--state-dir is there since 1\.31\.0/);
  });

  test('is asked of the program once, and again after a wrong one was replaced', async () => {
    const file = says('replaced', 'smolvm 1.7.0');
    await expect(assertVersion({ path: file })).rejects.toMatchObject({ code: 'DRIVER_UNAVAILABLE', retryable: false });
    says('replaced', 'smolvm 1.32.2');
    expect(await assertVersion({ path: file })).toBe('1.32.2');
    appendFileSync(file, `echo asked >> '${file}.asked'\n`);
    for (const _time of [1, 2, 3]) expect(await assertVersion({ path: file })).toBe('1.32.2');
    expect(readFileSync(`${file}.asked`, 'utf8')).toBe('asked\n');
  });

  test('is asked again when an older program takes the place of a good one under the same path', async () => {
    const file = says('older', 'smolvm 1.32.2');
    expect(await assertVersion({ path: file })).toBe('1.32.2');
    renameSync(says('older.new', 'smolvm 1.7.0'), file);
    await expect(assertVersion({ path: file })).rejects.toMatchObject({ code: 'DRIVER_UNAVAILABLE' });
  });

  test.each([['something else'], ['smolvm'], ['smolvm-tools 1.32.2']])('"%s" is no smolvm', async (line) => {
    await expect(assertVersion({ path: says('other', line) })).rejects.toMatchObject({
      code: 'DRIVER_UNAVAILABLE',
      message: expect.stringContaining('does not say that it is smolvm'),
    });
  });
});

describe('the state directory', () => {
  const ofBytes = (count: number): string => `/${'d'.repeat(count - 1)}`;
  const longest = placing('linux').longest - '/vm'.length;

  test('may have 59 bytes', () => {
    const state = ofBytes(longest);
    expect(Buffer.byteLength(machineStatePath({ state }))).toBe(59);
  });

  test.each([ofBytes(longest + 1), `/${'ü'.repeat(28)}`])(
    '%s is too long, which is told with how short it has to be',
    (state) => {
      expect(() => machineStatePath({ state })).toThrow(
        expect.objectContaining({ code: 'DRIVER_UNAVAILABLE', hint: 'set BOTTLE_STATE to a path of at most 56 bytes' }),
      );
    },
  );

  test('has to be shorter on a Mac, and is told by HOME there, since the option is for Linux', () => {
    const mac = placing('darwin');
    // `<state>/Library/Caches/smolvm/vms/<16>/agent.sock` within the 104 bytes of macOS, its end and libkrun's two included.
    expect(mac.longest + `/${mac.caches}/smolvm/vms/${'h'.repeat(16)}/agent.sock`.length).toBeLessThanOrEqual(101);
    expect(() => machineStatePath({ state: ofBytes(mac.longest) }, mac)).toThrow(/47 are the most/);
    expect(machineStatePath({ state: ofBytes(mac.longest - 3) }, mac)).toHaveLength(47);
    expect(() => machineStatePath({ state: '/Users/me/my bottles' }, mac)).toThrow(/it has a blank/);
    expect(machineStatePath({ state: '/home/me/my bottles' }, placing('linux'))).toBe('/home/me/my bottles/vm');
    const smolvm = { program: { path: '/bin/smolvm' }, state: '/s/vm' };
    expect(environmentOf(smolvm, { HOME: '/Users/me' }, false, mac)['HOME']).toBe('/s/vm');
    expect(environmentOf(smolvm, { HOME: '/home/me' }, false, placing('linux'))['HOME']).toBe('/home/me');
    expect([mac.options('/s/vm'), placing('linux').options('/s/vm')]).toEqual([[], ['--state-dir', '/s/vm']]);
  });

  test('is nobody else to look into', () => {
    const state = machineStateDirectory({ state: path.join(directory, 's') });
    expect(statSync(state).mode & 0o777).toBe(0o700);
  });

  test('has a folder for each machine whose name follows from that of the machine', () => {
    // As smolvm 1.32.2 made it for a machine of that name.
    expect(machineDirectory('/s', 'a1')).toBe('/s/.cache/smolvm/vms/f55ff16f66f43360');
  });
});

describe('the driver', () => {
  const host = () => ({ docker: connectDocker(), owner: 'o', settings: { state: directory, cache: directory } });

  test('works on Linux and macOS only, and says so elsewhere', async () => {
    const driver = smolvmDriver(host(), { find: async () => ({ path: '/bin/smolvm' }), platform: 'win32' });
    const refused = { code: 'DRIVER_UNAVAILABLE', message: 'smolvm runs on Linux and macOS, not on win32' };
    await expect(driver.assertAvailable()).rejects.toMatchObject(refused);
    await expect(driver.status('x')).rejects.toMatchObject(refused);
    await expect(driver.start({ id: 'x', runId: 'r' })).rejects.toMatchObject(refused);
  });

  test('says how to get the program, and takes it as soon as it is there', async () => {
    let path: string | undefined;
    const find = async () => (path === undefined ? undefined : { path });
    const driver = smolvmDriver(host(), { find, platform: 'linux' });
    await expect(driver.assertAvailable()).rejects.toMatchObject({
      code: 'DRIVER_UNAVAILABLE',
      message: 'smolvm is not on this host',
    });
    path = says('installed', 'smolvm 1.32.2');
    await expect(driver.assertAvailable()).resolves.toBeUndefined();
  });
});
