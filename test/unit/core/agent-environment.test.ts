import { describe, expect, test } from 'vitest';
import { agentEnvironment, providerContext } from '../../../src/core/agent-environment.ts';
import { networkFacts } from '../../../src/core/subnet.ts';

const network = networkFacts('bottle-demo', '10.214.3.16/28');
const plan = (
  change: Partial<Parameters<typeof agentEnvironment>[1]> = {},
): Parameters<typeof agentEnvironment>[1] => ({
  env: {},
  daemons: ['pipelock'],
  bundle: { pipelock: { allow: [], intercept: false }, egress: null, gitGate: null, supervise: null, ca: null },
  provider: { template: 'claude', credential: null },
  prompt: { empty: true, digest: '' },
  ...change,
});
const model = {
  id: 'anthropic',
  upstream: 'https://api.anthropic.com',
  matches: [],
  auth: null,
  private: false,
  ca: null,
};
const withModel = { ...plan().bundle, egress: { routes: [model] } };
const proxy = 'http://10.214.3.18:8888';
const direct = '10.214.3.18,egress,localhost,127.0.0.1,::1,0.0.0.0,demo,bottle-demo-machine,10.214.3.19';

test("every program's spelling of the proxy names the bundle", () => {
  const env = agentEnvironment(network, plan());
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) expect(env[name]).toBe(proxy);
  for (const name of ['NO_PROXY', 'no_proxy']) expect(env[name]).toBe(direct);
});

test("the manifest's variables win over ours, but not over the only way out", () => {
  const env = agentEnvironment(
    network,
    plan({
      env: {
        LANG: 'de_DE.UTF-8',
        DISABLE_AUTOUPDATER: '0',
        MINE: 'x',
        HTTPS_PROXY: 'http://elsewhere:1',
        no_proxy: '*',
      },
    }),
  );
  expect(env).toMatchObject({ LANG: 'de_DE.UTF-8', DISABLE_AUTOUPDATER: '0', MINE: 'x', HTTPS_PROXY: proxy });
  expect(env['no_proxy']).toBe(direct);
});

test('programs that do not read those are told in their own way, and a manifest may tell them otherwise', () => {
  const env = agentEnvironment(network, plan());
  expect(env).toMatchObject({ NODE_USE_ENV_PROXY: '1', YARN_HTTP_PROXY: proxy, YARN_HTTPS_PROXY: proxy });
  expect(env['JAVA_TOOL_OPTIONS']).toBe(
    '-Dhttp.proxyHost=10.214.3.18 -Dhttp.proxyPort=8888 -Dhttps.proxyHost=10.214.3.18 -Dhttps.proxyPort=8888 ' +
      '-Dhttp.nonProxyHosts=localhost|127.*|[::1]|10.214.3.18|egress|0.0.0.0|demo|bottle-demo-machine|10.214.3.19',
  );
  const own = { NODE_USE_ENV_PROXY: '0', JAVA_TOOL_OPTIONS: '-Xmx1g' };
  expect(agentEnvironment(network, plan({ env: own }))).toMatchObject(own);
});

describe('npm puts the registry that it was told of in the place of one host', () => {
  const route = (id: string) => ({ ...model, id, upstream: `https://${id}` });
  const hostFor = (routes: string[], env: Record<string, string> = {}) => {
    const bundle = { ...plan().bundle, egress: { routes: [model, ...routes.map(route)] } };
    return agentEnvironment(network, plan({ bundle, daemons: ['pipelock', 'egress'], env }))[
      'npm_config_replace_registry_host'
    ];
  };
  test.each([
    ['where no route could be one', [], {}, undefined],
    ['of the one route that could be', ['pkg.test'], {}, 'pkg.test'],
    ['where there are several, and nobody says which', ['pkg.test', 'api.test'], {}, undefined],
    [
      'where a variable says which',
      ['api.test', 'pkg.test:8443'],
      { NPM_CONFIG_REGISTRY: 'http://egress:9099/pkg.test:8443/' },
      'pkg.test',
    ],
    ['whatever the variable says otherwise', ['pkg.test'], { npm_config_replace_registry_host: 'never' }, 'never'],
  ])('%s', (_what, routes, env, host) => {
    expect(hostFor(routes, env)).toBe(host);
  });
});

test('the given variables are left as they are', () => {
  const given = Object.freeze({ A: '1' });
  agentEnvironment(network, plan({ env: given }));
  expect(given).toEqual({ A: '1' });
});

