import { describe, expect, test } from 'vitest';
import type { BundlePlans, EgressRoutePlan, GitRepoPlan } from '../../../src/core/bundle-plans.ts';
import { caFilesOf, daemonsOf, secretRefsOf } from '../../../src/core/bundle-plans.ts';
import { egressListenHost } from '../../../src/core/egress-address.ts';
import { type BundleRendering, renderBundle } from '../../../src/core/render-bundle.ts';
import type { RequestView } from '../../../src/core/requests.ts';

const SECRET = 'the-secret-itself';
const RUN_ID = '01a2b3c4-d5e6-7f80-9a0b-1c2d3e4f5061';
const route = (change: Partial<EgressRoutePlan> = {}): EgressRoutePlan => ({
  id: 'api.test',
  upstream: 'https://api.test',
  matches: [],
  auth: { scheme: 'Bearer', secret: 'env:TOKEN' },
  private: false,
  ca: null,
  ...change,
});
const repo = (change: Partial<GitRepoPlan> = {}): GitRepoPlan => ({
  name: 'app',
  upstream: 'https://git.test/app.git',
  key: { kind: 'token', user: 'me', secret: 'env:TOKEN' },
  branches: ['agent/*'],
  allowForce: false,
  allowDelete: false,
  ca: null,
  ...change,
});
const FULL: BundlePlans = {
  pipelock: { allow: ['pkg.test', '*.wild.test', 'odd.test:8443'], intercept: false },
  egress: { routes: [route()] },
  gitGate: { repos: [repo()] },
  supervise: { maxPending: 10 },
  ca: '/etc/company.pem',
};
const NONE: BundlePlans = {
  pipelock: { allow: [], intercept: false },
  egress: null,
  gitGate: null,
  supervise: null,
  ca: null,
};

const render = (change: Partial<BundleRendering> = {}) =>
  renderBundle({
    plans: FULL,
    scanner: 'allow-list',
    runId: RUN_ID,
    bundleIp: '10.0.0.2',
    requests: [],
    secrets: new Map([['env:TOKEN', SECRET]]),
    certificates: new Map([
      ['/etc/company.pem', 'COMPANY'],
      ['/etc/own.pem', 'OWN'],
    ]),
    ca: null,
    ...change,
  });

const granted = (
  id: string,
  host: string,
  change: Partial<RequestView> & { methods?: string[]; pathPrefix?: string | null } = {},
): RequestView => {
  const { methods = [], pathPrefix = null, ...rest } = change;
  return {
    id,
    ask: { kind: 'egress-route', host, methods, pathPrefix, reason: '' },
    askedAt: '2026-11-24T10:00:00.000Z',
    state: 'approved',
    decidedAt: '2026-11-24T10:01:00.000Z',
    note: null,
    expiresAt: null,
    private: false,
    ...rest,
  };
};

describe('the daemons', () => {
  test('are those that something needs; supervise needs egress for what it may grant', () => {
    expect(daemonsOf(NONE)).toEqual(['pipelock']);
    expect(daemonsOf({ ...NONE, supervise: { maxPending: 1 } })).toEqual(['pipelock', 'egress', 'supervise']);
    expect(daemonsOf(FULL)).toEqual(['pipelock', 'egress', 'git-gate', 'supervise']);
    for (const [plans, helpers] of [
      [NONE, []],
      [FULL, ['front']],
    ] as const)
      expect(Object.keys(render({ plans })).sort()).toEqual([...daemonsOf(plans), ...helpers].toSorted());
  });

  test('listen where they must, egress where nobody but the scanner gets', () => {
    const config = render();
    expect([
      config.pipelock?.listen,
      config.egress?.listen,
      config['git-gate']?.listen,
      config.supervise?.listen,
    ]).toEqual([
      { host: '10.0.0.2', port: 8888 },
      { host: egressListenHost(RUN_ID), port: 9099 },
      { host: '10.0.0.2', port: 9418 },
      { host: '10.0.0.2', port: 9100 },
    ]);
  });

  test('egress is found by its name at the bundle, and what is asked there goes to the scanner', () => {
    expect(render().front).toEqual({
      listen: { host: '10.0.0.2', port: 9099 },
      scanner: { host: '10.0.0.2', port: 8888 },
    });
  });

  test('the allow-list proxy knows where egress is, where there is one', () => {
    expect(render().pipelock).toMatchObject({ egress: egressListenHost(RUN_ID) });
    expect(render({ plans: NONE }).pipelock).toMatchObject({ egress: null });
  });
});

