/** From the manifest to the plan of each daemon. Pure. */
import { exampleOf, parseAllowEntry } from './allow-list.ts';
import type { BundlePlans, EgressRoutePlan, GitKey, GitRepoPlan, RouteAuth, RouteMatch } from './bundle-plans.ts';
import type { BottleManifest } from './manifest/bottle-schema.ts';
import type { EgressRouteManifest } from './manifest/egress-schema.ts';
import type { GitRepoManifest } from './manifest/git-gate-schema.ts';
import type { Credential } from './providers/provider.ts';
import { PROVIDERS } from './providers/providers.ts';
import { routeIdOf, routeUpstream } from './route-id.ts';
import type { SecretRef } from './secret-ref.ts';

const MAX_PENDING_REQUESTS = 10;
/** Where Codex keeps the key that a person gave it (`codex login --with-api-key`). */
const CODEX_HOST_KEY = 'file:~/.codex/auth.json#OPENAI_API_KEY';
const DEFAULT_GIT_USER = 'x-access-token';

/**
 * @param expandHome turns `~/...` into an absolute path of the host
 * @param ca PEM file on the host that is true for every upstream
 */
export function innerPlans(
  bottle: BottleManifest,
  expandHome: (path: string) => string,
  ca: string | null = null,
): BundlePlans {
  const provider = PROVIDERS[bottle.agent_provider?.template ?? 'claude'];
  const model = modelRoute(bottle, expandHome);
  const written = (bottle.egress?.routes ?? []).map((route) => routePlan(route, expandHome));
  const routes = [
    ...(model === undefined ? [] : [model]),
    // The provider's own wins over one that leads to the same place, as in the original.
    ...written.filter(({ upstream }) => upstream !== model?.upstream),
  ];
  const repos = Object.entries(bottle['git-gate']?.repos ?? {}).map(([name, repo]) => repoPlan(name, repo, expandHome));
  // Without a credential of ours, an agent brings its own and talks to its model directly.
  const open = (bottle.egress?.routes ?? []).flatMap(openHost);
  const allow = [...(model === undefined ? provider.hosts : []), ...(bottle.allow ?? []), ...open];
  return {
    pipelock: { allow: [...new Set(allow)], intercept: bottle.intercept ?? false },
    egress: routes.length === 0 ? null : { routes },
    gitGate: repos.length === 0 ? null : { repos },
    supervise: bottle.supervise === true ? { maxPending: MAX_PENDING_REQUESTS } : null,
    ca: ca === null ? null : expandHome(ca),
  };
}

/** What the model is paid with; undefined when the agent brings its own. */
export function modelCredential({
  agent_provider: provider,
}: BottleManifest): { credential: Credential; secret: SecretRef } | undefined {
  if (provider?.auth_token !== undefined) return { credential: 'auth_token', secret: provider.auth_token };
  if (provider?.forward_host_credentials === true) return { credential: 'api_key', secret: CODEX_HOST_KEY };
  return provider?.api_key === undefined ? undefined : { credential: 'api_key', secret: provider.api_key };
}

function modelRoute(bottle: BottleManifest, expandHome: (path: string) => string): EgressRoutePlan | undefined {
  const { agent_provider: manifest } = bottle;
  const paid = modelCredential(bottle);
  if (manifest === undefined || (paid === undefined && manifest.base_url === undefined)) return undefined;
  const provider = PROVIDERS[manifest.template ?? 'claude'];
  return {
    id: provider.route,
    upstream: manifest.base_url ?? provider.modelUrl,
    matches: [],
    auth: paid === undefined ? null : provider.auth(paid.credential, paid.secret),
    private: manifest.private ?? false,
    ca: manifest.ca === undefined ? null : expandHome(manifest.ca),
  };
}

function routePlan(route: EgressRouteManifest, expandHome: (path: string) => string): EgressRoutePlan {
  const { host, auth, ca, private: mayBePrivate, pipelock } = route;
  return {
    id: routeIdOf(host),
    upstream: routeUpstream(host),
    matches: matchesOf(route),
    auth: auth === undefined ? null : routeAuth(auth),
    private: mayBePrivate ?? (pipelock?.ssrf_ip_allowlist ?? []).length > 0,
    ca: ca === undefined ? null : expandHome(ca),
  };
}

/**
 * A route without credential and rules opens the host itself too, as in the original, where routes were the allow-list: its
 * clients dial https://host.
 */
function openHost(route: EgressRouteManifest): string[] {
  const { host, auth, private: mayBePrivate, pipelock, dlp } = route;
  // Who says how it is to be scanned wants it scanned.
  if (auth !== undefined || dlp !== undefined || matchesOf(route).length > 0) return [];
  const { port } = exampleOf(parseAllowEntry(host));
  const name = /:\d+$/.test(host.trim()) ? host.trim() : `${host.trim()}:${port === 80 ? 443 : port}`;
  const isPrivate = mayBePrivate ?? (pipelock?.ssrf_ip_allowlist ?? []).length > 0;
  return [`${name}${isPrivate ? ' private' : ''}${pipelock?.tls_passthrough === true ? ' tunnel' : ''}`];
}

function matchesOf({ matches = [], path_allowlist: prefixes = [] }: EgressRouteManifest): RouteMatch[] {
  if (prefixes.length > 0)
    return [{ methods: [], paths: prefixes.map((value) => ({ type: 'prefix' as const, value })) }];
  return matches.map(({ methods = [], paths = [], headers = [] }) => ({
    methods: methods.map((method) => method.toUpperCase()),
    paths,
    ...(headers.length === 0
      ? {}
      : { headers: headers.map(({ type = 'exact', name, value }) => ({ type, name: name.toLowerCase(), value })) }),
  }));
}

type ManifestAuth = NonNullable<EgressRouteManifest['auth']>;

function routeAuth({ scheme, token_ref: secret, user = '', header = '' }: ManifestAuth): RouteAuth {
  if (scheme === 'basic') return { scheme, user, secret };
  return scheme === 'header' ? { scheme, header, secret } : { scheme, secret };
}

function repoPlan(name: string, repo: GitRepoManifest, expandHome: (path: string) => string): GitRepoPlan {
  return {
    name,
    upstream: repo.url,
    key: repo.key === undefined ? null : gitKey(repo.key, repo.host_key ?? '', expandHome),
    branches: repo.branches ?? [],
    allowForce: repo.allow_force ?? false,
    allowDelete: repo.allow_delete ?? false,
    ca: repo.ca === undefined ? null : expandHome(repo.ca),
  };
}

function gitKey(
  key: NonNullable<GitRepoManifest['key']>,
  hostKey: string,
  expandHome: (path: string) => string,
): GitKey {
  return key.provider === 'static'
    ? { kind: 'ssh-key', secret: `file:${expandHome(key.path)}`, hostKey }
    : { kind: 'token', user: key.user ?? DEFAULT_GIT_USER, secret: key.token_ref };
}
