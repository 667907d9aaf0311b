/** The environment every process of a machine starts with: the way out through the bundle, and quiet switches. */

import { PIPELOCK_PORT } from './daemons.ts';
import type { NetworkFacts } from './step-io.ts';

/**
 * @param network the bottle's addresses
 * @param env the manifest's own variables, which win over ours except for the proxies: those are the only way out
 */
export function agentEnvironment(network: NetworkFacts, env: Record<string, string>): Record<string, string> {
  const proxy = `http://${network.bundleIp}:${PIPELOCK_PORT}`;
  const direct = `${network.bundleIp},localhost,127.0.0.1`;
  return {
    // Measured with Claude Code 2.1: no update or telemetry connections that an allow-list would only refuse.
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    IS_SANDBOX: '1',
    LANG: 'C.UTF-8',
    ...env,
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: direct,
    no_proxy: direct,
  };
}
