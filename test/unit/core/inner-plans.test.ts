import { describe, expect, test } from 'vitest';
import { innerPlans, modelCredential } from '../../../src/core/inner-plans.ts';
import { bottleSchema } from '../../../src/core/manifest/bottle-schema.ts';

const expandHome = (file: string): string => file.replace(/^~/, '/home/me');
const plans = (bottle: object, ca?: string) => innerPlans(bottleSchema.parse(bottle), expandHome, ca ?? null);
const route = (change: object) => plans({ egress: { routes: [{ host: 'x.test', ...change }] } }).egress?.routes[0];

test('a bottle that says nothing lets the agent talk to its model, with a credential of its own', () => {
  expect(plans({})).toEqual({
    pipelock: { allow: ['api.anthropic.com', 'platform.claude.com'], intercept: false },
    egress: null,
    gitGate: null,
    supervise: null,
    ca: null,
  });
});

test('an agent of another maker has other hosts, and one of ours is not listed twice', () => {
  const agent_provider = { template: 'codex' };
  expect(plans({ agent_provider }).pipelock.allow).toEqual(['api.openai.com', 'auth.openai.com', 'chatgpt.com']);
  expect(plans({ allow: ['a.test', 'api.anthropic.com', 'a.test'] }).pipelock.allow).toEqual([
    'api.anthropic.com',
    'platform.claude.com',
    'a.test',
  ]);
});

test('what is empty is no reason to start a daemon', () => {
  const empty = { egress: { routes: [] }, 'git-gate': { repos: {} }, supervise: false, allow: [], agent_provider: {} };
  expect(plans(empty)).toEqual(plans({}));
});

test('interception is as the bottle says', () => {
  expect(plans({ intercept: true }).pipelock.intercept).toBe(true);
  expect(plans({ intercept: false }).pipelock.intercept).toBe(false);
});

describe('the model', () => {
  test.each([
    [{ auth_token: 'MY_TOKEN' }, { scheme: 'Bearer', secret: 'env:MY_TOKEN' }],
    [{ api_key: 'file:~/key' }, { scheme: 'header', header: 'x-api-key', secret: 'file:~/key' }],
  ])('with %j is reached through egress alone', (agent_provider, auth) => {
    const { egress, pipelock } = plans({ agent_provider, allow: ['pkg.test'] });
    expect(egress?.routes).toEqual([
      { id: 'anthropic', upstream: 'https://api.anthropic.com', matches: [], auth, private: false, ca: null },
    ]);
    expect(pipelock.allow).toEqual(['pkg.test']);
  });

  test.each([
    [{ template: 'codex', api_key: 'K' }, 'env:K', 'api_key'],
    [{ template: 'codex', auth_token: 'T' }, 'env:T', 'auth_token'],
    [{ template: 'codex', forward_host_credentials: true }, 'file:~/.codex/auth.json#OPENAI_API_KEY', 'api_key'],
  ])('of Codex with %j takes a bearer', (agent_provider, secret, credential) => {
    expect(plans({ agent_provider }).egress?.routes).toEqual([
      {
        id: 'openai',
        upstream: 'https://api.openai.com',
        matches: [],
        auth: { scheme: 'Bearer', secret },
        private: false,
        ca: null,
      },
    ]);
    expect(modelCredential(bottleSchema.parse({ agent_provider }))).toEqual({ credential, secret });
  });

  test.each([{}, { template: 'codex' }, { template: 'codex', forward_host_credentials: false }, { private: true }])(
    'with %j brings its own credential',
    (agent_provider) => {
      expect(plans({ agent_provider }).egress).toBeNull();
      expect(modelCredential(bottleSchema.parse({ agent_provider }))).toBeUndefined();
      expect(modelCredential({})).toBeUndefined();
    },
  );

  test('may be somewhere else, where it may need no credential', () => {
    const agent_provider = { base_url: 'https://llm.corp.test/v1/', ca: '~/corp.pem', private: true };
    expect(plans({ agent_provider }).egress?.routes[0]).toMatchObject({
      upstream: 'https://llm.corp.test/v1',
      auth: null,
      private: true,
      ca: '/home/me/corp.pem',
    });
  });

  test.each([
    ['https://LLM.corp.test:443/v1//', 'https://llm.corp.test/v1'],
    ['HTTPS://llm.corp.test', 'https://llm.corp.test'],
    ['https://llm.corp.test:8443/', 'https://llm.corp.test:8443'],
  ])('at %s is at %s', (base_url, upstream) => {
    expect(plans({ agent_provider: { base_url } }).egress?.routes[0]?.upstream).toBe(upstream);
  });

  test('comes before the other routes', () => {
    const routes = [{ host: 'x.test' }];
    const made = plans({ egress: { routes }, agent_provider: { api_key: 'K' } }).egress?.routes ?? [];
    expect(made.map(({ id }) => id)).toEqual(['anthropic', 'x.test']);
  });
});

