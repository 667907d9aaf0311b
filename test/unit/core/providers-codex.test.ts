import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { codex } from '../../../src/core/providers/codex.ts';
import type { ProviderContext } from '../../../src/core/providers/provider.ts';

const context = (change: Partial<ProviderContext> = {}): ProviderContext => ({
  modelUrl: 'http://egress:9099/openai',
  credential: 'api_key',
  superviseUrl: 'http://10.1.2.3:9100/mcp',
  promptEmpty: false,
  caBundle: null,
  ...change,
});
const own = { modelUrl: null, credential: null };

const config = (change?: Partial<ProviderContext>) =>
  parse(codex.files(context(change)).find(({ path }) => path.endsWith('config.toml'))?.text ?? '');

describe('its configuration', () => {
  test('leads to the model through egress, asks nothing and is quiet', () => {
    expect(config()).toEqual({
      model_provider: 'egress',
      model_providers: {
        egress: {
          name: 'egress',
          base_url: 'http://egress:9099/openai/v1',
          env_key: 'OPENAI_API_KEY',
          wire_api: 'responses',
        },
      },
      approval_policy: 'never',
      sandbox_mode: 'danger-full-access',
      check_for_update_on_startup: false,
      analytics: { enabled: false },
      features: { plugins: false, daemon_auto_start: false },
      projects: { '/home/agent/workspace': { trust_level: 'trusted' } },
      mcp_servers: { supervise: { url: 'http://10.1.2.3:9100/mcp' } },
    });
  });

  test('leaves the model to Codex itself where the agent brings its own credential', () => {
    const { model_provider, model_providers, approval_policy } = config(own);
    expect([model_provider, model_providers, approval_policy]).toEqual([undefined, undefined, 'never']);
  });

  test('has no way to the operator where there is none', () => {
    expect(config({ superviseUrl: null })).not.toHaveProperty('mcp_servers');
  });

  test('keeps an address as it is, whatever is in it', () => {
    const url = 'http://egress:9099/a"b\\c\n#é🍾';
    expect(config({ modelUrl: url })).toMatchObject({ model_providers: { egress: { base_url: `${url}/v1` } } });
  });

  test('is the agent’s alone, in its home', () => {
    const files = codex.files(context());
    expect(files.map(({ path, mode }) => [path, mode])).toEqual([
      ['/home/agent/.codex/config.toml', 0o600],
      ['/home/agent/.codex/rules/bottle.rules', 0o600],
    ]);
  });
});

describe('its environment', () => {
  test.each(['api_key', 'auth_token', null] as const)('with the credential %s holds a placeholder', (credential) => {
    expect(codex.environment(context({ credential }))).toEqual({ OPENAI_API_KEY: 'placeholder-injected-by-egress' });
  });

  test('leaves its own credential alone', () => {
    expect(codex.environment(context(own))).toEqual({});
  });

  test('trusts the CA that reads its traffic', () => {
    expect(codex.environment(context({ ...own, caBundle: '/ca.pem' }))).toEqual({ CODEX_CA_CERTIFICATE: '/ca.pem' });
  });
});

test.each(['api_key', 'auth_token'] as const)('a credential of kind %s is a bearer', (credential) => {
  expect(codex.auth(credential, 'env:KEY')).toEqual({ scheme: 'Bearer', secret: 'env:KEY' });
});

describe('its command line', () => {
  test.each([
    ['nothing', [], ['codex', '--']],
    ['options', ['-m', 'gpt'], ['codex', '-m', 'gpt']],
    ['a command', ['resume', '--last'], ['codex', 'resume', '--last']],
    ['exec alone', ['exec'], ['codex', 'exec', '--skip-git-repo-check', '--']],
    ['exec in short', ['e', 'hi'], ['codex', 'e', '--skip-git-repo-check', 'hi']],
    [
      'exec of a former one',
      ['exec', 'resume', '--last'],
      ['codex', 'exec', '--skip-git-repo-check', 'resume', '--last'],
    ],
    // Given twice, it is an error.
    ['exec with the switch', ['exec', '--skip-git-repo-check', 'hi'], ['codex', 'exec', '--skip-git-repo-check', 'hi']],
    ['a message like a command', ['say', 'exec'], ['codex', 'say', 'exec']],
  ])('with %s', (_what, args, expected) => {
    expect(codex.argv({ promptEmpty: true }, args)).toEqual(expected);
    expect(codex.argv({ promptEmpty: false }, args)).toEqual(expected);
  });
});
