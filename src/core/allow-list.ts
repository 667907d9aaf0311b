/**
 * Which hosts a bottle may reach. One pure decision, used for plain HTTP, for CONNECT and for `/verdict` alike.
 *
 * An entry is `host` or `host:port`, and after it, in any order, ` private` and ` tunnel`:
 * - `example.com` is that name alone, `*.example.com` every name below it (not itself). Case, a trailing dot and
 *   the spelling of international names do not matter.
 * - Without a port, 80 and 443 are meant; with one, only that.
 * - An address is reached only by an entry that is this very address (`192.0.2.7`, `[2001:db8::7]:8080`).
 * - A name that resolves to a private or loopback address is refused when dialled, unless its entry ends in
 *   ` private` (see dial.ts).
 * - HTTPS to a host whose entry ends in ` tunnel` is passed as it is, also where the bottle's scanner reads the rest of it
 *   (pipelock-yaml.ts): for clients that trust one certificate alone, for client certificates, and for what is large.
 */
import { EGRESS_NAME, EGRESS_URL } from './daemons.ts';

const DEFAULT_PORTS: readonly number[] = [80, 443];
const ENTRY =
  /^(\*\.)?(\[[^\]\s]+\]|[^\s:/\\?#@[\]*]+)(?::(\d{1,5}))?( private| tunnel| private tunnel| tunnel private)?$/;
const MAX_NAME_LENGTH = 253;

export interface AllowEntry {
  /** Canonical name or address, as {@link canonicalHost} gives it. */
  host: string;
  /** Names below `host`, not `host` itself. */
  below: boolean;
  ports: readonly number[];
  /** The name may resolve to a private or loopback address. */
  private: boolean;
  /** Never read on the way, whatever the scanner does with other hosts. */
  tunnel: boolean;
}

export type Decision =
  | { verdict: 'allow'; host: string; private: boolean }
  | { verdict: 'deny'; host: string; reason: string };

/**
 * Reads one entry.
 * @throws TypeError with one line that says what is wrong with it
 */
export function parseAllowEntry(text: string): AllowEntry {
  const [, wildcard, rawHost, rawPort, words = ''] = ENTRY.exec(text.trim()) ?? [];
  const host = rawHost === undefined ? undefined : canonicalHost(rawHost);
  if (host === undefined) throw new TypeError(`${JSON.stringify(text)} is not a host (host, *.host or host:port)`);
  // A tunnel to it would pass by whoever looks at requests.
  if (host === EGRESS_NAME)
    throw new TypeError(`${JSON.stringify(text)} is the bundle's own, at ${EGRESS_URL}, and cannot be listed`);
  if (wildcard !== undefined && isAddress(host))
    throw new TypeError(`${JSON.stringify(text)} puts *. before an address`);
  const port = rawPort === undefined ? undefined : Number(rawPort);
  if (port !== undefined && (port < 1 || port > 65_535))
    throw new TypeError(`${JSON.stringify(text)} has no valid port`);
  return {
    host,
    below: wildcard !== undefined,
    ports: port === undefined ? DEFAULT_PORTS : [port],
    private: words.includes(' private'),
    tunnel: words.includes(' tunnel'),
  };
}

/** A host and port that an entry lets through, to ask the proxy about. */
export function exampleOf({ host, below, ports }: AllowEntry): { host: string; port: number } {
  return { host: below ? `any.${host}` : host.includes(':') ? `[${host}]` : host, port: ports[0] as number };
}

/**
 * Whether `host:port` may be reached, by name alone: nothing is resolved or dialled.
 * @param rawHost as it came in; an IPv6 address in brackets
 */
export function decide(entries: readonly AllowEntry[], rawHost: string, port: number): Decision {
  const host = canonicalHost(rawHost);
  if (host === undefined) return { verdict: 'deny', host: printable(rawHost), reason: 'not a host name' };
  const named = entries.filter((entry) => (entry.below ? host.endsWith(`.${entry.host}`) : host === entry.host));
  if (named.length === 0) return { verdict: 'deny', host, reason: 'domain not in allowlist' };
  const matching = named.filter((entry) => entry.ports.includes(port));
  if (matching.length === 0) return { verdict: 'deny', host, reason: `port ${port} not in allowlist` };
  return { verdict: 'allow', host, private: matching.some((entry) => entry.private) };
}

/**
 * The one spelling of a host: lower case, no trailing dot, punycode, addresses in their shortest form and without
 * brackets (so `0x7f.1` is `127.0.0.1`). Undefined for what is no host.
 */
export function canonicalHost(raw: string): string | undefined {
  if (!/^(\[[^\]\s]+\]|[^\s:/\\?#@[\]]+)$/.test(raw)) return undefined;
  let host: string;
  try {
    // A special scheme, so that the URL parser treats every spelling as any HTTP client would.
    host = new URL(`http://${raw}/`).hostname;
  } catch {
    return undefined;
  }
  if (host.startsWith('[')) return host.slice(1, -1);
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  if (name.length > MAX_NAME_LENGTH || name.split('.').includes('')) return undefined;
  return name;
}

/** Whether a canonical host is an address rather than a name. */
export const isAddress = (host: string): boolean => host.includes(':') || /^\d{1,3}(\.\d{1,3}){3}$/.test(host);

/** What a guest sent as a host, fit for a message or a log line. */
function printable(raw: string): string {
  return raw.replace(/[^\x21-\x7e]/g, '?').slice(0, MAX_NAME_LENGTH);
}
