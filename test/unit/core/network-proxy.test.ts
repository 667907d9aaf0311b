import { describe, expect, test } from 'vitest';
import {
  canonicalNoProxy,
  goesDirectly,
  proxyPlan,
  proxyUrl,
  proxyUrlWithLogin,
} from '../../../src/core/network-proxy.ts';
import { notProxied } from '../../../src/core/not-proxied.ts';
import { FULL, NONE } from './plan-fixture.ts';

describe('what is reached without the proxy', () => {
  const noProxy = [
    'corp.example',
    '.Dev.example',
    '*.wild.example',
    '10.1.0.0/16',
    '192.0.2.7',
    '[2001:DB8::7]',
    '2001:db8::8',
  ].map((entry) => canonicalNoProxy(entry) as string);

  test.each([
    ['corp.example', true],
    ['git.corp.example', true],
    ['notcorp.example', false],
    ['corp.example.com', false],
    ['dev.example', true],
    ['a.b.dev.example', true],
    ['wild.example', true],
    ['x.wild.example', true],
    ['10.1.2.3', true],
    ['10.2.0.1', false],
    ['192.0.2.7', true],
    ['1.192.0.2.7', false],
    ['2001:db8::7', true],
    ['2001:db8::8', true],
    ['2001:db8::9', false],
    ['model.test', false],
  ])('%s: %s', (host, expected) => {
    expect(goesDirectly({ noProxy }, host)).toBe(expected);
  });

  test.each(['', 'a b', 'http://x', '10.0.0.1/8', 'a/b', '*'])('cannot be %j', (entry) => {
    expect(canonicalNoProxy(entry)).toBeUndefined();
  });
});

test('its address has the port of HTTP unless it says another, and a login only where a program is to use it', () => {
  expect(proxyPlan('http://proxy.corp')).toEqual({
    host: 'proxy.corp',
    port: 80,
    username: null,
    password: null,
    noProxy: [],
  });
  expect(proxyPlan('http://[2001:db8::1]:3128/')).toMatchObject({ host: '2001:db8::1', port: 3128 });
  const proxy = { host: '2001:db8::1', port: 3128, noProxy: [], login: { username: 'DOM\\me', password: 'a:b@c/d' } };
  expect(proxyUrl(proxy)).toBe('http://[2001:db8::1]:3128');
  const { username, password, host } = new URL(proxyUrlWithLogin(proxy));
  expect([decodeURIComponent(username), decodeURIComponent(password), host]).toEqual([
    'DOM\\me',
    'a:b@c/d',
    '[2001:db8::1]:3128',
  ]);
  expect(proxyUrlWithLogin({ ...proxy, login: null })).toBe('http://[2001:db8::1]:3128');
});

describe('what cannot go by the proxy is told by name', () => {
  const proxy = proxyPlan('http://proxy.corp:3128', { noProxy: ['inside.test'] });
  const [app] = FULL.gitGate?.repos ?? [];
  const over = (upstream: string) => ({ ...NONE, gitGate: { repos: app === undefined ? [] : [{ ...app, upstream }] } });

  test('ssh, unless the host is reached directly', () => {
    expect(notProxied(over('ssh://git@git.test:2222/app'), proxy, 'allow-list')).toEqual([
      {
        what: 'git-gate.repos.app: ssh cannot go through the proxy http://proxy.corp:3128: git.test:2222',
        hint: expect.stringContaining('no_proxy'),
      },
    ]);
    expect(notProxied(over('ssh://git@git.inside.test/app'), proxy, 'allow-list')).toEqual([]);
    expect(notProxied(over('https://git.test/app'), proxy, 'allow-list')).toEqual([]);
  });

  test('hosts of allow behind pipelock, which knows no other proxy', () => {
    const plans = { ...NONE, pipelock: { allow: ['a.test', '*.b.test', 'x.inside.test'], intercept: false } };
    expect(notProxied(plans, proxy, 'pipelock')).toMatchObject([
      { what: 'allow: pipelock cannot go through the proxy http://proxy.corp:3128: a.test, *.b.test' },
    ]);
    expect(notProxied(plans, proxy, 'allow-list')).toEqual([]);
    expect(notProxied({ ...FULL, pipelock: { allow: [], intercept: false } }, proxy, 'pipelock')).toEqual([]);
  });
});
