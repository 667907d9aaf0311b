/** What npm needs to know of a registry that is a route of egress. */
import type { EgressRoutePlan } from './bundle-plans.ts';
import { EGRESS_URL } from './daemons.ts';

/** How npm calls the one host that its registry stands in for. */
export const NPM_REGISTRY_HOST = 'npm_config_replace_registry_host';

/**
 * A registry gives each package's address at its own host, which is not to be reached past egress, and so does a lock file
 * that was written elsewhere: npm puts the registry it was told of in the place of this one host. Not of `always` every
 * host: npm (11) then asks the registry for packages that come from git and from other addresses too.
 * @param routes without the model's own
 * @param env the manifest's variables: they may name the registry
 */
export function npmSettings(
  routes: readonly Pick<EgressRoutePlan, 'id' | 'upstream'>[],
  env: Readonly<Record<string, string>>,
): Record<string, string> {
  const [, registry] = Object.entries(env).find(([name]) => name.toLowerCase() === 'npm_config_registry') ?? [];
  const named = routes.find(({ id }) => `${registry}/`.startsWith(`${EGRESS_URL}/${id}/`));
  const [only, ...others] = routes;
  const route = named ?? (others.length === 0 ? only : undefined);
  return route === undefined ? {} : { [NPM_REGISTRY_HOST]: new URL(route.upstream).hostname };
}