test('a route is called by its host, in one spelling, with the port where it is not the usual one', () => {
  const hosts = [
    'API.Example.com',
    'api.example.com:08443',
    'x.test.:443',
    'y.test:80',
    'MÜNCHEN.test',
    '[FD00::1]:8443',
  ];
  const routes = hosts.map((host) => ({ host }));
  const made = plans({ egress: { routes } }).egress?.routes ?? [];
  expect(made.map(({ id, upstream }) => [id, upstream])).toEqual([
    ['api.example.com', 'https://api.example.com'],
    ['api.example.com:8443', 'https://api.example.com:8443'],
    ['x.test', 'https://x.test'],
    ['y.test:80', 'https://y.test:80'],
    ['xn--mnchen-3ya.test', 'https://xn--mnchen-3ya.test'],
    ['fd00::1:8443', 'https://[fd00::1]:8443'],
  ]);
  for (const { upstream } of made) expect(URL.canParse(upstream)).toBe(true);
});

describe('a route', () => {
  test('has methods and paths as written, methods in upper case', () => {
    const matches = [{ methods: ['get', 'Post'], paths: [{ type: 'prefix', value: '/v1' }] }, {}];
    expect(route({ matches })?.matches).toEqual([
      { methods: ['GET', 'POST'], paths: [{ type: 'prefix', value: '/v1' }] },
      { methods: [], paths: [] },
    ]);
  });

  test('has headers by their name in lower case, exact where nothing is said, and none where there are none', () => {
    const headers = [
      { name: 'X-Kind', value: 'A' },
      { name: 'accept', value: 'a|b', type: 'regex' },
    ];
    expect(route({ matches: [{ headers }, { headers: [] }] })?.matches).toEqual([
      {
        methods: [],
        paths: [],
        headers: [
          { type: 'exact', name: 'x-kind', value: 'A' },
          { type: 'regex', name: 'accept', value: 'a|b' },
        ],
      },
      { methods: [], paths: [] },
    ]);
  });

  test("with a path_allowlist of pipelock's era has its prefixes, and without one in it every path", () => {
    expect(route({ path_allowlist: ['/v1', '/v2/'] })?.matches).toEqual([
      {
        methods: [],
        paths: [
          { type: 'prefix', value: '/v1' },
          { type: 'prefix', value: '/v2/' },
        ],
      },
    ]);
    expect(route({ path_allowlist: [] })?.matches).toEqual([]);
  });

  test.each([
    [{}, false],
    [{ private: true }, true],
    [{ pipelock: { ssrf_ip_allowlist: ['10.0.0.0/8'] } }, true],
    [{ pipelock: { ssrf_ip_allowlist: [] } }, false],
    [{ pipelock: { tls_passthrough: true } }, false],
    [{ private: false, pipelock: { ssrf_ip_allowlist: ['10.0.0.0/8'] } }, false],
  ])('with %j may be at a private address: %s', (change, mayBePrivate) => {
    expect(route(change)?.private).toBe(mayBePrivate);
  });

  test.each([
    [
      { scheme: 'Bearer', token_ref: 'A', user: 'ignored' },
      { scheme: 'Bearer', secret: 'env:A' },
    ],
    [
      { scheme: 'token', token_ref: 'A' },
      { scheme: 'token', secret: 'env:A' },
    ],
    [
      { scheme: 'basic', token_ref: 'A', user: 'me' },
      { scheme: 'basic', user: 'me', secret: 'env:A' },
    ],
    [
      { scheme: 'header', token_ref: 'A', header: 'X-Key' },
      { scheme: 'header', header: 'X-Key', secret: 'env:A' },
    ],
  ])('sends %j as %j', (auth, made) => {
    expect(route({ auth })?.auth).toEqual(made);
  });

  test('has its own CA by an absolute path', () => {
    expect(route({ ca: '~/x.pem' })?.ca).toBe('/home/me/x.pem');
    expect(route({})).toMatchObject({ ca: null, auth: null });
  });
});

test('a repository has its key by reference, an SSH key by its file', () => {
  const repos = {
    app: { url: 'https://git.test/app.git', key: { provider: 'token', token_ref: 'GH' }, branches: ['agent/*'] },
    own: {
      url: 'ssh://git@h.test/own.git',
      key: { provider: 'static', path: '~/.ssh/id' },
      host_key: 'ssh-ed25519 AAAA',
      ca: '~/x.pem',
    },
    open: { url: 'https://git.test/open.git', allow_force: true, allow_delete: true },
  };
  expect(plans({ 'git-gate': { repos } }).gitGate?.repos).toEqual([
    {
      name: 'app',
      upstream: 'https://git.test/app.git',
      key: { kind: 'token', user: 'x-access-token', secret: 'env:GH' },
      branches: ['agent/*'],
      allowForce: false,
      allowDelete: false,
      ca: null,
    },
    {
      name: 'own',
      upstream: 'ssh://git@h.test/own.git',
      key: { kind: 'ssh-key', secret: 'file:/home/me/.ssh/id', hostKey: 'ssh-ed25519 AAAA' },
      branches: [],
      allowForce: false,
      allowDelete: false,
      ca: '/home/me/x.pem',
    },
    {
      name: 'open',
      upstream: 'https://git.test/open.git',
      key: null,
      branches: [],
      allowForce: true,
      allowDelete: true,
      ca: null,
    },
  ]);
});

test('supervise and the CA of every upstream are taken over', () => {
  expect(plans({ supervise: true }, '~/corp.pem')).toMatchObject({
    supervise: { maxPending: 10 },
    ca: '/home/me/corp.pem',
  });
});
