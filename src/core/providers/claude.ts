/** Claude Code, as measured with 2.1.330 (facts/chain.md). */
import { GUEST } from '../plan.ts';
import type { AgentSettings } from './agent-settings.ts';
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
  // The second for the code of a login, and for each renewal of what it gave.
  hosts: ['api.anthropic.com', 'platform.claude.com'],
  login: '`bottle claude <id>`, then /login',
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
      text: json(settingsOf(context)),
    },
  ],
  argv: ({ promptEmpty, settings = {} }, args) => [
    'claude',
    ...(promptEmpty ? [] : ['--append-system-prompt-file', GUEST.promptFile]),
    ...limitsOf(settings, args),
    ...args,
  ],
};

/** What has no setting but an option; what a person says on the command line wins. */
function limitsOf({ tools, maxTurns }: AgentSettings, args: readonly string[]): string[] {
  const says = (...options: string[]): boolean =>
    args.some((arg) => options.some((option) => arg === option || arg.startsWith(`${option}=`)));
  // Of servers it has all tools: the option knows its own only, and those by name alone.
  const own = tools?.filter((tool) => !tool.startsWith('mcp__')).map((tool) => tool.replace(/\(.*/s, ''));
  return [
    // With a sign of equality, or it would take the words after it as well.
    ...(own === undefined || own.includes('*') || says('--tools') ? [] : [`--tools=${[...new Set(own)].join(',')}`]),
    ...(maxTurns === undefined || !says('-p', '--print') || says('--max-turns') ? [] : [`--max-turns=${maxTurns}`]),
  ];
}

/** Of the person's own settings: what it would ask, and what the agent file says. */
function settingsOf({ settings = {} }: ProviderContext): object {
  const { model, effort, permissionMode, tools = [], disallowedTools, hooks } = settings;
  // `Bash(git log:*)`: the tool, and what of it needs no question.
  const allow = tools.filter((tool) => tool.includes('('));
  const permissions = {
    ...(permissionMode === undefined ? {} : { defaultMode: permissionMode }),
    ...(allow.length === 0 ? {} : { allow }),
    ...(disallowedTools === undefined ? {} : { deny: disallowedTools }),
  };
  return {
    skipDangerousModePermissionPrompt: true,
    // It asks its maker's server about every host first, which the allow-list refuses; whether the host may be reached is
    // the allow-list's business anyway.
    skipWebFetchPreflight: true,
    ...(model === undefined ? {} : { model }),
    ...(Object.keys(permissions).length === 0 ? {} : { permissions }),
    ...(hooks === undefined ? {} : { hooks }),
    // Its own setting for it (`effortLevel`) yields to the model's default (2.1.330).
    ...(effort === undefined ? {} : { env: { CLAUDE_CODE_EFFORT_LEVEL: effort } }),
  };
}

/** Without a credential of ours the model may need none, but the agent would not start without one. */
function placeholder(credential: ProviderContext['credential']): Record<string, string> {
  return credential === 'auth_token'
    ? { CLAUDE_CODE_OAUTH_TOKEN: CLAUDE_PLACEHOLDER.auth_token }
    : { ANTHROPIC_API_KEY: CLAUDE_PLACEHOLDER.api_key };
}

/** No onboarding, no trust dialog, no question about permissions. */
function seeds({ modelUrl, credential, superviseUrl, settings }: ProviderContext): object {
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
    ...(superviseUrl === null && settings?.mcpServers === undefined
      ? {}
      : mcpServers(superviseUrl, settings?.mcpServers)),
  };
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
