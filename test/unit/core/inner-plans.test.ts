import { describe, expect, test } from 'vitest';
import { innerPlans } from '../../../src/core/inner-plans.ts';
import { agentSchema, bottleSchema, manifestProblems } from '../../../src/core/manifest.ts';

const expandHome = (file: string): string => file.replace(/^~/, '/home/me');
const plans = (bottle: object, ca?: string) => innerPlans(bottleSchema.parse(bottle), expandHome, ca ?? null);
const problems = (bottle: object): string[] => {
  const result = bottleSchema.safeParse(bottle);
  return result.success ? [] : manifestProblems(result.error, []).map(({ key, expected }) => `${key}: ${expected}`);
};

test('a bottle that says nothing lets the agent talk to its model, with a credential of its own', () => {
  expect(plans({})).toEqual({
    pipelock: { allow: ['api.anthropic.com'] },
    egress: null,
    gitGate: null,
    supervise: null,
    ca: null,
  });
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

  test('may be somewhere else', () => {
    const agent_provider = { base_url: 'https://llm.corp.test/v1/', ca: '~/corp.pem', private: true };
    expect(plans({ agent_provider }).egress?.routes[0]).toMatchObject({
      upstream: 'https://llm.corp.test/v1',
      auth: null,
      private: true,
      ca: '/home/me/corp.pem',
    });
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

test('methods and paths are taken over, methods in upper case', () => {
  const matches = [{ methods: ['get', 'Post'], paths: [{ type: 'prefix', value: '/v1' }] }];
  expect(plans({ egress: { routes: [{ host: 'x.test', matches }] } }).egress?.routes[0]?.matches).toEqual([
    { methods: ['GET', 'POST'], paths: [{ type: 'prefix', value: '/v1' }] },
  ]);
});

test.each([
  ['https://LLM.corp.test:443/v1//', 'https://llm.corp.test/v1'],
  ['HTTPS://llm.corp.test', 'https://llm.corp.test'],
  ['https://llm.corp.test:8443/', 'https://llm.corp.test:8443'],
])('the model at %s is at %s', (base_url, upstream) => {
  expect(plans({ agent_provider: { base_url } }).egress?.routes[0]?.upstream).toBe(upstream);
});

test('a repository has its key by reference, an SSH key by its file', () => {
  const repos = {
    app: { url: 'https://git.test/app.git', key: { provider: 'token', token_ref: 'GH' }, branches: ['agent/*'] },
    own: {
      url: 'ssh://git@h.test/own.git',
      key: { provider: 'static', path: '~/.ssh/id' },
      host_key: 'ssh-ed25519 AAAA',
    },
    open: { url: 'https://git.test/open.git', allow_force: true, allow_delete: true },
  };
  expect(plans({ 'git-gate': { repos } }).gitGate?.repos).toMatchObject([
    {
      name: 'app',
      key: { kind: 'token', user: 'x-access-token', secret: 'env:GH' },
      branches: ['agent/*'],
      allowForce: false,
    },
    { name: 'own', key: { kind: 'ssh-key', secret: 'file:/home/me/.ssh/id', hostKey: 'ssh-ed25519 AAAA' } },
    { name: 'open', key: null, allowForce: true, allowDelete: true },
  ]);
});

test('supervise and the CA of every upstream are taken over', () => {
  expect(plans({ supervise: true }, '~/corp.pem')).toMatchObject({
    supervise: { maxPending: 10 },
    ca: '/home/me/corp.pem',
  });
});

describe('what makes no sense is told with its key', () => {
  const route = (change: object) => ({ egress: { routes: [{ host: 'x.test', ...change }] } });
  const repo = (change: object) => ({ 'git-gate': { repos: { app: { url: 'https://git.test/app', ...change } } } });
  test.each<[object, unknown]>([
    [
      { agent_provider: { auth_token: 'sk-ant-api03-abc' } },
      'agent_provider.auth_token: expected a reference to a secret, not the secret itself: NAME, env:NAME or file:/path',
    ],
    [{ agent_provider: { auth_token: 'A', api_key: 'B' } }, 'agent_provider: expected auth_token or api_key, not both'],
    [{ agent_provider: { template: 'gemini' } }, 'agent_provider.template: expected claude'],
    [{ agent_provider: { base_url: 'http://x.test' } }, 'agent_provider.base_url: expected an https URL'],
    [
      { agent_provider: { base_url: 'https://me:pw@x.test' } },
      'agent_provider.base_url: expected an https URL without user, query or fragment',
    ],
    [
      route({ host: '*.x.test' }),
      'egress.routes.0.host: expected one host such as api.example.com or example.com:8443',
    ],
    [
      route({ host: 'x.test private' }),
      'egress.routes.0.host: expected one host such as api.example.com or example.com:8443',
    ],
    [
      route({ auth: { scheme: 'digest', token_ref: 'A' } }),
      'egress.routes.0.auth.scheme: expected Bearer, token, basic or header',
    ],
    [
      route({ auth: { scheme: 'basic', token_ref: 'A' } }),
      'egress.routes.0.auth.user: expected a user name, for scheme basic',
    ],
    [
      route({ auth: { scheme: 'header', token_ref: 'A' } }),
      'egress.routes.0.auth.header: expected the name of a header, for scheme header',
    ],
    [
      route({ auth: { scheme: 'header', header: 'Host', token_ref: 'A' } }),
      'egress.routes.0.auth.header: expected a header that can hold a credential',
    ],
    [
      route({ matches: [{ paths: [{ type: 'prefix', value: 'v1' }] }] }),
      'egress.routes.0.matches.0.paths.0.value: expected a path that begins with /',
    ],
    [
      route({ matches: [{ paths: [{ type: 'regex', value: '(' }] }] }),
      'egress.routes.0.matches.0.paths.0.value: expected a regular expression',
    ],
    [
      { egress: { routes: [{ host: 'x.test' }, { host: 'X.test' }] } },
      'egress.routes.1.host: expected one route a host: x.test has two',
    ],
    [
      { egress: { routes: [{ host: 'x.test' }, { host: 'y.test' }, { host: 'x.test.:443' }] } },
      'egress.routes.2.host: expected one route a host: x.test has two',
    ],
    [
      route({ host: 'Anthropic' }),
      "egress.routes.0.host: expected another host: anthropic is the name of the model's route (agent_provider)",
    ],
    [route({ host: 'x.test/v1' }), expect.stringMatching(/^egress\.routes\.0\.host: expected /)],
    [route({ host: 'egress:9099' }), expect.stringMatching(/^egress\.routes\.0\.host: expected /)],
    [route({ matches: [{ methods: ['GET '] }] }), 'egress.routes.0.matches.0.methods.0: expected an HTTP method'],
    [
      route({ auth: { scheme: 'basic', token_ref: 'A', user: 'a\nb' } }),
      'egress.routes.0.auth.user: expected printable text',
    ],
    [{ agent_provider: { base_url: 'https:x.test' } }, 'agent_provider.base_url: expected an https URL'],
    [{ agent_provider: { base_url: 'https:///x.test' } }, 'agent_provider.base_url: expected an https URL'],
    [{ agent_provider: { ca: 'corp.pem' } }, expect.stringMatching(/^agent_provider\.ca: expected an absolute path/)],
    [repo({ url: 'ssh://git:pw@git.test/app' }), 'git-gate.repos.app.url: expected no password in an ssh:// URL'],
    [
      repo({ url: 'ssh://git@git.test/app', key: { provider: 'static', path: '/k' } }),
      'git-gate.repos.app.host_key: expected the pinned host key, for an ssh:// URL',
    ],
    [repo({ host_key: 'AAAA' }), expect.stringMatching(/^git-gate\.repos\.app\.host_key: expected a host key/)],
    [
      repo({ host_key: 'ssh-ed25519 AAAA\n* ssh-ed25519 BBBB' }),
      expect.stringMatching(/^git-gate\.repos\.app\.host_key: expected a host key/),
    ],
    [repo({ branches: ['a\nb'] }), 'git-gate.repos.app.branches.0: expected printable text'],
    [{ 'git-gate': { user: { name: 'A\nB' } } }, 'git-gate.user.name: expected printable text'],
    [{ 'git-gate': { user: { email: 'a\u202eb' } } }, 'git-gate.user.email: expected printable text'],
    [repo({ url: 'git@git.test:app' }), 'git-gate.repos.app.url: expected https://host/path or ssh://user@host/path'],
    [repo({ url: 'https://me:pw@git.test/app' }), 'git-gate.repos.app.url: expected no user in an https:// URL'],
    [
      repo({ url: 'ssh://git@git.test/app' }),
      'git-gate.repos.app.key: expected an SSH key (provider static), for an ssh:// URL',
    ],
    [
      repo({ key: { provider: 'static', path: '/k' } }),
      'git-gate.repos.app.key: expected provider token, for an https:// URL',
    ],
    [
      repo({ key: { provider: 'gitea' } }),
      'git-gate.repos.app.key.provider: expected provider static (path: an SSH key) or token (token_ref)',
    ],
    [
      { 'git-gate': { repos: { '../x': { url: 'https://git.test/x' } } } },
      'git-gate.repos.../x: expected a name of lower-case letters, digits, dots and dashes',
    ],
    [{ supervise: 'yes' }, 'supervise: expected true or false'],
  ])('%j', (bottle, words) => {
    expect(problems(bottle)).toContainEqual(words);
  });

  test.each([
    'https://git.test',
    'https://git.test/',
    'https://git.test//',
    'https://git.test/.git',
    'https:///team/app',
    'https://git.test:99999/app',
    'https://[::1/app',
    'https://git.test/a b',
    'https://git.test/app?x=1',
    'https://git.test\\@evil.test/app',
    'ssh://-oProxyCommand=x/app',
    'http://git.test/app',
    'file:///srv/app',
  ])('a repository at %s', (url) => {
    expect(problems(repo({ url }))).toContain(
      'git-gate.repos.app.url: expected https://host/path or ssh://user@host/path',
    );
  });
});

test('who commits may have a name in any script', () => {
  const user = { name: 'Jürgen "J" Müller 李', email: 'j@müller.test' };
  expect(bottleSchema.parse({ 'git-gate': { user } })['git-gate'].user).toEqual(user);
  expect(agentSchema.parse({ 'git-gate': { user } })['git-gate'].user).toEqual(user);
});

test('a secret of the model is a reference in its one spelling, whichever was written', () => {
  for (const auth_token of ['MY_TOKEN', 'env:MY_TOKEN'])
    expect(bottleSchema.parse({ agent_provider: { auth_token } }).agent_provider?.auth_token).toBe('env:MY_TOKEN');
});
