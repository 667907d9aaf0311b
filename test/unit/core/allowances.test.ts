import { describe, expect, test } from 'vitest';
import { allowances } from '../../../src/core/allowances.ts';
import type { EgressRoutePlan, GitRepoPlan } from '../../../src/core/bundle-plans.ts';
import { FULL, NONE, plan } from './plan-fixture.ts';

test('each daemon that runs tells what it lets the agent do, and no other', () => {
  expect(allowances(plan(FULL))).toEqual({
    pipelock: ['a.test, port 80 and 443: HTTPS passes unread'],
    egress: ['http://egress:9099/anthropic -> https://api.anthropic.com: every request; header from env:KEY'],
    'git-gate': ['app -> https://git.test/app: clone, fetch, push to every branch; key from file:/run/token'],
    supervise: ['the agent may ask you, 10 things at a time'],
  });
  expect(allowances(plan(NONE))).toEqual({ pipelock: ['a.test, port 80 and 443: HTTPS passes unread'] });
});

test('a daemon that runs for what may be granted later has nothing to tell yet', () => {
  const waiting = plan({ ...NONE, supervise: { maxPending: 10 }, pipelock: { allow: [], intercept: false } });
  expect(waiting.daemons).toEqual(['pipelock', 'egress', 'supervise']);
  expect(allowances(waiting)).toMatchObject({ pipelock: [], egress: [] });
});

describe('a host', () => {
  const line = (entry: string, intercept = false, scanner: 'pipelock' | 'allow-list' = 'pipelock') =>
    allowances(plan({ ...NONE, pipelock: { allow: [entry], intercept } }, { scanner })).pipelock?.[0];

  test.each([
    ['*.example.com', 'every name below example.com, port 80 and 443: HTTPS passes unread'],
    ['example.com:8443', 'example.com, port 8443: HTTPS passes unread'],
    ['nas.test private', 'nas.test, port 80 and 443: HTTPS passes unread, may be at a private address'],
    ['EXAMPLE.com.', 'example.com, port 80 and 443: HTTPS passes unread'],
  ])('%j is: %s', (entry, words) => {
    expect(line(entry)).toBe(words);
  });

  test('is read where the bottle says so, unless it is to be tunnelled', () => {
    expect(line('a.test', true)).toBe('a.test, port 80 and 443: read and scanned');
    expect(line('a.test tunnel', true)).toBe('a.test, port 80 and 443: HTTPS passes unread');
  });

  test('is not said to be read by what cannot read it', () => {
    expect(line('a.test', true, 'allow-list')).toBe('a.test, port 80 and 443: HTTPS passes unread');
  });
});

describe('a route', () => {
  const line = (change: Partial<EgressRoutePlan>) => {
    const route: EgressRoutePlan = {
      id: 'x.test',
      upstream: 'https://x.test',
      matches: [],
      auth: null,
      private: false,
      ca: null,
    };
    return allowances(plan({ ...NONE, egress: { routes: [{ ...route, ...change }] } })).egress?.[0];
  };

  test.each<[Partial<EgressRoutePlan>, string]>([
    [{}, 'every request; no credential'],
    [{ auth: { scheme: 'basic', user: 'me', secret: 'file:/k' } }, 'every request; basic from file:/k'],
    [{ matches: [{ methods: [], paths: [] }] }, 'any method any path; no credential'],
    [
      {
        matches: [
          {
            methods: ['GET', 'HEAD'],
            paths: [
              { type: 'prefix', value: '/v1/' },
              { type: 'exact', value: '/me' },
            ],
          },
          { methods: ['POST'], paths: [{ type: 'regex', value: '/a.*' }] },
        ],
      },
      'GET,HEAD /v1/*, exact /me; POST regex /a.*; no credential',
    ],
    [
      {
        matches: [
          {
            methods: ['GET'],
            paths: [],
            headers: [
              { type: 'exact', name: 'x-kind', value: 'a' },
              { type: 'regex', name: 'x-b', value: 'b+' },
            ],
          },
        ],
      },
      'GET any path with x-kind: a, x-b: b+; no credential',
    ],
  ])('with %j allows: %s', (change, words) => {
    expect(line(change)).toBe(`http://egress:9099/x.test -> https://x.test: ${words}`);
  });
});

describe('a repository', () => {
  const repo = FULL.gitGate?.repos[0] as GitRepoPlan;
  const line = (change: Partial<GitRepoPlan>) =>
    allowances(plan({ ...NONE, gitGate: { repos: [{ ...repo, ...change }] } }))['git-gate']?.[0];

  test.each<[Partial<GitRepoPlan>, string]>([
    [{ key: null }, 'push to every branch; no key'],
    [{ branches: ['agent/**', 'docs'] }, 'push to agent/**, docs; key from file:/run/token'],
    [{ allowForce: true, allowDelete: true }, 'push to every branch (and force, delete); key from file:/run/token'],
    [{ branches: ['a'], allowDelete: true }, 'push to a (and delete); key from file:/run/token'],
  ])('with %j allows: clone, fetch, %s', (change, words) => {
    expect(line(change)).toBe(`app -> https://git.test/app: clone, fetch, ${words}`);
  });
});
