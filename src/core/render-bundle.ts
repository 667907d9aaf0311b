/** From a bottle's plans to what its daemons read. Pure: secrets and certificates come in as values already resolved. */
import { exampleOf, parseAllowEntry } from './allow-list.ts';
import type {
  BundleConfig,
  EgressRouteConfig,
  FrontConfig,
  GitAuth,
  GitRepoConfig,
  PipelockConfig,
  RouteView,
  SuperviseConfig,
} from './bundle-config.ts';
import {
  type BundlePlans,
  daemonsOf,
  type EgressRoutePlan,
  type GitKey,
  type GitRepoPlan,
  type RouteAuth,
  type Scanner,
} from './bundle-plans.ts';
import { EGRESS_PORT, GIT_GATE_PORT, PIPELOCK_PORT, SCANNER_LIMITS, SUPERVISE_PORT } from './daemons.ts';
import { egressListenHost } from './egress-address.ts';
import { viewRoute } from './egress-routes.ts';
import type { UpstreamProxy } from './network-proxy.ts';
import { pipelockYaml } from './pipelock-yaml.ts';
import { type Grant, grantsOf, hasEnded, type RequestView } from './requests.ts';
import { routeIdOf, routeUpstream } from './route-id.ts';
import type { SecretRef } from './secret-ref.ts';

export interface BundleRendering {
  plans: BundlePlans;
  scanner: Scanner;
  /** Of the launch: where egress listens follows from it. */
  runId: string;
  /** The bundle's address on the bottle's bridge. */
  bundleIp: string;
  /** Everything the agent has asked so far; approved ones are grants. */
  requests: readonly RequestView[];
  /** Every reference of the plans, resolved. */
  secrets: ReadonlyMap<SecretRef, string>;
  /** Every PEM file of the plans, read. */
  certificates: ReadonlyMap<string, string>;
  /** The bottle's own CA, PEM; null where nothing is intercepted. */
  ca: { cert: string; key: string } | null;
}

/** The slice of each daemon that the plans need. @throws Error for a reference that was not resolved */
export function renderBundle(rendering: BundleRendering): BundleConfig {
  const { plans, requests } = rendering;
  const needed = new Set(daemonsOf(plans));
  const grants = grantsOf(requests);
  const routes = egressRoutes(rendering, grants);
  const listen = { host: egressListenHost(rendering.runId), port: EGRESS_PORT };
  const maxAnswerBytes = rendering.scanner === 'pipelock' ? SCANNER_LIMITS.responseMiB * 1024 ** 2 : null;
  return {
    pipelock: pipelockConfig(rendering, needed.has('egress'), grants),
    ...(needed.has('egress')
      ? { egress: { listen, maxAnswerBytes, routes, ...upstreamProxy(rendering) }, front: front(rendering.bundleIp) }
      : {}),
    ...(plans.gitGate === null
      ? {}
      : {
          'git-gate': {
            listen: { host: rendering.bundleIp, port: GIT_GATE_PORT },
            repos: plans.gitGate.repos.map((repo) => repoConfig(repo, rendering)),
            ...upstreamProxy(rendering),
          },
        }),
    ...(plans.supervise === null ? {} : { supervise: superviseConfig(rendering, routes, grants) }),
  };
}

/**
 * A grant widens the route that the manifest has to that host, credential and all; to another host it is a route of its
 * own. Two grants of one host are one route.
 */
function egressRoutes(rendering: BundleRendering, grants: readonly Grant[]): EgressRouteConfig[] {
  const routes = new Map(
    (rendering.plans.egress?.routes ?? []).map((route) => [route.id, routeConfig(route, rendering)]),
  );
  for (const grant of grants.filter((each) => !isWholeHost(each))) {
    const granted = grantedRoute(grant, rendering);
    const known = routes.get(granted.id);
    routes.set(granted.id, known === undefined ? granted : widened(known, granted));
  }
  return [...routes.values()];
}

function widened(known: EgressRouteConfig, granted: EgressRouteConfig): EgressRouteConfig {
  // No matches at all already means every request.
  const matches = known.matches.length === 0 ? [] : [...known.matches, ...granted.matches];
  // Each match ends when its own grant does; the route, when the last of them does.
  const ends = [known.expiresAt, granted.expiresAt];
  const expiresAt = ends.includes(null) ? null : (ends.toSorted().at(-1) ?? null);
  return { ...known, matches, private: known.private || granted.private, expiresAt };
}

/** A grant without methods and path opens the host itself, tunnels included; any other is a route of egress. */
const isWholeHost = ({ methods, pathPrefix }: Grant): boolean => methods.length === 0 && pathPrefix === null;

function pipelockConfig(rendering: BundleRendering, egress: boolean, grants: readonly Grant[]): PipelockConfig {
  const { scanner, plans, runId, bundleIp, requests } = rendering;
  const listen = { host: bundleIp, port: PIPELOCK_PORT };
  const allow = unique([...plans.pipelock.allow, ...grants.filter(isWholeHost).map(allowEntry)]);
  if (scanner === 'allow-list')
    return {
      kind: 'allow-list',
      listen,
      allow,
      egress: egress ? egressListenHost(runId) : null,
      ...upstreamProxy(rendering),
    };
  const formerlyAllowed = grantsOf(requests.filter(hasEnded).map((request) => ({ ...request, state: 'approved' })))
    .filter(isWholeHost)
    .map(allowEntry);
  const { intercept } = plans.pipelock;
  return {
    kind: 'pipelock',
    listen,
    yaml: pipelockYaml({ listen, allow, formerlyAllowed, egress, intercept }),
    // Without interception it speaks to no upstream by itself.
    ca: intercept ? ownCa(rendering) : null,
    upstreamCa: intercept ? certificate(plans.ca, rendering.certificates) : null,
  };
}