test('without a credential of ours the agent is left to its own, and talks to its model directly', () => {
  const names = Object.keys(agentEnvironment(network, plan()));
  expect(names.filter((name) => /ANTHROPIC|CLAUDE_CODE_OAUTH|EGRESS|GATE|MCP/.test(name))).toEqual([]);
});

test.each([
  ['api_key', { ANTHROPIC_API_KEY: 'placeholder-injected-by-egress' }, 'CLAUDE_CODE_OAUTH_TOKEN'],
  ['auth_token', { CLAUDE_CODE_OAUTH_TOKEN: 'placeholder-oauth-token' }, 'ANTHROPIC_API_KEY'],
  [null, { ANTHROPIC_API_KEY: 'placeholder-injected-by-egress' }, 'CLAUDE_CODE_OAUTH_TOKEN'],
] as const)(
  'with the credential %s it holds a placeholder, and finds its model at egress',
  (credential, held, absent) => {
    const provider = { template: 'claude', credential } as const;
    const env = agentEnvironment(network, plan({ bundle: withModel, daemons: ['pipelock', 'egress'], provider }));
    expect(env).toMatchObject({
      ...held,
      ANTHROPIC_BASE_URL: 'http://egress:9099/anthropic',
      EGRESS_URL: 'http://egress:9099',
    });
    expect(env).not.toHaveProperty(absent);
    // A placeholder that looks like a key would be refused by the scanner.
    expect(JSON.stringify(env)).not.toContain('sk-ant-');
  },
);

test('tells where the daemons on the bundle are, when they run', () => {
  const daemons = ['pipelock', 'egress', 'git-gate', 'supervise'] as const;
  expect(agentEnvironment(network, plan({ daemons: [...daemons] }))).toMatchObject({
    GIT_GATE_URL: 'http://10.214.3.18:9418',
    MCP_SUPERVISE_URL: 'http://10.214.3.18:9100/mcp',
  });
});

test("the agent's own way to its model is nothing that a manifest may set otherwise", () => {
  const daemons = ['pipelock', 'egress'] as const;
  const env = { ANTHROPIC_BASE_URL: 'https://elsewhere.test', ANTHROPIC_API_KEY: 'mine', EGRESS_URL: 'x' };
  const provider = { template: 'claude', credential: 'api_key' } as const;
  expect(agentEnvironment(network, plan({ bundle: withModel, daemons: [...daemons], provider, env }))).toMatchObject({
    ANTHROPIC_BASE_URL: 'http://egress:9099/anthropic',
    ANTHROPIC_API_KEY: 'placeholder-injected-by-egress',
    EGRESS_URL: 'http://egress:9099',
  });
  // One that brings its own credential may have it from the manifest.
  expect(agentEnvironment(network, plan({ env }))).toMatchObject({ ANTHROPIC_API_KEY: 'mine' });
});

test('each agent has its own variables, and none of the others', () => {
  const bundle = { ...withModel, egress: { routes: [{ ...model, id: 'openai' }] } };
  const provider = { template: 'codex', credential: 'api_key' } as const;
  const env = agentEnvironment(network, plan({ bundle, daemons: ['pipelock', 'egress'], provider }));
  expect(env).toMatchObject({ OPENAI_API_KEY: 'placeholder-injected-by-egress', HTTPS_PROXY: proxy });
  expect(Object.keys(env).filter((name) => /ANTHROPIC|CLAUDE|IS_SANDBOX/.test(name))).toEqual([]);
});

test('what its configuration is made from is told by the daemons and routes that there are', () => {
  const nothing = { modelUrl: null, credential: null, superviseUrl: null, promptEmpty: true, caBundle: null };
  expect(providerContext(network, plan())).toEqual(nothing);
  // A route that is another agent's is none of its own.
  const other = { ...withModel, egress: { routes: [{ ...model, id: 'openai' }] } };
  expect(providerContext(network, plan({ bundle: other }))).toEqual(nothing);
  const full = plan({
    bundle: { ...withModel, pipelock: { allow: [], intercept: true } },
    daemons: ['pipelock', 'egress', 'supervise'],
    provider: { template: 'claude', credential: 'auth_token' },
    prompt: { empty: false, digest: 'x' },
  });
  expect(providerContext(network, full)).toEqual({
    modelUrl: 'http://egress:9099/anthropic',
    credential: 'auth_token',
    superviseUrl: 'http://10.214.3.18:9100/mcp',
    promptEmpty: false,
    caBundle: '/etc/ssl/certs/ca-certificates.crt',
  });
});