describe('a secret', () => {
  test('is with egress and git-gate, and with no other daemon', () => {
    const { pipelock, egress, supervise, ...rest } = render();
    expect(JSON.stringify(egress)).toContain(SECRET);
    expect(JSON.stringify(rest['git-gate'])).toContain(SECRET);
    expect(JSON.stringify([pipelock, supervise])).not.toContain(SECRET);
    expect(JSON.stringify(render({ scanner: 'pipelock' }).pipelock)).not.toContain(SECRET);
  });

  test('that was not resolved is an error that names it', () => {
    expect(() => render({ secrets: new Map() })).toThrow('env:TOKEN was not resolved');
    expect(() => render({ certificates: new Map() })).toThrow('/etc/company.pem was not resolved');
  });

  test('that is itself in two words is known by the last one too, as it stands after a scheme', () => {
    const secrets = new Map([['env:TOKEN', 'Bearer inner-token']]);
    const auth = { scheme: 'header', header: 'X-Auth', secret: 'env:TOKEN' } as const;
    const [made] = render({ secrets, plans: { ...FULL, egress: { routes: [route({ auth })] } } }).egress?.routes ?? [];
    expect(made?.secrets).toEqual(['Bearer inner-token', 'inner-token']);
  });

  test('of nobody: a route without a credential has none', () => {
    const [made] = render({ plans: { ...FULL, egress: { routes: [route({ auth: null })] } } }).egress?.routes ?? [];
    expect([made?.auth, made?.secrets]).toEqual([null, []]);
  });

  test('is found in the plans, each once', () => {
    expect(secretRefsOf(FULL)).toEqual(['env:TOKEN']);
    expect(caFilesOf({ ...FULL, egress: { routes: [route({ ca: '/etc/own.pem' })] } })).toEqual([
      '/etc/company.pem',
      '/etc/own.pem',
    ]);
  });

  test.each([
    [{ scheme: 'Bearer', secret: 'env:TOKEN' }, 'authorization', `Bearer ${SECRET}`],
    [{ scheme: 'token', secret: 'env:TOKEN' }, 'authorization', `token ${SECRET}`],
    [{ scheme: 'header', header: 'X-Api-Key', secret: 'env:TOKEN' }, 'x-api-key', SECRET],
    [
      { scheme: 'basic', user: 'mé', secret: 'env:TOKEN' },
      'authorization',
      `Basic ${Buffer.from(`mé:${SECRET}`).toString('base64')}`,
    ],
  ] as const)('goes out as %j says, and is known in every form that could come back', (auth, header, value) => {
    const [made] = render({ plans: { ...FULL, egress: { routes: [route({ auth })] } } }).egress?.routes ?? [];
    expect(made?.auth).toEqual({ header, value });
    expect(made?.secrets).toEqual(expect.arrayContaining([value, SECRET, value.split(' ').at(-1)]));
  });
});

