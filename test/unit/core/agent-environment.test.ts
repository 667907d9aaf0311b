import { expect, test } from 'vitest';
import { agentEnvironment } from '../../../src/core/agent-environment.ts';
import { networkFacts } from '../../../src/core/subnet.ts';

const network = networkFacts('bottle-demo', '10.214.3.16/28');
const plan = (
  change: Partial<Parameters<typeof agentEnvironment>[1]> = {},
): Parameters<typeof agentEnvironment>[1] => ({
  env: {},
  daemons: ['pipelock'],
  bundle: { pipelock: { allow: [] }, egress: null, gitGate: null, supervise: null, ca: null },
  provider: { template: 'claude', credential: null },
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

test("every program's spelling of the proxy names the bundle", () => {
  const env = agentEnvironment(network, plan());
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) expect(env[name]).toBe(proxy);
  for (const name of ['NO_PROXY', 'no_proxy']) expect(env[name]).toBe('10.214.3.18,localhost,127.0.0.1');
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
  expect(env['no_proxy']).toBe('10.214.3.18,localhost,127.0.0.1');
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
