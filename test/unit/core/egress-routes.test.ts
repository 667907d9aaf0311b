import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { EgressRouteConfig, PathMatch, RouteMatch } from '../../../src/core/bundle-config.ts';
import {
  allows,
  credentialRefusedLine,
  decideEgress,
  normalPath,
  parseCredentialRefused,
  viewRoute,
} from '../../../src/core/egress-routes.ts';

const route = (change: Partial<EgressRouteConfig> = {}): EgressRouteConfig => ({
  id: 'api',
  upstream: 'https://api.test/base',
  matches: [],
  auth: { header: 'x-api-key', value: 'the-real-credential' },
  secrets: ['the-real-credential'],
  private: false,
  ca: null,
  expiresAt: null,
  ...change,
});

const decide = (target: string, change: Partial<EgressRouteConfig> = {}, method = 'GET', now = 0) =>
  decideEgress(new Map([['api', route(change)]]), method, target, now);

const path = (type: PathMatch['type'], value: string): RouteMatch[] => [{ methods: [], paths: [{ type, value }] }];

describe('a path', () => {
  test.each([
    ['/', '/'],
    ['/v1/messages', '/v1/messages'],
    ['/v1/', '/v1/'],
    ['/%7euser/%41%2d%5f', '/~user/A-_'],
    ['/caf%c3%a9', '/caf%C3%A9'],
    ['/a%20b+c', '/a%20b+c'],
    ['/100%25', '/100%25'],
    ['/a...b/.hidden/x..', '/a...b/.hidden/x..'],
    ['/v1;a=b/c:d@e*f', '/v1;a=b/c:d@e*f'],
    ['/%3f%23', '/%3F%23'],
    ['/projects/group%2fproject', '/projects/group%2Fproject'],
  ])('%s has one spelling, %s', (raw, normal) => {
    expect(normalPath(raw)).toBe(normal);
  });

  test.each([
    ['a dot segment', ['/v1/../x', '/v1/..', '/..', '/v1/./x', '/.']],
    ['an escaped one', ['/v1/%2e%2e/x', '/v1/.%2e', '/v1/%2E./x', '/v1/%2e/x']],
    ['one that climbs by an escaped slash', ['/v1/..%2fx', '/v1%2f..%2fx', '/%2e%2e%2fx']],
    ['one escaped twice', ['/v1/%252e%252e/x', '/v1/%25%32%65%25%32%65/x', '/v1/%252e./x', '/a%252fb', '/a%25252e']],
    ['one with parameters', ['/v1/..;/x', '/v1/..;a=b/x', '/v1/%2e%2e;/x', '/v1/.;/x']],
    ['one with spaces', ['/v1/..%20/x', '/v1/%20../x']],
    ['one in overlong UTF-8', ['/v1/%c0%ae%c0%ae/x', '/v1/..%c0%afx', '/v1/%e0%80%ae./x']],
    ['one in full width', ['/v1/%ef%bc%8e%ef%bc%8e/x', '/v1/..%ef%bc%8fx', '/v1/%e2%80%a5/x']],
    ['an escaped backslash', ['/a%5cb']],
    ['an empty segment beside an escaped slash', ['/a%2f', '/a/%2fb', '/a%2f/b', '/a%2f%2fb']],
    ['a backslash', ['/a\\b', '/..\\x']],
    ['an empty segment', ['//', '/v1//x', '//evil.test/x', '/v1/x//']],
    ['NUL or another control character', ['/a%00b', '/a%0d%0ab', '/a%7f', '/a%2500', '/a\tb', '/a\0']],
    ['no or a broken escape', ['/a%', '/a%2', '/a%zz', '/%u002e', '/%%32e']],
    ['bytes that are not UTF-8', ['/%ff', '/%e9']],
    ['anything but ASCII, a space, a fragment, a query', ['/é', '/a b', '/a#b', '/a?b']],
    ['no slash in front', ['', 'v1', '*', 'http://x/']],
    ['more than 8 KiB', [`/${'a'.repeat(8192)}`]],
  ])('with %s is refused', (_what, paths) => {
    for (const raw of paths) {
      expect(normalPath(raw), raw).toBeUndefined();
      expect(decide(`/api${raw}`).verdict, raw).not.toBe('list');
    }
  });

  test('stays as it is once it is normal, and never holds a segment that climbs, however it was written', () => {
    const piece = fc.constantFrom(
      '/',
      '.',
      '..',
      '%2e',
      '%2E',
      '%2f',
      '%25',
      '2e',
      ';',
      '%41',
      'a',
      '%c3%a9',
      '\\',
      '%',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        const normal = normalPath(`/${pieces.join('')}`);
        if (normal === undefined) return;
        expect(normalPath(normal)).toBe(normal);
        const decode = (text: string) =>
          text.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
        const segments = decode(decode(normal)).split(/[/\\]/);
        expect(segments.map((segment) => segment.split(';')[0])).not.toContain('..');
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a rule', () => {
  test.each<[PathMatch['type'], string, string[], string[]]>([
    ['prefix', '/v1', ['/v1', '/v1/', '/v1/x/y'], ['/v1extra', '/v', '/V1', '/', '/x/v1', '/v1;x', '/v1%20']],
    ['prefix', '/v1/', ['/v1', '/v1/x'], ['/v1extra']],
    ['prefix', '/', ['/', '/x'], []],
    ['prefix', '/%7ea', ['/~a', '/~a/b'], ['/%7Ea']],
    ['prefix', '/a//b', [], ['/a//b', '/a/b']],
    ['prefix', '', [], ['/', '/x']],
    ['exact', '/v1', ['/v1'], ['/v1/', '/v1/x', '/v1extra', '/']],
    [
      'regex',
      '/repos/[^/]+/issues',
      ['/repos/a/issues'],
      ['/repos/a/b/issues', '/repos/a/issues/1', '/x/repos/a/issues'],
    ],
    ['regex', '/a|/b', ['/a', '/b'], ['/ab', '/a/b', '/bx', '/xa']],
    ['regex', '/v1', ['/v1'], ['/v1\n', '/v1x']],
  ])('%s %s', (type, value, fitting, others) => {
    for (const one of fitting) expect(allows(path(type, value), 'GET', one, 0), one).toBe(true);
    for (const one of others) expect(allows(path(type, value), 'GET', one, 0), one).toBe(false);
  });

  test('of methods does not mind case; no methods, no paths and no matches mean any', () => {
    const post: RouteMatch[] = [{ methods: ['POST'], paths: [] }];
    expect(allows(post, 'post', '/x', 0)).toBe(true);
    expect(allows([{ methods: ['post'], paths: [] }], 'POST', '/x', 0)).toBe(true);
    expect(allows(post, 'GET', '/x', 0)).toBe(false);
    expect(allows(post, 'POSTX', '/x', 0)).toBe(false);
    expect(allows([{ methods: [], paths: [] }], 'GET', '/x', 0)).toBe(true);
    expect(allows([], 'DELETE', '/x', 0)).toBe(true);
  });

  test('fits a match for a time until that is over, and then falls back on the others, never on any', () => {
    const brief = { methods: ['GET'], paths: [], expiresAt: '1970-01-01T00:00:01.000Z' };
    expect(allows([brief], 'GET', '/x', 999)).toBe(true);
    expect(allows([brief], 'GET', '/x', 1000)).toBe(false);
    expect(allows([brief, { methods: ['POST'], paths: [] }], 'GET', '/x', 1000)).toBe(false);
    expect(allows([brief, { methods: ['POST'], paths: [] }], 'POST', '/x', 1000)).toBe(true);
    expect(allows([{ ...brief, expiresAt: 'no date' }], 'GET', '/x', 0)).toBe(false);
  });

  test('keeps its methods to its paths', () => {
    const matches: RouteMatch[] = [
      { methods: ['GET'], paths: [{ type: 'prefix', value: '/a' }] },
      { methods: ['POST'], paths: [{ type: 'prefix', value: '/b' }] },
    ];
    expect(allows(matches, 'GET', '/a', 0)).toBe(true);
    expect(allows(matches, 'POST', '/b', 0)).toBe(true);
    expect(allows(matches, 'POST', '/a', 0)).toBe(false);
    expect(allows(matches, 'GET', '/b', 0)).toBe(false);
  });
});

describe('a request', () => {
  test('goes to the route its first segment names, with its path in one spelling and its query untouched', () => {
    expect(decide('/api/v1/%7ea?q=%2e%2e/../&r=%zz')).toMatchObject({
      verdict: 'forward',
      path: '/v1/~a',
      query: '?q=%2e%2e/../&r=%zz',
    });
    expect(decide('/api')).toMatchObject({ verdict: 'forward', path: '', query: '' });
    expect(decide('/api/')).toMatchObject({ verdict: 'forward', path: '/' });
    expect(decide('/api?x')).toMatchObject({ verdict: 'forward', path: '', query: '?x' });
    expect(decide('/%61pi/x')).toMatchObject({ verdict: 'forward', path: '/x' });
  });

  test('for nothing is answered with the list, when it is GET or HEAD', () => {
    expect(decide('/')).toEqual({ verdict: 'list' });
    expect(decide('/?x=1')).toEqual({ verdict: 'list' });
    expect(decide('/', {}, 'HEAD')).toEqual({ verdict: 'list' });
    expect(decide('/', {}, 'POST')).toMatchObject({ verdict: 'refuse', status: 404 });
  });

  test('for an unknown route is 404, whatever its spelling', () => {
    for (const target of ['/other/x', '/API/x', '/apix', '/api;x/y', '/constructor/x', '/__proto__']) {
      const decision = decide(target);
      expect(decision, target).toMatchObject({ verdict: 'refuse', status: 404, route: null });
      expect((decision as { text: string }).text).toMatch(/^blocked: no route ".*" \(GET \/ lists them\)$/);
    }
  });

  test('that fits no rule is 403, in one line that names host, method, path and rules, and no credential', () => {
    const matches: RouteMatch[] = [
      { methods: ['GET', 'HEAD'], paths: [{ type: 'prefix', value: '/v1' }] },
      { methods: [], paths: [{ type: 'exact', value: '/ping' }] },
    ];
    const decision = decide('/api/v2/x?secret=1', { matches }, 'POST');
    expect(decision).toMatchObject({ verdict: 'refuse', status: 403, path: '/v2/x' });
    expect((decision as { text: string }).text).toBe(
      'blocked: POST api.test/v2/x fits no rule of route api (allowed: GET,HEAD prefix /v1; any method exact /ping)',
    );
  });

  test('that is long gets a short refusal', () => {
    const decision = decide(`/api/${'x'.repeat(8000)}`, { matches: path('exact', `/${'y'.repeat(8000)}`) });
    expect((decision as { text: string }).text.length).toBeLessThan(700);
  });

  test('is refused from the moment its route expires, and when that moment is no date', () => {
    const expiresAt = '2026-01-01T00:00:00.000Z';
    const moment = Date.parse(expiresAt);
    expect(decide('/api/x', { expiresAt }, 'GET', moment - 1).verdict).toBe('forward');
    for (const now of [moment, moment + 1]) {
      expect(decide('/api/x', { expiresAt }, 'GET', now)).toMatchObject({
        status: 403,
        text: 'blocked: route api to api.test has expired',
      });
    }
    expect(decide('/api/x', { expiresAt: 'soon' })).toMatchObject({ verdict: 'refuse', status: 403 });
  });

  test('with TRACE is refused by every route: the upstream would send the credential back', () => {
    expect(decide('/api/x', {}, 'TRACE')).toMatchObject({ verdict: 'refuse', status: 403 });
    expect(decide('/api/x', { matches: [{ methods: ['TRACE'], paths: [] }] }, 'TRACE').verdict).toBe('refuse');
  });

  test('that can be read in two ways is 400, in its path or its query', () => {
    for (const target of [
      '/api/../x',
      '/api/x?a b',
      '/api/x?é',
      '/api/x?a#b',
      '/api//x',
      '/api/a%2f..%2fb',
      '*',
      'x',
    ]) {
      expect(decide(target), target).toMatchObject({ verdict: 'refuse', status: 400 });
    }
  });
});

describe('what is told of a route', () => {
  test('is its address, upstream and rules, never a credential', () => {
    const expiresAt = '2026-01-01T00:00:00.000Z';
    const matches: RouteMatch[] = [
      { methods: ['GET'], paths: [{ type: 'prefix', value: '/a' }] },
      { methods: ['GET', 'POST'], paths: [{ type: 'exact', value: '/b' }] },
    ];
    const view = viewRoute(route({ matches, expiresAt, upstream: 'https://api.test:8443/base' }), 9099);
    expect(view).toEqual({
      id: 'api',
      url: 'http://egress:9099/api',
      upstream: 'https://api.test:8443',
      methods: ['GET', 'POST'],
      paths: [
        { type: 'prefix', value: '/a' },
        { type: 'exact', value: '/b' },
      ],
      credential: true,
      expiresAt,
    });
  });

  test('says any method or path as an empty list, when one of its matches takes any', () => {
    const matches: RouteMatch[] = [
      { methods: ['GET'], paths: [{ type: 'prefix', value: '/a' }] },
      { methods: [], paths: [] },
    ];
    expect(viewRoute(route({ matches, auth: null }), 1)).toMatchObject({ methods: [], paths: [], credential: false });
  });
});

describe('the line about a refused credential', () => {
  const refused = { route: 'api', status: 401 } as const;

  test('reads back as it was written, also after the name that init writes before it', () => {
    expect(credentialRefusedLine(refused)).toBe('{"event":"credential-refused","route":"api","status":401}');
    expect(parseCredentialRefused(credentialRefusedLine(refused))).toEqual(refused);
    expect(parseCredentialRefused(`[egress] ${credentialRefusedLine(refused)}`)).toEqual(refused);
  });

  test.each([
    '',
    'null',
    '[]',
    'text',
    '{"event":"credential-refused"',
    '{"event":"request","route":"api","status":401}',
    '{"event":"credential-refused","route":1,"status":401}',
    '{"event":"credential-refused","route":"api","status":200}',
    `[supervise] ${credentialRefusedLine(refused)}`,
    `said: ${credentialRefusedLine(refused)}`,
  ])('is not %s', (line) => {
    expect(parseCredentialRefused(line)).toBeUndefined();
  });
});
