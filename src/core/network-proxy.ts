/** The company's proxy, by which all goes out that does not stay in its network. Pure. */
import { canonicalHost, isAddress } from './allow-list.ts';
import type { SecretRef } from './secret-ref.ts';
import { overlaps, parseCidr } from './subnet.ts';

interface Address {
  /** Name or address, an IPv6 one without brackets. */
  host: string;
  port: number;
  /** What is reached without it: a name, which stands for all below it too, an address, or an IPv4 network. */
  noProxy: string[];
}

/** As a plan has it: the password is a reference. */
export interface ProxyPlan extends Address {
  username: string | null;
  password: SecretRef | null;
}

/** As a daemon has it. */
export interface UpstreamProxy extends Address {
  login: { username: string; password: string } | null;
}

const DEFAULT_PORT = 80;

/** @param url `http://HOST[:PORT]`, checked already */
export function proxyPlan(
  url: string,
  {
    username = null,
    password = null,
    noProxy = [],
  }: Partial<Pick<ProxyPlan, 'username' | 'password' | 'noProxy'>> = {},
): ProxyPlan {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  return { host, port: port === '' ? DEFAULT_PORT : Number(port), username, password, noProxy };
}

/** `example.com`, `.example.com` and `*.example.com` are the same: that name and all below it. Undefined for what is none of these. */
export function canonicalNoProxy(text: string): string | undefined {
  const entry = text.trim();
  if (parseCidr(entry) !== undefined) return entry;
  const host = canonicalHost(entry.replace(/^\*?\./, '').replace(/^([^[].*:.*)$/, '[$1]'));
  return host?.includes('*') === true ? undefined : host;
}

/** Whether a host is reached without the proxy. @param host canonical, an IPv6 address without brackets */
export function goesDirectly({ noProxy }: Pick<Address, 'noProxy'>, host: string): boolean {
  return noProxy.some((entry) => {
    if (entry.includes('/')) return overlaps(entry, `${host}/32`);
    return host === entry || (!isAddress(entry) && host.endsWith(`.${entry}`));
  });
}

/** `host:port`, as messages and Host fields have it. */
export const authority = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Without a login, so fit for every message. */
export const proxyUrl = ({ host, port }: Pick<Address, 'host' | 'port'>): string => `http://${authority(host, port)}`;

/** With the login, for the environment of a program that is to use it. */
export function proxyUrlWithLogin(proxy: UpstreamProxy): string {
  const url = new URL(proxyUrl(proxy));
  url.username = encodeURIComponent(proxy.login?.username ?? '');
  url.password = encodeURIComponent(proxy.login?.password ?? '');
  return url.href.replace(/\/$/, '');
}
