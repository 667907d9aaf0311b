/** The environment every process of a machine starts with: the way out through the bundle, and what the agent needs. */
import { trustsMore } from './bundle-plans.ts';
import { caEnvironment } from './ca-environment.ts';
import { EGRESS_URL, GIT_GATE_PORT, SUPERVISE_PORT } from './daemons.ts';
import { type MachineNetwork, proxyEnvironment, proxySettings } from './machine-proxy-environment.ts';
import { npmSettings } from './npm-settings.ts';
import { GUEST, type Plan } from './plan.ts';
import type { ProviderContext } from './providers/provider.ts';
import { PROVIDERS } from './providers/providers.ts';
import type { NetworkFacts } from './step-io.ts';

type PlanSlice = Pick<Plan, 'env' | 'daemons' | 'bundle' | 'provider' | 'prompt' | 'agentSettings'>;

/**
 * @param network the bottle's addresses
 * @param plan its own variables win over ours, except for the ways out: those are the only ones
 */
export function agentEnvironment(network: MachineNetwork, plan: PlanSlice): Record<string, string> {
  const { env, daemons, bundle } = plan;
  const provider = PROVIDERS[plan.provider.template];
  const supervise = superviseUrl(network, plan);
  return {
    ...provider.defaults,
    LANG: 'C.UTF-8',
    // Read before the agent's own ~/.gitconfig, which it may write.
    GIT_CONFIG_SYSTEM: GUEST.gitConfigFile,
    ...(trustsMore(bundle) ? caEnvironment() : {}),
    ...proxySettings(network),
    ...npmSettings(
      (bundle.egress?.routes ?? []).filter(({ id }) => id !== provider.route),
      env,
    ),
    ...env,
    ...provider.environment(providerContext(network, plan)),
    ...(daemons.includes('egress') ? { EGRESS_URL } : {}),
    ...(daemons.includes('git-gate') ? { GIT_GATE_URL: at(network, GIT_GATE_PORT) } : {}),
    ...(supervise === null ? {} : { MCP_SUPERVISE_URL: supervise }),
    ...proxyEnvironment(network),
  };
}

/** MCP endpoint of the bottle's supervise daemon; null where there is none. */
export function superviseUrl(
  network: Pick<NetworkFacts, 'bundleIp'>,
  { daemons }: Pick<Plan, 'daemons'>,
): string | null {
  return daemons.includes('supervise') ? `${at(network, SUPERVISE_PORT)}/mcp` : null;
}

/** What the agent's own configuration is made from. */
export function providerContext(network: Pick<NetworkFacts, 'bundleIp'>, plan: PlanSlice): ProviderContext {
  const { route } = PROVIDERS[plan.provider.template];
  const { agentSettings: settings = {} } = plan;
  const routed = plan.bundle.egress?.routes.some(({ id }) => id === route) === true;
  return {
    modelUrl: routed ? `${EGRESS_URL}/${route}` : null,
    credential: plan.provider.credential,
    superviseUrl: superviseUrl(network, plan),
    promptEmpty: plan.prompt.empty,
    caBundle: trustsMore(plan.bundle) ? GUEST.caBundle : null,
    ...(Object.keys(settings).length === 0 ? {} : { settings }),
  };
}

const at = ({ bundleIp }: Pick<NetworkFacts, 'bundleIp'>, port: number): string => `http://${bundleIp}:${port}`;
