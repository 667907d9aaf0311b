import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addressesOf, gitConfig } from '../../../src/core/git-config.ts';

const GATE = 'http://10.0.0.2:9418';
let directory: string;
let file: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'bottle-gitconfig-'));
  file = path.join(directory, 'config');
  const repos = [
    { name: 'app', upstream: 'https://github.com/team/app.git' },
    { name: 'app-tools', upstream: 'https://github.com/team/app-tools' },
    { name: 'deep', upstream: 'https://forge.test:8443/group/sub/deep.git/' },
    { name: 'site', upstream: 'ssh://deploy@scp.test/team/site' },
    { name: 'own', upstream: 'ssh://git@git.example.com:30009/me/own.git' },
  ];
  const user = { name: 'An "Agent" \\ more', email: 'agent@example.com' };
  writeFileSync(file, gitConfig({ gate: GATE, repos, user }));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const git = (...args: string[]): string =>
  execFileSync('git', args, {
    cwd: directory,
    env: { PATH: process.env['PATH'], HOME: directory, GIT_CONFIG_SYSTEM: file },
    encoding: 'utf8',
  }).trim();

describe('real git', () => {
  test.each([
    ['https://github.com/team/app', 'app'],
    ['https://github.com/team/app.git', 'app'],
    ['git@github.com:team/app.git', 'app'],
    ['git@github.com:team/app', 'app'],
    ['ssh://git@github.com/team/app.git', 'app'],
    ['ssh://github.com/team/app', 'app'],
    ['https://github.com/team/app-tools.git', 'app-tools'],
    ['ssh://git@git.example.com:30009/me/own.git', 'own'],
    ['ssh://git.example.com:30009/me/own', 'own'],
    ['https://git.example.com/me/own', 'own'],
    ['https://forge.test:8443/group/sub/deep.git', 'deep'],
    ['https://forge.test:8443/group/sub/deep', 'deep'],
    ['ssh://git@forge.test/group/sub/deep', 'deep'],
    ['git@forge.test:group/sub/deep.git', 'deep'],
    ['deploy@scp.test:team/site', 'site'],
    ['ssh://deploy@scp.test/team/site.git', 'site'],
    ['https://scp.test/team/site.git', 'site'],
  ])('goes to the gate for %s', (address, name) => {
    expect(git('ls-remote', '--get-url', address)).toBe(`${GATE}/${name}.git`);
  });

  test.each(['https://github.com/other/app', 'https://gitlab.com/team/app', 'git@github.com:team/else.git'])(
    'is left alone with %s',
    (address) => {
      expect(git('ls-remote', '--get-url', address)).toBe(address);
    },
  );

  test('is led to the gate by every form there is, and reads every line of the file', () => {
    git('init', '--quiet');
    for (const upstream of ['https://github.com/team/app.git', 'ssh://git@git.example.com:30009/me/own.git']) {
      const name = upstream.includes('own') ? 'own' : 'app';
      for (const address of addressesOf(upstream)) {
        expect(git('ls-remote', '--get-url', address)).toBe(`${GATE}/${name}.git`);
        // For a push too.
        git('config', 'remote.r.url', address);
        expect(git('remote', 'get-url', '--push', 'r')).toBe(`${GATE}/${name}.git`);
      }
    }
    const listed = git('config', '-f', file, '--list').split('\n');
    expect(listed).toContain('user.name=An "Agent" \\ more');
    expect(listed).toContain('push.autosetupremote=true');
    expect(listed.filter((line) => line.startsWith(`url.${GATE}/app.git.insteadof=`))).toHaveLength(8);
  });

  test('reads the identity as it was written, and the safe defaults', () => {
    expect(git('config', 'user.name')).toBe('An "Agent" \\ more');
    expect(git('config', 'user.email')).toBe('agent@example.com');
    expect(git('config', 'transfer.fsckObjects')).toBe('true');
    expect(git('config', 'init.defaultBranch')).toBe('main');
  });
});

test('without repositories and identity there is nothing but defaults', () => {
  expect(gitConfig({ gate: GATE, repos: [], user: {} })).not.toMatch(/url|user/);
});

test('the same input gives the same text, and a part of an identity stands alone', () => {
  const input = { gate: GATE, repos: [{ name: 'a', upstream: 'https://h.test/a' }], user: { email: 'x@y.test' } };
  expect(gitConfig(input)).toBe(gitConfig(structuredClone(input)));
  expect(gitConfig(input)).toContain('[user]\n\temail = "x@y.test"\n[');
});

test('an address with a port has no scp form', () => {
  expect(addressesOf('ssh://git@h.test:22022/a/b').filter((address) => !address.includes('://'))).toEqual([]);
});
