import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  callSmolvm,
  environmentOf,
  failureOf,
  type Smolvm,
  spawnSmolvm,
} from '../../../src/host/machine/smolvm/cli.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-cli-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A program in smolvm's place that does just this. */
function program(script: string): Smolvm {
  const file = path.join(directory, `smolvm-${Math.random().toString(36).slice(2)}`);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return { program: { path: file }, state: '/private/vm' };
}

const call = (smolvm: Smolvm, args: string[] = [], options = {}) =>
  callSmolvm(smolvm, ['machine', 'create'], args, { timeoutMs: 20_000, ...options });

describe('a call', () => {
  test('has our options before those of the verb, so none of them can end up in the command', async () => {
    const { stdout } = await call(program('printf "%s|" "$@"'), ['--name', 'x', '--', 'sh', '-c', 'exit 1']);
    expect(stdout).toBe('machine|create|--error-format|json|--state-dir|/private/vm|--name|x|--|sh|-c|exit 1|');
  });

  test('has an empty input, and is the leader of a group of its own', async () => {
    const { stdout } = await call(program('cat; ps -o pgid= -p $$ | tr -d " "; echo $$'));
    const [group, pid] = stdout.split('\n');
    expect(group).toBe(pid);
  });

  test('takes nothing of our environment but what it needs', async () => {
    vi.stubEnv('SMOLVM_EGRESS_FLOOR', 'strict');
    vi.stubEnv('SMOLVM_MACHINE_NAME', 'another');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'not for smolvm');
    vi.stubEnv('TMPDIR', '/tmp');
    const { stdout } = await call(program('env'));
    vi.unstubAllEnvs();
    const names = stdout.split('\n').map((line) => line.split('=')[0] ?? '');
    const ofTheShell = ['PWD', 'OLDPWD', 'SHLVL', '_'];
    const own = ['HOME', 'NO_COLOR', 'PATH', 'RUST_LOG', 'SMOLVM_IMAGE_SEEDS', 'TMPDIR'];
    expect(names.filter((name) => !ofTheShell.includes(name) && name !== 'SMOLVM_VM_UID_DROP').sort()).toEqual(own);
  });

  test('that fails is told with the code and reason of its last line, whatever came before', async () => {
    const failing = program(`cat >&2 <<'END'
Starting machine 'x'...
WARN Error: {"error":{"code":"NOT_FOUND","message":"a helper's"}}
{"error":{"code":"SMOLVM_ERROR","message":"agent operation failed: no"}}
END
exit 1`);
    expect(await call(failing)).toEqual({
      stdout: '',
      failure: { code: 'SMOLVM_ERROR', message: 'agent operation failed: no' },
    });
  });

  test.each([
    ['echo "libkrun.so: cannot open" >&2; exit 1', { code: 'UNKNOWN', message: 'libkrun.so: cannot open' }],
    ['exit 3', { code: 'UNKNOWN', message: 'ended with 3' }],
    ['kill -KILL $$', { code: 'INTERRUPTED', message: 'was ended by SIGKILL' }],
  ])('that ends with %s is a failure too', async (script, failure) => {
    expect(await call(program(script))).toMatchObject({ failure });
  });

  test('that it does not understand is our fault, and trying again is no use', async () => {
    const error = await call(program('echo "error: unexpected argument" >&2; exit 2')).catch((caught) => caught);
    expect(error).toMatchObject({
      code: 'INTERNAL',
      retryable: false,
      message: 'smolvm machine create does not understand bottle: error: unexpected argument',
    });
  });

  test('of what is no program says which', async () => {
    const smolvm = { program: { path: '/no/such/smolvm' }, state: '/private/vm' };
    await expect(call(smolvm)).rejects.toMatchObject({
      code: 'DRIVER_UNAVAILABLE',
      message: '/no/such/smolvm cannot be run (ENOENT)',
    });
    await expect(spawnSmolvm(smolvm, ['machine', 'exec'], [], false).ended).rejects.toMatchObject({
      code: 'DRIVER_UNAVAILABLE',
    });
  });

  test('that lasts too long is ended, also when it does not listen', async () => {
    const before = Date.now();
    const deaf = program('trap "" TERM; while :; do sleep 0.1; done');
    await expect(call(deaf, [], { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: 'smolvm machine create did not end within 0.3 s',
    });
    expect(Date.now() - before).toBeLessThan(15_000);
  });

  test('ends when it is aborted, with the reason of who aborted, and does not begin when that was before', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const asked = call(program('exec sleep 60'), [], { signal: controller.signal });
    await sleep(200);
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    const never = path.join(directory, 'never');
    await expect(call(program(`touch ${never}`), [], { signal: controller.signal })).rejects.toBe(reason);
    await sleep(100);
    expect(() => chmodSync(never, 0o600)).toThrow(/ENOENT/);
  });
});

describe('its environment', () => {
  const smolvm: Smolvm = { program: { path: '/usr/bin/smolvm' }, state: '/private/vm' };

  test.each([
    ['/opt/agent-rootfs.tar.zst', { SMOLVM_AGENT_ROOTFS_TAR: '/opt/agent-rootfs.tar.zst' }],
    ['/opt/agent-rootfs.tar', { SMOLVM_AGENT_ROOTFS_TAR: '/opt/agent-rootfs.tar' }],
    ['/opt/agent-rootfs', { SMOLVM_AGENT_ROOTFS: '/opt/agent-rootfs' }],
  ])('names the root filesystem %s for what it is', (rootfs, variables) => {
    const environment = environmentOf({ ...smolvm, program: { ...smolvm.program, rootfs } }, {});
    expect(Object.fromEntries(Object.entries(environment).filter(([name]) => name.includes('ROOTFS')))).toEqual(
      variables,
    );
  });

  test('keeps the uid of root only, whose state directory no other uid can enter', () => {
    expect(environmentOf(smolvm, {}, true)).toMatchObject({ SMOLVM_VM_UID_DROP: 'off' });
    expect(environmentOf(smolvm, {}, false)).not.toHaveProperty('SMOLVM_VM_UID_DROP');
  });
});

describe('what it says of a failure', () => {
  test.each([
    ['', undefined],
    ['\n\n', undefined],
    [
      '{"error":{"code":"NOT_FOUND","message":"vm not found: x"}}\n\n',
      { code: 'NOT_FOUND', message: 'vm not found: x' },
    ],
    ['{"error":{"code":1}}', { code: 'UNKNOWN', message: '{"error":{"code":1}}' }],
    ['null', { code: 'UNKNOWN', message: 'null' }],
    ['[]', { code: 'UNKNOWN', message: '[]' }],
  ])('%j is %j', (stderr, failure) => {
    expect(failureOf(stderr)).toEqual(failure);
  });
});
