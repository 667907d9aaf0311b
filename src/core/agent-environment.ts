/** The environment every process of a machine starts with: the way out through the bundle, and quiet switches. */
import { EGRESS_URL, GIT_GATE_PORT, PIPELOCK_PORT, SUPERVISE_PORT } from './daemons.ts';
import { GUEST, type Plan } from './plan.ts';
import { MODEL_ROUTE } from './route-id.ts';
import type { NetworkFacts } from './step-io.ts';

/**
 * What an agent holds in place of its credential; egress replaces it on the way. It must not look like one: the scanner
 * refuses whatever begins like a real key.
 */
export const PLACEHOLDER = {
  api_key: 'placeholder-injected-by-egress',
  auth_token: 'placeholder-oauth-token',
} as const;

/**
 * @param network the bottle's addresses
 * @param plan its own variables win over ours, except for the ways out: those are the only ones
 */
export function agentEnvironment(
  network: Pick<NetworkFacts, 'bundleIp'>,
  { env, daemons, bundle, provider }: Pick<Plan, 'env' | 'daemons' | 'bundle' | 'provider'>,
): Record<string, string> {
  const at = (port: number): string => `http://${network.bundleIp}:${port}`;
  const proxy = at(PIPELOCK_PORT);
  const direct = `${network.bundleIp},localhost,127.0.0.1`;
  const model = bundle.egress?.routes.some(({ id }) => id === MODEL_ROUTE) === true;
  return {
    // Measured with Claude Code 2.1: no update or telemetry connections that an allow-list would only refuse.
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    IS_SANDBOX: '1',
    LANG: 'C.UTF-8',
    // Read before the agent's own ~/.gitconfig, which it may write.
    GIT_CONFIG_SYSTEM: GUEST.gitConfigFile,
    ...env,
    ...(model ? { ANTHROPIC_BASE_URL: `${EGRESS_URL}/${MODEL_ROUTE}` } : {}),
    ...(model ? credentialPlaceholder(provider.credential) : {}),
    ...(daemons.includes('egress') ? { EGRESS_URL } : {}),
    ...(daemons.includes('git-gate') ? { GIT_GATE_URL: at(GIT_GATE_PORT) } : {}),
    ...(daemons.includes('supervise') ? { MCP_SUPERVISE_URL: `${at(SUPERVISE_PORT)}/mcp` } : {}),
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: direct,
    no_proxy: direct,
  };
}

/** Without a credential of ours the model may need none, but the agent would not start without one. */
function credentialPlaceholder(credential: Plan['provider']['credential']): Record<string, string> {
  return credential === 'auth_token'
    ? { CLAUDE_CODE_OAUTH_TOKEN: PLACEHOLDER.auth_token }
    : { ANTHROPIC_API_KEY: PLACEHOLDER.api_key };
}
