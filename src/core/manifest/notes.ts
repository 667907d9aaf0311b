/** What a person should know of a manifest that is right: what is read but not followed, and what follows from it unsaid. */
import { decide, exampleOf, parseAllowEntry } from '../allow-list.ts';
import { EGRESS_URL } from '../daemons.ts';
import type { AgentProvider } from '../providers/provider.ts';
import { routeIdOf } from '../route-id.ts';
import type { BottleManifest } from './bottle-schema.ts';
import type { Layer, Origin } from './merge.ts';

/** Key path and what to know of it. */
export function notesOn(bottle: BottleManifest): { path: PropertyKey[]; message: string }[] {
  const routes = bottle.egress?.routes ?? [];
  return [
    ...routes.flatMap(({ dlp, pipelock }, at) => {
      const path = ['egress', 'routes', at];
      const ranges = pipelock?.ssrf_ip_allowlist ?? [];
      return [
        ...(dlp === undefined ? [] : [{ path: [...path, 'dlp'], message: DLP }]),
        ...(pipelock?.tls_passthrough === undefined
          ? []
          : [{ path: [...path, 'pipelock', 'tls_passthrough'], message: PASSTHROUGH }]),
        ...(ranges.length === 0 ? [] : [{ path: [...path, 'pipelock', 'ssrf_ip_allowlist'], message: RANGES }]),
      ];
    }),
    ...(bottle.egress?.log === undefined ? [] : [{ path: ['egress', 'log'], message: LOG }]),
  ];
}

const DLP = 'read, not followed: what goes out is scanned by the same rules for every route, and what comes in is not';
const PASSTHROUGH = 'read, not needed: pipelock sees a request before its credential is put in';
const RANGES = 'read as private: true, which is any private address';
const LOG = 'read, not followed: every request is logged (method, host, path, status), never a header';

/** Nobody pays for the agent: it can only log in by itself. Undefined where somebody does. */
export function loginNote(
  { provider: written }: Layer,
  provider: AgentProvider,
): { path: PropertyKey[]; origin: Origin | undefined; message: string } | undefined {
  const { auth_token, api_key, base_url, forward_host_credentials } = written?.value ?? {};
  const paid = [auth_token, api_key, base_url].some((each) => each !== undefined) || forward_host_credentials === true;
  if (paid) return undefined;
  const message = `the agent has no credential of yours: it is to log in by itself (${provider.login}), and ${provider.hosts.join(', ')} are open for that`;
  return { path: ['agent_provider'], origin: written?.origin, message };
}

/** A credential is put in by a route only, and a host that is open as well is reached past it. */
export function hostsPastRoutes({
  allow = [],
  routes = [],
}: Layer): { path: PropertyKey[]; origin: Origin; message: string }[] {
  return routes.flatMap(({ value: { host, auth } }) => {
    if (auth === undefined) return [];
    const { host: name, port } = exampleOf(parseAllowEntry(host));
    return allow.flatMap(({ value, origin }, at) => {
      if (decide([parseAllowEntry(value)], name, port === 80 ? 443 : port).verdict !== 'allow') return [];
      const message = `${host} has a route with auth too: what goes to https://${host} itself gets no credential, only ${EGRESS_URL}/${routeIdOf(host)}/ does`;
      return [{ path: ['allow', at], origin, message }];
    });
  });
}