describe('git-gate', () => {
  const only = (key: GitRepoPlan['key'], upstream: string) =>
    render({ plans: { ...FULL, gitGate: { repos: [repo({ key, upstream })] } } })['git-gate']?.repos[0];

  test('gets a key with its line end, and the host it is for pinned, with a port where there is one', () => {
    const key = { kind: 'ssh-key', secret: 'env:TOKEN', hostKey: 'ssh-ed25519 AAAA' } as const;
    expect(only(key, 'ssh://git@git.test/app.git')?.auth).toEqual({
      kind: 'ssh-key',
      key: `${SECRET}\n`,
      knownHosts: 'git.test ssh-ed25519 AAAA\n',
    });
    expect(only(key, 'ssh://git@git.test:2222/app.git')?.auth).toMatchObject({
      knownHosts: '[git.test]:2222 ssh-ed25519 AAAA\n',
    });
    expect(only(key, 'ssh://git@git.test:22/app.git')?.auth).toMatchObject({
      knownHosts: 'git.test ssh-ed25519 AAAA\n',
    });
    expect(only(key, 'ssh://git@[fd00::1]/app')?.auth).toMatchObject({ knownHosts: 'fd00::1 ssh-ed25519 AAAA\n' });
    expect(only(key, 'ssh://git@[fd00::1]:2222/app')?.auth).toMatchObject({
      knownHosts: '[fd00::1]:2222 ssh-ed25519 AAAA\n',
    });
  });

  test('gets a key with one line end, however many it came with', () => {
    const secrets = new Map([['env:TOKEN', '-----BEGIN-----\nabc\n-----END-----\r\n\n']]);
    const key = { kind: 'ssh-key', secret: 'env:TOKEN', hostKey: 'ssh-ed25519 AAAA' } as const;
    const plans = { ...NONE, gitGate: { repos: [repo({ key, upstream: 'ssh://git@git.test/app' })] } };
    expect(render({ plans, secrets })['git-gate']?.repos[0]?.auth).toMatchObject({
      key: '-----BEGIN-----\nabc\n-----END-----\n',
    });
  });

  test("trusts the repository's own CA, else the company's", () => {
    expect(only(null, 'https://git.test/app.git')?.ca).toBe('COMPANY');
    const plans = { ...FULL, gitGate: { repos: [repo({ ca: '/etc/own.pem' })] } };
    expect(render({ plans })['git-gate']?.repos[0]?.ca).toBe('OWN');
  });
});

describe('the proxy of a company', () => {
  const proxy = { host: 'proxy.corp', port: 3128, username: 'me', password: 'env:PROXY', noProxy: ['corp'] } as const;
  const secrets = new Map([
    ['env:TOKEN', SECRET],
    ['env:PROXY', 'p:w'],
  ]);
  const plans: BundlePlans = { ...FULL, proxy: { ...proxy, noProxy: ['corp'] } };

  test('is told, with its password, to each daemon that goes out by itself, and to no other', () => {
    expect(secretRefsOf(plans)).toEqual(['env:TOKEN', 'env:PROXY']);
    const { pipelock, egress, 'git-gate': gate, supervise } = render({ plans, secrets });
    const told = { host: 'proxy.corp', port: 3128, login: { username: 'me', password: 'p:w' }, noProxy: ['corp'] };
    expect([pipelock, egress, gate].map((slice) => slice && 'proxy' in slice && slice.proxy)).toEqual([
      told,
      told,
      told,
    ]);
    expect(JSON.stringify(supervise)).not.toContain('p:w');
    // The real one goes nowhere by itself that it could not go directly.
    expect(JSON.stringify(render({ plans, secrets, scanner: 'pipelock' }).pipelock)).not.toContain('p:w');
  });

  test('may want no login, or a name alone', () => {
    const egressProxy = (change: object) =>
      render({ plans: { ...FULL, proxy: { ...proxy, noProxy: [], ...change } }, secrets }).egress?.proxy?.login;
    expect(egressProxy({ username: null, password: null })).toBeNull();
    expect(egressProxy({ password: null })).toEqual({ username: 'me', password: '' });
  });
});

describe('interception', () => {
  const CA = { cert: 'CERT', key: 'KEY-OF-THE-CA' };
  const intercepting = (change: Partial<BundleRendering> = {}) => {
    const plans = { ...FULL, pipelock: { allow: ['pkg.test', 'pinned.test tunnel'], intercept: true } };
    return render({ plans, scanner: 'pipelock', ca: CA, ...change });
  };

  test("gives pipelock the bottle's CA, and the one that upstreams may have", () => {
    expect(intercepting().pipelock).toMatchObject({ ca: CA, upstreamCa: 'COMPANY' });
    expect(intercepting().pipelock).toMatchObject({
      yaml: expect.stringMatching(/passthrough_domains:\n *- pinned\.test\n/),
    });
    const plans = { ...NONE, pipelock: { allow: [], intercept: true } };
    expect(intercepting({ plans }).pipelock).toMatchObject({ ca: CA, upstreamCa: null });
  });

  test('gives its key to no other daemon, and the key is in no file that others may read', () => {
    const { pipelock, ...others } = intercepting();
    expect(JSON.stringify(others)).not.toContain(CA.key);
    expect(JSON.stringify({ ...pipelock, ca: null })).not.toContain(CA.key);
  });

  test('is none where it is off, whatever CA there is, and where the scanner cannot', () => {
    expect(render({ scanner: 'pipelock', ca: CA }).pipelock).toMatchObject({ ca: null, upstreamCa: null });
    expect(JSON.stringify(intercepting({ scanner: 'allow-list' }))).not.toContain(CA.key);
  });

  test('without a CA is an error, not a scanner that looks away', () => {
    expect(() => intercepting({ ca: null })).toThrow('nothing can be intercepted without a CA');
  });
});

