/** Where a request to the proxy wants to go. Pure. */

export interface RequestTarget {
  /** As the client spelled it, an IPv6 address in brackets; allow-list.ts brings it to one form. */
  host: string;
  port: number;
}

/** The target of `CONNECT host:port`; undefined when there is anything else in it, such as user information. */
export function connectTarget(authority: string): RequestTarget | undefined {
  const [, host, port] = /^(\[[^\]@/?#]+\]|[^:@/\\?#[\]]+):(\d{1,5})$/.exec(authority) ?? [];
  if (host === undefined || port === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined;
  return { host, port: Number(port) };
}

/** The target of a request in absolute form; undefined for another scheme, or with user information in it. */
export function absoluteTarget(address: string): RequestTarget | undefined {
  const url = URL.parse(address);
  if (url === null || url.protocol !== 'http:' || url.username !== '' || url.password !== '') return undefined;
  return { host: url.hostname, port: url.port === '' ? 80 : Number(url.port) };
}
