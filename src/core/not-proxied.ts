/** What of a bottle cannot go out by the company's proxy. Pure. */
import { exampleOf, parseAllowEntry } from './allow-list.ts';
import type { BundlePlans, Scanner } from './bundle-plans.ts';
import { goesDirectly, type ProxyPlan, proxyUrl } from './network-proxy.ts';

export interface NotProxied {
  what: string;
  hint: string;
}

/** Empty when everything can, or goes directly. */
export function notProxied(plans: BundlePlans, proxy: ProxyPlan, scanner: Scanner): NotProxied[] {
  const url = proxyUrl(proxy);
  const bySsh = (plans.gitGate?.repos ?? []).filter(({ upstream }) => {
    const { protocol, hostname } = new URL(upstream);
    return protocol === 'ssh:' && !goesDirectly(proxy, hostname.replace(/^\[|\]$/g, ''));
  });
  const tunnelled = plans.pipelock.allow.filter((entry) => !goesDirectly(proxy, hostOf(entry)));
  return [
    ...bySsh.map(({ name, upstream }) => ({
      what: `git-gate.repos.${name}: ssh cannot go through the proxy ${url}: ${new URL(upstream).host}`,
      hint: 'write its https:// address with a token, or list the host in network.proxy.no_proxy',
    })),
    // It has no key for one, and ignores the variables on purpose.
    ...(scanner === 'pipelock' && tunnelled.length > 0
      ? [
          {
            what: `allow: pipelock cannot go through the proxy ${url}: ${tunnelled.join(', ')}`,
            hint: 'make them routes of egress, list them in network.proxy.no_proxy, or build the bundle without pipelock (BOTTLE_TOOLS, cache)',
          },
        ]
      : []),
  ];
}

const hostOf = (entry: string): string => exampleOf(parseAllowEntry(entry)).host.replace(/^\[|\]$/g, '');