describe('a grant', () => {
  test('of a whole host is an entry of the allow-list, private only when that was said', () => {
    const requests = [granted('a', 'new.test'), granted('b', 'intranet.test', { private: true })];
    expect(render({ requests }).pipelock).toMatchObject({
      allow: ['pkg.test', '*.wild.test', 'odd.test:8443', 'new.test', 'intranet.test private'],
    });
    expect(render({ requests }).egress?.routes.map(({ id }) => id)).toEqual(['api.test']);
  });

  test('of methods and a path is a route of egress without a credential, that ends when it ends', () => {
    const expiresAt = '2026-11-24T11:00:00.000Z';
    const requests = [granted('a', 'new.test', { methods: ['GET'], pathPrefix: '/v1', expiresAt })];
    expect(render({ requests }).egress?.routes[1]).toEqual({
      id: 'new.test',
      upstream: 'https://new.test',
      matches: [{ methods: ['GET'], paths: [{ type: 'prefix', value: '/v1' }], expiresAt }],
      auth: null,
      secrets: [],
      private: false,
      ca: 'COMPANY',
      expiresAt,
    });
  });

  test('for a host with a route widens that route, credential and all, and never narrows it', () => {
    const requests = [granted('a', 'api.test', { methods: ['POST'], pathPrefix: '/v2' })];
    const limited = { ...FULL, egress: { routes: [route({ matches: [{ methods: ['GET'], paths: [] }] })] } };
    const [widened, ...others] = render({ plans: limited, requests }).egress?.routes ?? [];
    expect(others).toEqual([]);
    expect(widened?.matches).toEqual([
      { methods: ['GET'], paths: [] },
      { methods: ['POST'], paths: [{ type: 'prefix', value: '/v2' }] },
    ]);
    expect(widened?.auth).not.toBeNull();
    expect(render({ requests }).egress?.routes[0]?.matches).toEqual([]);
  });

  test('for the port that routes have anyway is for the same route', () => {
    const requests = [
      granted('a', 'api.test:443', { methods: ['POST'] }),
      granted('b', 'api.test:8443', { methods: ['GET'] }),
    ];
    const routes = render({ requests }).egress?.routes ?? [];
    expect(routes.map(({ id, upstream, auth }) => [id, upstream, auth === null])).toEqual([
      ['api.test', 'https://api.test', false],
      ['api.test:8443', 'https://api.test:8443', true],
    ]);
  });

  test('beside another for the same host makes one route, which lasts as long as the longer one', () => {
    const at = (hour: number) => `2026-11-24T${hour}:00:00.000Z`;
    const first = granted('a', 'new.test', { methods: ['GET'], expiresAt: at(12) });
    const second = granted('b', 'new.test', { pathPrefix: '/v1', expiresAt: at(11), private: true });
    for (const requests of [
      [first, second],
      [second, first],
    ]) {
      const [, made, ...others] = render({ requests }).egress?.routes ?? [];
      expect(others).toEqual([]);
      expect(made).toMatchObject({ id: 'new.test', expiresAt: at(12), private: true });
      expect(made?.matches).toHaveLength(2);
    }
    const forGood = { ...second, expiresAt: null };
    expect(render({ requests: [first, forGood] }).egress?.routes[1]?.expiresAt).toBeNull();
  });

  test('for a time, on a route that has none, ends by itself, and the route goes on', () => {
    const expiresAt = '2026-11-24T11:00:00.000Z';
    const requests = [granted('a', 'api.test', { methods: ['POST'], pathPrefix: '/v2', expiresAt })];
    const limited = { ...FULL, egress: { routes: [route({ matches: [{ methods: ['GET'], paths: [] }] })] } };
    const [widened] = render({ plans: limited, requests }).egress?.routes ?? [];
    expect(widened?.expiresAt).toBeNull();
    expect(widened?.matches[1]).toMatchObject({ methods: ['POST'], expiresAt });
  });

  test.each(['pending', 'denied', 'expired'] as const)('that is %s opens nothing', (state) => {
    const requests = [granted('a', 'new.test', { state }), granted('b', 'new.test', { state, methods: ['GET'] })];
    expect(render({ requests }).pipelock).toEqual(render().pipelock);
    expect(render({ requests }).egress).toEqual(render().egress);
  });

  test('that has ended stays known to pipelock, so that taking it away needs no new start', () => {
    const requests = [granted('a', 'new.test', { state: 'expired' })];
    const { pipelock } = render({ requests, scanner: 'pipelock' });
    expect(pipelock).toMatchObject({
      kind: 'pipelock',
      yaml: expect.stringMatching(/passthrough_domains:[\s\S]*- new\.test/),
    });
    expect(pipelock).not.toMatchObject({ yaml: expect.stringMatching(/api_allowlist:\n( .*\n)*? {2}- new\.test/) });
  });
});

