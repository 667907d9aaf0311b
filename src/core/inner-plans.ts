/** From the manifest to the plan of each daemon. Pure. */
import type { BundlePlans, EgressRoutePlan, GitKey, GitRepoPlan, RouteAuth } from './bundle-plans.ts';
import type { BottleManifest } from './manifest.ts';
import { MODEL_ROUTE, routeIdOf, routeUpstream } from './route-id.ts';

/** Where the model's route leads unless the manifest says otherwise. */
const MODEL_URL = 'https://api.anthropic.com';
const MODEL_HOST = 'api.anthropic.com';
const MAX_PENDING_REQUESTS = 10;

/**
 * @param expandHome turns `~/...` into an absolute path of the host
 * @param ca PEM file on the host that is true for every upstream
 */
export function innerPlans(
  bottle: BottleManifest,
  expandHome: (path: string) => string,
  ca: string | null = null,
): BundlePlans {
  const model = modelRoute(bottle, expandHome);
  const routes = [
    ...(model === undefined ? [] : [model]),
    ...bottle.egress.routes.map((route) => routePlan(route, expandHome)),
  ];
  const repos = Object.entries(bottle['git-gate'].repos).map(([name, repo]) => repoPlan(name, repo, expandHome));
  // Without a credential of ours, an agent brings its own and talks to its model directly.
  const allow = [...(model === undefined ? [MODEL_HOST] : []), ...bottle.allow];
  return {
    pipelock: { allow: [...new Set(allow)] },
    egress: routes.length === 0 ? null : { routes },
    gitGate: repos.length === 0 ? null : { repos },
    supervise: bottle.supervise ? { maxPending: MAX_PENDING_REQUESTS } : null,
    ca: ca === null ? null : expandHome(ca),
  };
}

function modelRoute(bottle: BottleManifest, expandHome: (path: string) => string): EgressRoutePlan | undefined {
  const provider = bottle.agent_provider;
  if (provider === undefined) return undefined;
  const { auth_token: token, api_key: key, base_url: upstream = MODEL_URL } = provider;
  if (token === undefined && key === undefined && provider.base_url === undefined) return undefined;
  const auth: RouteAuth | null =
    token !== undefined
      ? { scheme: 'Bearer', secret: token }
      : key !== undefined
        ? { scheme: 'header', header: 'x-api-key', secret: key }
        : null;
  const ca = provider.ca === undefined ? null : expandHome(provider.ca);
  return { id: MODEL_ROUTE, upstream, matches: [], auth, private: provider.private, ca };
}

function routePlan(
  { host, auth, matches, ca, private: mayBePrivate }: BottleManifest['egress']['routes'][number],
  expandHome: (path: string) => string,
): EgressRoutePlan {
  return {
    id: routeIdOf(host),
    upstream: routeUpstream(host),
    matches,
    auth: auth === undefined ? null : routeAuth(auth),
    private: mayBePrivate,
    ca: ca === undefined ? null : expandHome(ca),
  };
}

type ManifestAuth = NonNullable<BottleManifest['egress']['routes'][number]['auth']>;

function routeAuth({ scheme, token_ref: secret, user = '', header = '' }: ManifestAuth): RouteAuth {
  if (scheme === 'basic') return { scheme, user, secret };
  return scheme === 'header' ? { scheme, header, secret } : { scheme, secret };
}

type ManifestRepo = BottleManifest['git-gate']['repos'][string];

function repoPlan(name: string, repo: ManifestRepo, expandHome: (path: string) => string): GitRepoPlan {
  return {
    name,
    upstream: repo.url,
    key: repo.key === undefined ? null : gitKey(repo.key, repo.host_key ?? '', expandHome),
    branches: repo.branches,
    allowForce: repo.allow_force,
    allowDelete: repo.allow_delete,
    ca: repo.ca === undefined ? null : expandHome(repo.ca),
  };
}

function gitKey(key: NonNullable<ManifestRepo['key']>, hostKey: string, expandHome: (path: string) => string): GitKey {
  return key.provider === 'static'
    ? { kind: 'ssh-key', secret: `file:${expandHome(key.path)}`, hostKey }
    : { kind: 'token', user: key.user, secret: key.token_ref };
}
