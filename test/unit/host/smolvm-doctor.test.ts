/** What the doctor says of smolvm. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { smolvm, smolvmBoot } from '../../../src/client/doctor-smolvm.ts';
import { connectDocker } from '../../../src/host/docker.ts';
import { bottlesInSmolvm } from '../../../src/host/machine/drivers.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';

let directory: string;
let settings: Settings;
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-doctor-'));
  settings = settingsAt(directory);
  vi.stubEnv('PATH', path.join(directory, 'bin'));
  vi.stubEnv('BOTTLE_CACHE', path.join(directory, 'cache'));
  mkdirSync(path.join(directory, 'bin'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true, force: true });
});

const settingsAt = (state: string): Settings =>
  readSettings({ BOTTLE_HOME: path.join(directory, 'home'), BOTTLE_STATE: state });

function install(version: string): string {
  const file = path.join(directory, 'bin/smolvm');
  writeFileSync(file, `#!/bin/sh\necho smolvm ${version}\n`);
  chmodSync(file, 0o755);
  return file;
}

describe.skipIf(process.platform !== 'linux')('the doctor', () => {
  test('warns where there is no smolvm, and says how to get it', async () => {
    expect(await smolvm(settings)).toMatchObject({
      state: 'warn',
      found: expect.stringContaining('not found'),
      hint: expect.stringContaining('put smolvm on PATH'),
    });
    expect(await smolvmBoot(AbortSignal.timeout(10_000))).toMatchObject({ state: 'fail', found: 'smolvm: not found' });
  });

  test('takes what is missing for a failure where smolvm is the driver that was chosen', async () => {
    mkdirSync(settings.home);
    writeFileSync(path.join(settings.home, 'config.yaml'), 'driver: smolvm\n');
    expect(await smolvm(settings)).toMatchObject({ state: 'fail' });
  });

  test('tells all that is wrong at once', async () => {
    const file = install('1.7.7');
    const long = settingsAt(path.join(directory, 'x'.repeat(60)));
    const { state, found, hint } = await smolvm(long);
    expect(state).toBe('warn');
    expect(found).toContain(`smolvm 1.7.7 (${file}) does not keep a machine from the internet`);
    expect(found).toContain('and 59 are the most');
    expect(hint).toMatch(/install 1\.31\.0 or newer.*set BOTTLE_STATE to a path of at most 56 bytes/);
  });

  test('names program, version and what there is for its machines', async () => {
    const file = install('1.32.2');
    const { found } = await smolvm(settings);
    // Whether this host has KVM is its own affair.
    if (!found.includes('/dev/kvm')) {
      expect(found).toMatch(
        new RegExp(`^1\\.32\\.2, ${file} \\(path\\); KVM is there; \\d+ GiB free for ${directory}/vm$`),
      );
    }
    expect(found).not.toContain('not found');
  });
});

test('where no machine of smolvm was ever made there are no bottles in it, and nobody is asked', async () => {
  const host = { docker: connectDocker(), owner: 'o', settings };
  expect(await bottlesInSmolvm(host)).toEqual([]);
});
