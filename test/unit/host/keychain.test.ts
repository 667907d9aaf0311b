/** The keychain of each platform: what is asked, by a stand-in for its program; and the real keyring of Linux. */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveSecrets, type SecretSources } from '../../../src/host/secrets.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-keychain-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A platform whose keychain program is this script. */
function platform(name: 'darwin' | 'linux', script: string): SecretSources {
  const folder = mkdtempSync(path.join(directory, 'bin-'));
  const program = path.join(folder, { darwin: 'security', linux: 'secret-tool' }[name]);
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  return { platform: name, env: { PATH: folder } };
}

const ask = async (reference: string, sources: SecretSources): Promise<unknown> =>
  resolveSecrets([reference], sources).then(
    (secrets) => secrets.get(reference),
    ({ message, hint }: { message: string; hint: string }) => ({ message, hint }),
  );

describe('the keychain is asked', () => {
  const TELL = `printf '<%s>' "$@"; echo`;

  test.each([
    ['darwin', 'keychain:svc/me', '<find-generic-password><-w><-s><svc><-a><me>'],
    ['darwin', 'keychain:my svc', '<find-generic-password><-w><-s><my svc>'],
    ['linux', 'keychain:svc/me', '<lookup><--><service><svc><account><me>'],
    ['linux', 'keychain:a%2Fb', '<lookup><--><service><a/b>'],
  ] as const)('of %s for %s', async (name, reference, args) => {
    expect(await ask(reference, platform(name, TELL))).toBe(args);
  });

  test.each([
    ['darwin', 'echo "security: SecKeychainSearchCopyNext: The specified item could not be found." >&2; exit 44'],
    ['linux', 'exit 1'],
  ] as const)('of %s for what is not in it, and how to put it there is told', async (name, script) => {
    const store = {
      darwin: "security add-generic-password -s 'it'\\''s' -a me -w",
      linux: "secret-tool store --label 'it'\\''s' -- service 'it'\\''s' account me",
    }[name];
    expect(await ask("keychain:it's/me", platform(name, script))).toEqual({
      message: "no secret at keychain:it's/me (there is no such item)",
      hint: expect.stringContaining(store),
    });
  });

  test.each(['darwin', 'linux'] as const)('of %s when it cannot be reached, and why is told', async (name) => {
    const program = { darwin: 'security', linux: 'secret-tool' }[name];
    expect(await ask('keychain:svc', platform(name, 'echo "no bus" >&2; exit 1'))).toMatchObject({
      message: `no secret at keychain:svc (${program}: exit code 1: no bus)`,
    });
    expect(await ask('keychain:svc', { platform: name, env: { PATH: directory } })).toEqual({
      message: `no secret at keychain:svc (${program} is not installed)`,
      hint: expect.stringMatching({ darwin: /usr\/bin/, linux: /libsecret-tools/ }[name]),
    });
  });

  test('nowhere else', async () => {
    expect(await ask('keychain:svc', { platform: 'win32' })).toEqual({
      message: 'no secret at keychain:svc (bottle knows no keychain on win32)',
      hint: 'use another kind of reference',
    });
  });
});

/** Debian: libsecret-tools, gnome-keyring, dbus. */
const PROGRAMS = ['secret-tool', 'gnome-keyring-daemon', 'dbus-run-session'];
const missing = PROGRAMS.filter((program) => {
  try {
    execFileSync('sh', ['-c', 'command -v "$1"', 'sh', program]);
    return false;
  } catch {
    return true;
  }
});
const why = missing.length === 0 ? '' : ` (left out: ${missing.join(', ')} not installed)`;

describe.skipIf(missing.length > 0)(`the real keyring of Linux${why}`, () => {
  const MODULE = fileURLToPath(new URL('../../../src/host/secrets.ts', import.meta.url));

  /** In a session of its own: a bus, an unlocked keyring, the items that `store` puts in; what is told of `references`. */
  async function inSession(store: string, references: string[]): Promise<Record<string, string>> {
    const home = mkdtempSync(path.join(directory, 'home-'));
    const runtime = path.join(home, 'run');
    mkdirSync(runtime, { mode: 0o700 });
    const reader = path.join(home, 'read.ts');
    writeFileSync(
      reader,
      `import { resolveSecrets } from ${JSON.stringify(MODULE)};
       const told = {};
       for (const reference of ${JSON.stringify(references)})
         told[reference] = await resolveSecrets([reference]).then((all) => all.get(reference), (error) => error.message);
       console.log(JSON.stringify(told));`,
    );
    const script = `set -e
      printf password | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
      ${store}
      exec "$1" "$2"`;
    const { HOME: _home, DBUS_SESSION_BUS_ADDRESS: _bus, ...env } = process.env;
    const { stdout } = await promisify(execFile)(
      'dbus-run-session',
      ['--', 'sh', '-c', script, 'sh', process.execPath, reader],
      {
        env: { ...env, HOME: home, XDG_RUNTIME_DIR: runtime, XDG_DATA_HOME: path.join(home, 'data') },
        timeout: 50_000,
      },
    );
    return JSON.parse(stdout) as Record<string, string>;
  }

  test('gives an item by service and account, by service alone, with odd names, and says what is not there', async () => {
    const store = `
      printf 'of me' | secret-tool store --label a -- service bottle-test account me
      printf 'of you' | secret-tool store --label b -- service bottle-test account you
      printf 'alone\\n' | secret-tool store --label c -- service --alone
      printf 'two\\nlines ☂' | secret-tool store --label d -- service 'https://host/a b' account 'me@host/x'`;
    const told = {
      'keychain:bottle-test/me': 'of me',
      'keychain:bottle-test/you': 'of you',
      'keychain:--alone': 'alone',
      'keychain:https:%2F%2Fhost%2Fa b/me@host/x': 'two\nlines ☂',
      'keychain:bottle-test/nobody': 'no secret at keychain:bottle-test/nobody (there is no such item)',
    };
    expect(await inSession(store, Object.keys(told))).toEqual(told);
  });
});
