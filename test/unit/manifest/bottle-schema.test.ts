import { describe, expect, test } from 'vitest';
import { bottleSchema } from '../../../src/core/manifest/bottle-schema.ts';
import { said } from './said.ts';

const SECRETS = 'NAME, env:NAME, file:/path, file:/path#key, command:["program", ...] or keychain:service/account';
const route = (change: object) => ({ egress: { routes: [{ host: 'x.test', ...change }] } });
const repo = (change: object) => ({ 'git-gate': { repos: { app: { url: 'https://git.test/app', ...change } } } });
const parsedRoute = (change: object) => bottleSchema.parse(route(change)).egress?.routes?.[0];
const parsedRepo = (change: object) => bottleSchema.parse(repo(change))['git-gate']?.repos?.['app'];

describe('a bottle file', () => {
  test('says nothing that is not in it: whether a key is there decides what it takes from others', () => {
    for (const value of [
      {},
      { egress: {} },
      { egress: { routes: [] } },
      { 'git-gate': {} },
      { 'git-gate': { repos: {} } },
      { allow: [] },
      { agent_provider: {} },
      { limits: {} },
      { env: {} },
      { extends: [] },
      { supervise: false },
    ])
      expect(bottleSchema.parse(value)).toEqual(value);
  });

  test('may say everything, in the words of the newest of the original and ours', () => {
    const everything = {
      extends: ['base', 'team'],
      env: { A: 'x', B: '${HOST_B}', C: '?Which one' },
      agent_provider: {
        template: 'codex',
        auth_token: 'env:TOKEN',
        base_url: 'https://llm.test/v1',
        ca: '~/llm.pem',
        private: true,
        dockerfile: 'Dockerfile',
      },
      'git-gate': {
        user: { name: 'A', email: 'a@b.test' },
        repos: {
          app: { url: 'https://git.test/app', key: { provider: 'token', token_ref: 'env:GH', user: 'me' } },
          own: {
            url: 'ssh://git@git.test/own.git',
            key: { provider: 'static', path: '~/.ssh/id' },
            host_key: 'ssh-ed25519 AAAA',
            branches: ['agent/**'],
            allow_force: true,
            allow_delete: false,
            ca: '/etc/ca.pem',
          },
        },
      },
      egress: {
        routes: [
          {
            host: 'api.test:8443',
            auth: { scheme: 'header', header: 'X-Key', token_ref: 'file:/run/key' },
            matches: [
              {
                methods: ['get'],
                paths: [{ type: 'regex', value: '/v[12]/.*' }],
                headers: [
                  { name: 'X-Kind', value: 'a', type: 'regex' },
                  { name: 'x-other', value: 'b' },
                ],
              },
            ],
            ca: '/etc/api.pem',
            private: true,
            dlp: { outbound_detectors: ['entropy'], inbound_detectors: false, outbound_on_match: 'block' },
            pipelock: { tls_passthrough: true, ssrf_ip_allowlist: ['10.0.0.0/8', 'fd00::/8'] },
          },
          { host: 'old.test', path_allowlist: ['/v1'] },
        ],
        log: 'full',
      },
      supervise: true,
      allow: ['example.com', '*.example.org', 'nas.test:8443 private'],
      intercept: true,
      driver: 'docker',
      image: 'mine:1',
      resources: { cpus: 4, memoryMiB: 1024, pids: 100 },
      limits: { lifetime: '8h', idle: '30m' },
    };
    expect(bottleSchema.parse(everything)).toEqual(everything);
  });

  test.each(['api.example.com', '*.example.com', 'example.com:8443', '192.0.2.7', '[fd00::1]:80', 'nas.local private'])(
    'may list the host %j',
    (host) => {
      expect(bottleSchema.parse({ allow: [host] }).allow).toEqual([host]);
    },
  );

  test.each(['example.com/path', '*', 'a..b', 'example.com:0', 'example.com:99999', '', 'a b', '*.192.0.2.7'])(
    'may not list %j',
    (host) => {
      expect(said('bottle', { allow: ['ok.example.com', host] })).toEqual([
        'allow[1]: expected a host such as api.example.com, *.example.com or example.com:8443',
      ]);
    },
  );

  test('is told what a host that is a URL, or the bundle itself, should be', () => {
    expect(said('bottle', { allow: ['https://example.com', 'egress', 'EGRESS:9099', 'egress private', 7] })).toEqual([
      'allow[0]: expected a host only, without a scheme such as https:// and without a path',
      "allow[1]: expected another host: egress is the bundle's own",
      "allow[2]: expected another host: egress is the bundle's own",
      "allow[3]: expected another host: egress is the bundle's own",
      'allow[4]: expected a host name, got a number',
    ]);
  });

  test('has no skills, which are the agent’s', () => {
    expect(said('bottle', { skills: [] })).toEqual(['skills: belongs in the agent file']);
  });

  test('extends others by their names', () => {
    expect(said('bottle', { extends: 'base' })).toEqual([]);
    expect(said('bottle', { extends: ['a', '../b', 7] })).toEqual([
      'extends[1]: expected lower-case letters, digits and dashes, a letter first',
      'extends[2]: expected a name, got a number',
    ]);
    expect(said('bottle', { extends: {} })).toEqual([
      'extends: expected the name of a bottle file, or a list of names, got key: value pairs',
    ]);
    expect(said('bottle', { extends: Array(20).fill('a') })).toEqual([]);
    expect(said('bottle', { extends: Array(21).fill('a') })).toHaveLength(1);
  });

  test.each([
    ['90s', true],
    ['8h', true],
    ['365d', true],
    ['366d', false],
    ['0m', false],
    ['1w', false],
    ['', false],
    ['1h30m', false],
  ])('may be limited to %j: %s', (time, good) => {
    const problem = 'limits.lifetime: expected a time such as 30m, 2h or 1d';
    expect(said('bottle', { limits: { lifetime: time } })).toEqual(good ? [] : [problem]);
  });

  test('writes a secret as a reference, in whichever form, and has it in its one spelling', () => {
    const spelled = (auth_token: unknown) => bottleSchema.parse({ agent_provider: { auth_token } }).agent_provider;
    for (const written of ['MY_TOKEN', 'env:MY_TOKEN', { env: 'MY_TOKEN' }])
      expect(spelled(written)).toEqual({ auth_token: 'env:MY_TOKEN' });
    for (const written of ['file:~/auth.json#tokens.access', { file: '~/auth.json', key: 'tokens.access' }])
      expect(spelled(written)).toEqual({ auth_token: 'file:~/auth.json#tokens.access' });
    expect(parsedRoute({ auth: { scheme: 'token', token_ref: { command: ['pass', 'x'] } } })?.auth).toEqual({
      scheme: 'token',
      token_ref: 'command:["pass","x"]',
    });
    expect(parsedRepo({ key: { provider: 'token', token_ref: { keychain: { service: 'gh' } } } })?.key).toEqual({
      provider: 'token',
      token_ref: 'keychain:gh',
    });
  });

  test.each([
    ['https://LLM.corp.test:443/v1//', 'https://llm.corp.test/v1'],
    ['HTTPS://llm.corp.test', 'https://llm.corp.test'],
    ['https://llm.corp.test:8443/', 'https://llm.corp.test:8443'],
  ])('has the model at %s at %s', (base_url, address) => {
    expect(bottleSchema.parse({ agent_provider: { base_url } }).agent_provider?.base_url).toBe(address);
  });

  test.each(['https://git.test/app', 'https://git.test:8443/team/app.git', 'ssh://git@git.test:30009/app.git'])(
    'may have the repository %s',
    (url) => {
      const ssh = { key: { provider: 'static', path: '/k' }, host_key: 'ssh-ed25519 AAAA' };
      expect(said('bottle', repo({ url, ...(url.startsWith('ssh:') ? ssh : {}) }))).toEqual([]);
    },
  );
});

