/** A route of egress made ready: checked, with the agent that keeps its connections. */
import { X509Certificate } from 'node:crypto';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { Agent } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { EgressRouteConfig } from '../core/bundle-config.ts';
import { goesDirectly, type UpstreamProxy } from '../core/network-proxy.ts';
import { wholePattern } from '../core/route-pattern.ts';
import { addressKind } from './address.ts';
import { DialError, pinnedTo, type Resolve, resolveChecked } from './dial.ts';
import { dialThrough } from './proxy-dial.ts';
import { type Redactor, redactorOf } from './redact-stream.ts';

export interface Route extends EgressRouteConfig {
  url: URL;
  /** Name or address, an IPv6 one without brackets. */
  hostname: string;
  /** Path of the upstream, without a slash at its end. */
  base: string;
  agent: Agent;
  redactor: Redactor | undefined;
  /** The upstream refused the credential, and the log says so already. */
  refusalTold: boolean;
}

/** Requests of one route that may be under way at once; the others wait. */
const MAX_SOCKETS = 64;
/** Below what load balancers allow, so that a request seldom meets a connection that is just being closed. */
const IDLE_MS = 30_000;
/** Node's own 250 ms give up on an address that is merely far away. */
const NEXT_ADDRESS_MS = 3000;
const HTTPS_PORT = 443;

/** How the upstreams of all routes are reached. */
export interface WayOut {
  resolve: Resolve;
  proxy?: UpstreamProxy | undefined;
}

/**
 * @param agents by what they connect to: those in use so far; a new one is put in
 * @throws Error that names the route, and no value of it
 */
export function openRoute(config: EgressRouteConfig, agents: Map<string, Agent>, way: WayOut): Route {
  const problem = (what: string): Error => new Error(`route ${JSON.stringify(config.id)}: ${what}`);
  const url = URL.parse(config.upstream);
  // Never a credential over plain HTTP.
  if (url?.protocol !== 'https:') throw problem('its upstream is not https:');
  if (url.username + url.password + url.search + url.hash !== '')
    throw problem('its upstream is more than host and path');
  const { auth } = config;
  attempt(() => auth && validateHeaderName(auth.header), problem('its header is no header name'));
  attempt(
    () => auth && validateHeaderValue(auth.header, auth.value),
    problem('its credential has a line break or another character that no header may have'),
  );
  for (const { type, value } of config.matches.flatMap(({ paths, headers = [] }) => [...paths, ...headers])) {
    if (type === 'regex') attempt(() => wholePattern(value), problem(`${JSON.stringify(value)} is no pattern`));
  }
  attempt(() => config.ca && new X509Certificate(config.ca), problem('its ca is no certificate')); // TLS would pass over it
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  const key = JSON.stringify([config.id, url.host, config.private, config.ca, way.proxy]);
  const agent = agents.get(key) ?? agentFor(url, hostname, config, way);
  agents.set(key, agent);
  const base = url.pathname.replace(/\/$/, '');
  return { ...config, url, hostname, base, agent, redactor: redactorOf(config.secrets), refusalTold: false };
}

function attempt<Value>(work: () => Value, problem: Error): Value {
  try {
    return work();
  } catch {
    throw problem; // and not what was thrown: it may hold the value
  }
}

function agentFor(
  url: URL,
  hostname: string,
  { private: mayBePrivate, ca }: EgressRouteConfig,
  { resolve, proxy }: WayOut,
): Agent {
  const lookup: LookupFunction = (name, options, callback) => {
    resolveChecked(name, { mayBePrivate, resolve }).then(
      (addresses) => pinnedTo(addresses)(name, options, callback),
      (error: NodeJS.ErrnoException) => callback(error, []),
    );
  };
  const agent = new Agent({
    keepAlive: true,
    keepAliveMsecs: IDLE_MS,
    timeout: IDLE_MS, // ends idle connections only: nothing acts on it while a request is under way
    maxSockets: MAX_SOCKETS,
    lookup,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    servername: isIP(hostname) === 0 ? hostname : '',
    rejectUnauthorized: true,
    // Made once: reading all the usual certificates takes longer than a handshake.
    ...(ca === null ? {} : { secureContext: tls.createSecureContext({ ca: [...tls.getCACertificates(), ca] }) }),
  });
  if (proxy === undefined || goesDirectly(proxy, hostname)) return agent;
  agent.createConnection = (options, callback) => {
    dialThrough(proxy, hostname, portOf(url)).then(
      (socket) => callback?.(null, tls.connect({ ...(options as tls.ConnectionOptions), socket })),
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    );
    return undefined;
  };
  return agent;
}

export const portOf = ({ port }: URL): number => (port === '' ? HTTPS_PORT : Number(port));

/** One line for the agent about an upstream that is an address and must not be connected to: nothing looks it up. */
export function addressRefusal({ hostname, private: mayBePrivate }: Route): string | undefined {
  const kind = isIP(hostname) === 0 ? 'public' : addressKind(hostname);
  return kind === 'public' || (kind === 'private' && mayBePrivate)
    ? undefined
    : `blocked: ${kind} address: ${hostname}`;
}

/** Ends the idle connections of an agent that no route uses any more, and each other one once its request is over. */
export function retire(agent: Agent): void {
  agent.maxFreeSockets = 0;
  for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy();
}

/** What went wrong on the way to `host`, as status and one line for the agent. Holds nothing of what was sent. */
export function describeFailure(error: NodeJS.ErrnoException, host: string): { status: number; text: string } {
  if (error instanceof DialError) {
    return error.kind === 'refused' ? { status: 403, text: `blocked: ${error.message}` } : failed(error.message);
  }
  const code = error.code ?? 'unknown error';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return failed(`the certificate of ${host} is for another name`);
  if (code === 'CERT_HAS_EXPIRED') return failed(`the certificate of ${host} has expired`);
  if (/CERT|ISSUER|SIGNATURE|CRL|_CA$|PURPOSE/.test(code))
    return failed(`the certificate of ${host} is not trusted (${code})`);
  if (/^(EPROTO|ERR_SSL_|ERR_TLS_)/.test(code)) return failed(`no TLS with ${host} (${code})`);
  return failed(`no answer from ${host} (${code})`);
}

const failed = (why: string) => ({ status: 502, text: `failed: ${why}` });