describe('what the agent is told of a route', () => {
  const told = (change: Partial<BundleRendering>) => render(change).supervise?.routes ?? [];
  const rule = (methods: string[], ...values: string[]) => ({
    methods,
    paths: values.map((value) => ({ type: 'prefix' as const, value })),
  });

  test.each([
    [[], [], []],
    [
      [rule(['GET'], '/a'), rule(['GET', 'POST'], '/b')],
      ['GET', 'POST'],
      ['/a', '/b'],
    ],
    [[rule(['GET'], '/a'), rule([], '/b')], [], ['/a', '/b']],
    [[rule(['GET'], '/a'), rule(['POST'])], ['GET', 'POST'], []],
  ])('with the rules %j leaves out no method and no path that may be used', (matches, methods, values) => {
    const plans = { ...FULL, egress: { routes: [route({ matches })] } };
    expect(told({ plans })[0]).toMatchObject({ methods, paths: values.map((value) => ({ type: 'prefix', value })) });
  });

  test.each([
    ['x.test', 'https://x.test'],
    ['x.test private', 'https://x.test'],
    ['x.test:80', 'http://x.test'],
    ['x.test:443', 'https://x.test'],
    ['*.x.test:8443', 'https://*.x.test:8443'],
    ['[2001:db8::7]:8443', 'https://[2001:db8::7]:8443'],
  ])('with the entry %s is %s', (entry, url) => {
    expect(
      told({ plans: { ...NONE, pipelock: { allow: [entry], intercept: false }, supervise: { maxPending: 1 } } }),
    ).toMatchObject([{ url, upstream: url, credential: false }]);
  });
});

test('the agent is told of every way out, and of no credential', () => {
  const requests = [granted('a', 'whole.test', { expiresAt: '2026-11-24T11:00:00.000Z' })];
  expect(render({ requests }).supervise).toEqual({
    listen: { host: '10.0.0.2', port: 9100 },
    maxPending: 10,
    repositories: ['app'],
    requests,
    routes: [
      {
        url: 'http://egress:9099/api.test',
        upstream: 'https://api.test',
        methods: [],
        paths: [],
        credential: true,
        expiresAt: null,
      },
      ...['https://pkg.test', 'https://*.wild.test', 'https://odd.test:8443'].map((url) => ({
        url,
        upstream: url,
        methods: [],
        paths: [],
        credential: false,
        expiresAt: null,
      })),
      {
        url: 'https://whole.test',
        upstream: 'https://whole.test',
        methods: [],
        paths: [],
        credential: false,
        expiresAt: '2026-11-24T11:00:00.000Z',
      },
    ],
  });
});
