/** What smolvm is asked for, and what is made of its answers. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MachineSpec } from '../../../src/host/machine/driver.ts';
import { createArgs } from '../../../src/host/machine/smolvm/create-options.ts';
import { reasonOf, startFailed } from '../../../src/host/machine/smolvm/failures.ts';
import { isStartable, statusOf } from '../../../src/host/machine/smolvm/records.ts';

describe('a machine is asked for', () => {
  const network = {
    name: 'n',
    subnet: '10.1.2.0/28',
    gateway: '10.1.2.1',
    bundleIp: '10.1.2.2',
    machineIp: '10.1.2.3',
  };
  const resources = { cpus: 1, memoryMiB: 1024, pids: 64 };
  const spec: MachineSpec = { network, image: 'guest:1', env: {}, resources };
  const asked = (change: Partial<MachineSpec> = {}, labels: Record<string, string> = {}): string[] =>
    createArgs('bottle-x-machine', { ...spec, ...change }, '--image', '/c/1.tar', labels, '/s/links/1');
  const valuesOf = (args: readonly string[], flag: string): (string | undefined)[] =>
    args.slice(0, args.indexOf('--')).flatMap((word, index) => (word === flag ? [args[index + 1]] : []));

  test('with one address it may reach, and with that as its only host, so that no other name is answered', () => {
    expect(valuesOf(asked(), '--allow-cidr')).toEqual(['10.1.2.2/32']);
    expect(valuesOf(asked(), '--allow-host')).toEqual(['10.1.2.2']);
  });

  test('with nothing that would open it further', () => {
    const open = ['--net', '--net-backend', '--dns', '--network', '-p', '--port', '-v', '--volume', '--use-host-proxy'];
    expect(asked().filter((word) => open.includes(word) || word.startsWith('--outbound'))).toEqual([]);
  });

  test('by sockets, with no option at all that would give it a network', () => {
    const args = asked({ link: 'sockets' });
    expect(valuesOf(args, '--mount-socket')).toEqual([
      '/s/links/1/8888:/run/bottle/8888',
      '/s/links/1/9099:/run/bottle/9099',
      '/s/links/1/9418:/run/bottle/9418',
      '/s/links/1/9100:/run/bottle/9100',
    ]);
    const flags = args.slice(0, args.indexOf('--')).filter((word) => word.startsWith('--'));
    expect([...new Set(flags)].sort()).toEqual(['--cpus', '--image', '--mem', '--mount-socket', '--name', '--storage']);
    expect(args.slice(args.indexOf('--'), -1)).toEqual(['--', 'tini', '--', 'sh', '-c']);
    expect(args.at(-1)).toContain('bind=127.0.0.1');
  });

  test.each([
    [0.1, '1'],
    [1, '1'],
    [1.5, '2'],
    [4, '4'],
  ])('with whole processors: %d are %s', (cpus, words) => {
    expect(valuesOf(asked({ resources: { cpus, memoryMiB: 1024, pids: 64 } }), '--cpus')).toEqual([words]);
  });

  test('with what it does, which is to wait, as the last of all', () => {
    const args = asked({}, { a: 'b' });
    expect(args.slice(args.indexOf('--'))).toEqual(['--', 'tini', '--', 'sleep', 'infinity']);
  });

  test('with every variable and label as one word, whatever is in it', () => {
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,9}$/);
    fc.assert(
      fc.property(fc.dictionary(name, fc.string()), fc.dictionary(name, fc.string()), (env, labels) => {
        const args = asked({ env }, labels);
        const end = args.lastIndexOf('--', args.length - 4);
        const flags = args.slice(0, end);
        const pairs = (flag: string) =>
          flags.flatMap((word, index) => (word === flag && index % 2 === 0 ? [flags[index + 1]] : []));
        expect(pairs('-e')).toEqual(Object.entries(env).map(([key, value]) => `${key}=${value}`));
        expect(pairs('--label')).toEqual(Object.entries(labels).map(([key, value]) => `${key}=${value}`));
      }),
    );
  });
});

describe('of its states', () => {
  const record = (state: string) => ({ name: 'm', state, labels: {} });

  test.each([
    ['created', 'created'],
    ['running', 'running'],
    ['stopped', 'stopped'],
    ['failed', 'stopped'],
    ['unreachable', 'stopped'],
    ['frozen', 'stopped'],
    ['whatever comes', 'stopped'],
  ])('%s is %s', (state, status) => {
    expect(statusOf(record(state))).toBe(status);
  });

  test('those that no start could bring back are made anew', () => {
    const all = ['created', 'running', 'stopped', 'failed', 'unreachable', 'frozen', 'paused', 'pausing', 'new'];
    expect(all.filter((state) => !isStartable(record(state)))).toEqual(['frozen', 'paused', 'pausing', 'new']);
  });
});

describe('a start that failed', () => {
  // As 1.32.2 says it.
  const silent = {
    code: 'SMOLVM_ERROR',
    message:
      'agent operation failed: start machine: agent operation failed: wait for ready: agent did not become ready within 30 seconds: no boot progress for 30 seconds',
  };

  test('is told with its reason, without what is said twice', () => {
    expect(reasonOf(silent)).toBe(
      'start machine: wait for ready: agent did not become ready within 30 seconds: no boot progress for 30 seconds',
    );
    expect(reasonOf({ code: 'NOT_FOUND', message: 'vm not found: x' })).toBe('vm not found: x (NOT_FOUND)');
    expect(reasonOf({ code: 'SMOLVM_ERROR', message: 'storage operation failed' })).toBe('storage operation failed');
  });

  test('is tried again only where a machine has started before', async () => {
    expect((await startFailed('m', silent, false)).retryable).toBe(false);
    const kvm = { code: 'KVM_UNAVAILABLE', message: 'kvm not available: /dev/kvm' };
    expect((await startFailed('m', kvm, true)).retryable).toBe(false);
  });
});