const front = (host: string): FrontConfig => ({
  listen: { host, port: EGRESS_PORT },
  scanner: { host, port: PIPELOCK_PORT },
});

/** For each daemon that goes out by itself. */
function upstreamProxy({ plans: { proxy }, secrets }: BundleRendering): { proxy?: UpstreamProxy } {
  if (proxy === undefined) return {};
  const { username, password, ...rest } = proxy;
  if (username === null) return { proxy: { ...rest, login: null } };
  return { proxy: { ...rest, login: { username, password: password === null ? '' : resolved(secrets, password) } } };
}

function ownCa({ ca }: BundleRendering): { cert: string; key: string } {
  if (ca === null) throw new Error('nothing can be intercepted without a CA');
  return ca;
}

const allowEntry = ({ host, private: mayBePrivate }: Grant): string => (mayBePrivate ? `${host} private` : host);

function routeConfig(route: EgressRoutePlan, { plans, secrets, certificates }: BundleRendering): EgressRouteConfig {
  const secret = route.auth === null ? undefined : resolved(secrets, route.auth.secret);
  const auth = route.auth === null || secret === undefined ? null : authHeader(route.auth, secret);
  return {
    id: route.id,
    upstream: route.upstream,
    matches: route.matches,
    auth,
    secrets:
      auth === null || secret === undefined ? [] : unique([auth.value, auth.value.split(' ').at(-1) ?? '', secret]),
    private: route.private,
    ca: certificate(route.ca ?? plans.ca, certificates),
    expiresAt: null,
  };
}

function authHeader(auth: RouteAuth, secret: string): { header: string; value: string } {
  switch (auth.scheme) {
    case 'header':
      return { header: auth.header.toLowerCase(), value: secret };
    case 'basic':
      return { header: 'authorization', value: `Basic ${base64(`${auth.user}:${secret}`)}` };
    default:
      return { header: 'authorization', value: `${auth.scheme} ${secret}` };
  }
}

/** RFC 7617: the pair as UTF-8, in base64. */
function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}

function grantedRoute(
  { host, methods, pathPrefix, expiresAt, private: mayBePrivate }: Grant,
  { plans, certificates }: BundleRendering,
): EgressRouteConfig {
  const paths = pathPrefix === null ? [] : [{ type: 'prefix' as const, value: pathPrefix }];
  return {
    id: routeIdOf(host),
    upstream: routeUpstream(host),
    matches: [{ methods, paths, ...(expiresAt === null ? {} : { expiresAt }) }],
    auth: null,
    secrets: [],
    private: mayBePrivate,
    ca: certificate(plans.ca, certificates),
    expiresAt,
  };
}

const certificate = (file: string | null, certificates: ReadonlyMap<string, string>): string | null =>
  file === null ? null : resolved(certificates, file);

function repoConfig(repo: GitRepoPlan, { plans, secrets, certificates }: BundleRendering): GitRepoConfig {
  const { name, upstream, branches, allowForce, allowDelete } = repo;
  const auth = repo.key === null ? null : gitAuth(repo.key, upstream, resolved(secrets, repo.key.secret));
  const ca = certificate(repo.ca ?? plans.ca, certificates);
  return { name, upstream, auth, branches, allowForce, allowDelete, ca };
}

function gitAuth(key: GitKey, upstream: string, secret: string): GitAuth {
  if (key.kind === 'token') return { kind: 'token', user: key.user, token: secret };
  const { hostname, port } = new URL(upstream);
  const name = hostname.replace(/^\[|\]$/g, '');
  // sshd(8): brackets only with a port, around an IPv6 address too.
  const host = port === '' || port === '22' ? name : `[${name}]:${port}`;
  // OpenSSH insists on the line end after the last line of a key.
  return { kind: 'ssh-key', key: `${secret.trimEnd()}\n`, knownHosts: `${host} ${key.hostKey}\n` };
}

function superviseConfig(
  { plans, bundleIp, requests }: BundleRendering,
  routes: readonly EgressRouteConfig[],
  grants: readonly Grant[],
): SuperviseConfig {
  const wholeHosts = grants.filter(isWholeHost);
  return {
    listen: { host: bundleIp, port: SUPERVISE_PORT },
    maxPending: plans.supervise?.maxPending ?? 0,
    routes: [
      ...routes.map(routeView),
      ...plans.pipelock.allow.map((entry) => hostView(entry, null)),
      ...wholeHosts.map((grant) => hostView(allowEntry(grant), grant.expiresAt)),
    ],
    repositories: (plans.gitGate?.repos ?? []).map(({ name }) => name),
    requests: [...requests],
  };
}

function routeView(route: EgressRouteConfig): RouteView {
  const { id: _id, ...view } = viewRoute(route, EGRESS_PORT);
  return { ...view, upstream: route.upstream };
}

function hostView(entry: string, expiresAt: string | null): RouteView {
  const parsed = parseAllowEntry(entry);
  const { host, port } = exampleOf(parsed);
  const name = parsed.below ? host.replace(/^any\./, '*.') : host;
  // Port 80 comes first where none was given: then 443 is allowed as well.
  const onlyHttp = port === 80 && parsed.ports.length === 1;
  const url = onlyHttp ? `http://${name}` : `https://${name}${port === 80 || port === 443 ? '' : `:${port}`}`;
  return { url, upstream: url, methods: [], paths: [], credential: false, expiresAt };
}

function resolved<Value>(values: ReadonlyMap<string, Value>, key: string): Value {
  const value = values.get(key);
  if (value === undefined) throw new Error(`${key} was not resolved`);
  return value;
}

const unique = (values: readonly string[]): string[] => [...new Set(values)];