describe('what makes no sense is told with its key', () => {
  test.each<[object, string]>([
    [
      { agent_provider: { auth_token: 'sk-ant-api03-abc' } },
      `agent_provider.auth_token: expected a reference to a secret, not the secret itself: ${SECRETS}`,
    ],
    [
      { agent_provider: { auth_token: 7 } },
      `agent_provider.auth_token: expected a reference to a secret: ${SECRETS}, got a number`,
    ],
    [
      { agent_provider: { auth_token: 'A', api_key: 'B' } },
      'agent_provider.api_key: expected auth_token or api_key, not both',
    ],
    [{ agent_provider: { template: 'gemini' } }, 'agent_provider.template: expected claude or codex, got "gemini"'],
    [{ agent_provider: { template: 'pi' } }, 'agent_provider.template: expected claude or codex: pi is not here'],
    [
      { agent_provider: { forward_host_credentials: true } },
      'agent_provider.forward_host_credentials: expected template codex: only it can forward them',
    ],
    [
      { agent_provider: { template: 'codex', forward_host_credentials: true, api_key: 'A' } },
      'agent_provider.forward_host_credentials: expected no auth_token or api_key beside it',
    ],
    [{ agent_provider: { base_url: 'http://x.test' } }, 'agent_provider.base_url: expected an https URL'],
    [
      { agent_provider: { base_url: 'https://me:pw@x.test' } },
      'agent_provider.base_url: expected an https URL without user, query or fragment',
    ],
    [{ agent_provider: { base_url: 'https:x.test' } }, 'agent_provider.base_url: expected an https URL'],
    [{ agent_provider: { base_url: 'https:///x.test' } }, 'agent_provider.base_url: expected an https URL'],
    [
      { agent_provider: { ca: 'corp.pem' } },
      'agent_provider.ca: expected an absolute path on the host, or one below ~/',
    ],
    [
      route({ host: '*.x.test' }),
      'egress.routes[0].host: expected one host such as api.example.com or example.com:8443',
    ],
    [
      route({ host: 'x.test private' }),
      'egress.routes[0].host: expected one host such as api.example.com or example.com:8443',
    ],
    [
      route({ host: 'x.test/v1' }),
      'egress.routes[0].host: expected one host such as api.example.com or example.com:8443',
    ],
    [
      route({ host: 'egress:9099' }),
      'egress.routes[0].host: expected one host such as api.example.com or example.com:8443',
    ],
    [route({ host: undefined }), 'egress.routes[0].host: expected a host name, but it is missing'],
    [
      route({ auth: { scheme: 'digest', token_ref: 'A' } }),
      'egress.routes[0].auth.scheme: expected Bearer, token, basic or header, got "digest"',
    ],
    [
      route({ auth: { scheme: 'bearer', token_ref: 'A' } }),
      'egress.routes[0].auth.scheme: expected Bearer, token, basic or header, got "bearer"; did you mean Bearer?',
    ],
    [
      route({ auth: { scheme: 'basic', token_ref: 'A' } }),
      'egress.routes[0].auth.user: expected a user name, for scheme basic, but it is missing',
    ],
    [
      route({ auth: { scheme: 'header', token_ref: 'A' } }),
      'egress.routes[0].auth.header: expected the name of a header, for scheme header, but it is missing',
    ],
    [
      route({ auth: { scheme: 'header', header: 'Host', token_ref: 'A' } }),
      'egress.routes[0].auth.header: expected a header that can hold a credential',
    ],
    [
      route({ auth: { scheme: 'basic', token_ref: 'A', user: 'a\nb' } }),
      'egress.routes[0].auth.user: expected printable text',
    ],
    [
      route({ matches: [{ paths: [{ type: 'prefix', value: 'v1' }] }] }),
      'egress.routes[0].matches[0].paths[0].value: expected a path that begins with /',
    ],
    [
      route({ matches: [{ paths: [{ type: 'regex', value: '(' }] }] }),
      'egress.routes[0].matches[0].paths[0].value: expected a regular expression',
    ],
    [route({ matches: [{ methods: ['GET '] }] }), 'egress.routes[0].matches[0].methods[0]: expected an HTTP method'],
    [
      route({ matches: [{ headers: [{ name: 'a b', value: 'x' }] }] }),
      'egress.routes[0].matches[0].headers[0].name: expected a header name',
    ],
    [
      route({ matches: [{ headers: [{ name: 'a', value: '(', type: 'regex' }] }] }),
      'egress.routes[0].matches[0].headers[0].value: expected a regular expression',
    ],
    [
      route({ matches: [], path_allowlist: ['/v1'] }),
      'egress.routes[0].path_allowlist: expected matches or path_allowlist, not both',
    ],
    [route({ path_allowlist: ['v1'] }), 'egress.routes[0].path_allowlist[0]: expected a path that begins with /'],
    [
      route({ pipelock: { ssrf_ip_allowlist: ['home'] } }),
      'egress.routes[0].pipelock.ssrf_ip_allowlist[0]: expected a network such as 10.0.0.0/8',
    ],
    [
      route({ dlp: { outbound_on_match: 'ask' } }),
      'egress.routes[0].dlp.outbound_on_match: expected supervise, redact or block, got "ask"',
    ],
    [
      route({ dlp: { inbound_detectors: true } }),
      'egress.routes[0].dlp.inbound_detectors: expected a list of detectors, or false, got true',
    ],
    [repo({ url: 'ssh://git:pw@git.test/app' }), 'git-gate.repos.app.url: expected no password in an ssh:// URL'],
    [
      repo({ url: 'ssh://git@git.test/app', key: { provider: 'static', path: '/k' } }),
      'git-gate.repos.app.host_key: expected the pinned host key, for an ssh:// URL, but it is missing',
    ],
    [repo({ host_key: 'AAAA' }), 'git-gate.repos.app.host_key: expected a host key such as "ssh-ed25519 AAAA..."'],
    [
      repo({ host_key: 'ssh-ed25519 AAAA\n* ssh-ed25519 BBBB' }),
      'git-gate.repos.app.host_key: expected a host key such as "ssh-ed25519 AAAA..."',
    ],
    [repo({ branches: ['a\nb'] }), 'git-gate.repos.app.branches[0]: expected printable text'],
    [repo({ url: 'git@git.test:app' }), 'git-gate.repos.app.url: expected https://host/path or ssh://user@host/path'],
    [repo({ url: 'https://me:pw@git.test/app' }), 'git-gate.repos.app.url: expected no user in an https:// URL'],
    [
      repo({ url: 'ssh://git@git.test/app' }),
      'git-gate.repos.app.key: expected an SSH key (provider static), for an ssh:// URL, but it is missing',
    ],
    [
      repo({ key: { provider: 'static', path: '/k' } }),
      'git-gate.repos.app.key: expected provider token, for an https:// URL',
    ],
    [
      repo({ key: { provider: 'github' } }),
      'git-gate.repos.app.key.provider: expected provider static (path: an SSH key) or token (token_ref: a secret), got text',
    ],
    [
      repo({ key: { provider: 'gitea' } }),
      'git-gate.repos.app.key.provider: provider gitea (a deploy key made at launch) is not here: write key: {provider: static, path: FILE} or key: {provider: token, token_ref: SECRET}',
    ],
    [
      repo({ key: { provider: 'token' } }),
      `git-gate.repos.app.key.token_ref: expected a reference to a secret: ${SECRETS}, but it is missing`,
    ],
    [
      { 'git-gate': { repos: { '../x': { url: 'https://git.test/x' } } } },
      'git-gate.repos.../x: expected a name of lower-case letters, digits, dots and dashes',
    ],
    [{ 'git-gate': { user: { name: 'A\nB' } } }, 'git-gate.user.name: expected printable text'],
    [{ supervise: 'yes' }, 'supervise: expected true or false, got text; did you mean true?'],
    [{ intercept: 'Off' }, 'intercept: expected true or false, got text; did you mean false?'],
    [{ supervise: 'perhaps' }, 'supervise: expected true or false, got text'],
    [{ supervise: 'constructor' }, 'supervise: expected true or false, got text'],
  ])('%j', (bottle, words) => {
    expect(said('bottle', bottle)).toContain(words);
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
    expect(said('bottle', repo({ url }))).toContain(
      'git-gate.repos.app.url: expected https://host/path or ssh://user@host/path',
    );
  });

  test.each(['Host', 'cookie', 'Transfer-Encoding', 'CONTENT-LENGTH', 'expect'])(
    'a credential in the header %s',
    (header) => {
      expect(said('bottle', route({ auth: { scheme: 'header', header, token_ref: 'A' } }))).toEqual([
        'egress.routes[0].auth.header: expected a header that can hold a credential',
      ]);
    },
  );
});
