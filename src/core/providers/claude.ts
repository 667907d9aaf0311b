/** Claude Code, as measured with 2.1.330 (facts/chain.md). */
import { GUEST } from '../plan.ts';
import { mcpServers } from './mcp.ts';
import type { AgentProvider, ProviderContext } from './provider.ts';

/**
 * What it holds in place of its credential; egress replaces it on the way. It must not look like one: the scanner
 * refuses whatever begins like a real key.
 */
export const CLAUDE_PLACEHOLDER = {
  api_key: 'placeholder-injected-by-egress',
  auth_token: 'placeholder-oauth-token',
} as const;

export const claude: AgentProvider = {
  template: 'claude',
  route: 'anthropic',
  modelUrl: 'https://api.anthropic.com',
  hosts: ['api.anthropic.com'],
  skillsDirectory: `${GUEST.home}/.claude/skills`,
  auth: (credential, secret) =>
    credential === 'auth_token' ? { scheme: 'Bearer', secret } : { scheme: 'header', header: 'x-api-key', secret },
  // No update or telemetry connections, which an allow-list would only refuse.
  defaults: { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1', IS_SANDBOX: '1' },
  environment: ({ modelUrl, credential }) => ({
    ...(modelUrl === null ? {} : { ANTHROPIC_BASE_URL: modelUrl }),
    ...(modelUrl === null ? {} : placeholder(credential)),
  }),
  files: (context) => [
    { path: `${GUEST.home}/.claude.json`, mode: 0o600, text: json(seeds(context)) },
    {
      path: `${GUEST.home}/.claude/settings.json`,
      mode: 0o600,
      text: json({ skipDangerousModePermissionPrompt: true }),
    },
  ],
  argv: ({ promptEmpty }, args) => [
    'claude',
    ...(promptEmpty ? [] : ['--append-system-prompt-file', GUEST.promptFile]),
    ...args,
  ],
};

/** Without a credential of ours the model may need none, but the agent would not start without one. */
function placeholder(credential: ProviderContext['credential']): Record<string, string> {
  return credential === 'auth_token'
    ? { CLAUDE_CODE_OAUTH_TOKEN: CLAUDE_PLACEHOLDER.auth_token }
    : { ANTHROPIC_API_KEY: CLAUDE_PLACEHOLDER.api_key };
}

/** No onboarding, no trust dialog, no question about permissions. */
function seeds({ modelUrl, credential, superviseUrl }: ProviderContext): object {
  // It asks whether to use a key that it finds in its environment, and knows a key by its last 20 characters.
  const asksForKey = modelUrl !== null && credential !== 'auth_token';
  return {
    hasCompletedOnboarding: true,
    theme: 'dark',
    bypassPermissionsModeAccepted: true,
    ...(asksForKey
      ? { customApiKeyResponses: { approved: [CLAUDE_PLACEHOLDER.api_key.slice(-20)], rejected: [] } }
      : {}),
    projects: { [GUEST.workspace]: { hasTrustDialogAccepted: true } },
    ...(superviseUrl === null ? {} : mcpServers(superviseUrl)),
  };
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
