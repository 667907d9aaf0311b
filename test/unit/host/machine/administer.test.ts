import { describe, expect, test } from 'vitest';
import { DEBIAN_PATH, isRoot, rootPath } from '../../../../src/host/machine/administer.ts';
import { limitsEnvironment } from '../../../../src/host/machine/limits-environment.ts';

describe("root's PATH", () => {
  test.each([
    ['PATH=/home/agent/.local/bin:/usr/local/bin:/usr/bin', '/usr/local/bin:/usr/bin'],
    // A custom image's own folders stay; what is relative, or empty and so the current folder, is anybody's.
    ['PATH=/opt/java/bin:/home/agent:bin::/home/agents/bin:/bin', '/opt/java/bin:/home/agents/bin:/bin'],
    ['PATH=/home/agent/bin', DEBIAN_PATH],
    ['HOME=/root', DEBIAN_PATH],
  ])('of a machine with %s is %s', (variable, path) => {
    expect(rootPath(['LANG=C.UTF-8', variable], '/home/agent')).toBe(path);
  });
});

test('root is known by name and by number, and by nothing that only begins so', () => {
  const users = ['root', '0', 'root:root', '0:0', 'rooted', '01', 'agent', '', undefined];
  expect(users.map(isRoot)).toEqual([true, true, true, true, false, false, false, false, false]);
});

test.each([
  [0.5, '1'],
  [1, '1'],
  [1.5, '2'],
  [8, '8'],
])('%d CPUs are %s for programs that ask how many there are', (cpus, count) => {
  expect(limitsEnvironment({ cpus })).toMatchObject({ OMP_NUM_THREADS: count, GOMAXPROCS: count });
});
