/** The headers of a request on its way out, and of the answer on its way back. Pure. */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Route } from './egress-upstream.ts';

/** RFC 9110 7.6.1 and its registry: about one connection, not the message. */
const HOP_BY_HOP = [
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect'],
  ...['http2-settings', 'proxy-authenticate', 'proxy-authentication-info', 'proxy-authorization'],
];
/** What the agent may not say: who it is, where it comes from, and another method or path than the one judged. */
const NOT_THE_AGENTS = [
  ...['authorization', 'x-api-key', 'cookie', 'host', 'forwarded', 'accept-encoding', 'content-length'],
  ...['x-http-method-override', 'x-http-method', 'x-method-override', 'x-original-url', 'x-rewrite-url'],
];
/** Methods that say nothing of a body when they have none. */
const BODYLESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS']);

/** Why it is in doubt where a request or its answer ends: an upstream could take the end of one for another request. */
export function framingProblem({ method = '', headers, httpVersion }: IncomingMessage): string | undefined {
  // HTTP/1.0 cannot tell an answer that broke off from one that ended.
  if (httpVersion !== '1.1') return `HTTP/${httpVersion}`;
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return undefined;
  if (headers['content-length'] !== undefined) return 'both Content-Length and Transfer-Encoding';
  if (coding.toLowerCase() !== 'chunked') return 'a Transfer-Encoding other than chunked';
  return BODYLESS.has(method) ? `a chunked body with ${method}` : undefined;
}

/** The agent's headers without what is not the agent's to say, with the route's credential. */
export function requestHeaders(request: IncomingMessage, route: Route): OutgoingHttpHeaders {
  const { auth } = route;
  const headers = without(request, [...NOT_THE_AGENTS, ...(auth === null ? [] : [auth.header.toLowerCase()])]);
  for (const name of Object.keys(headers)) if (name.startsWith('x-forwarded-')) delete headers[name];
  const length = request.headers['content-length'] ?? (BODYLESS.has(request.method ?? '') ? undefined : '0');
  if (request.headers['transfer-encoding'] !== undefined) headers['transfer-encoding'] = 'chunked';
  else if (length !== undefined) headers['content-length'] = length;
  headers['host'] = route.url.host;
  // The scanner in front cannot read a compressed answer and blocks it; nor could a secret be found in it.
  headers['accept-encoding'] = 'identity';
  if (auth !== null) headers[auth.header] = auth.value;
  return headers;
}

/** Why an answer cannot be passed on. */
export function answerProblem(
  { statusCode = 0, headers }: IncomingMessage,
  route: Route,
  maxBytes: number | null,
): string | undefined {
  if (statusCode < 200) return 'answered with no valid status';
  if (maxBytes !== null && Number(headers['content-length'] ?? 0) > maxBytes)
    return `answered with ${headers['content-length']} bytes, more than the ${maxBytes} that the scanner lets through`;
  const encoding = headers['content-encoding'] ?? 'identity';
  // Nothing can be found in it.
  if (route.redactor !== undefined && encoding.toLowerCase() !== 'identity') return 'compressed its answer unasked';
  return undefined;
}

/** @param asked what was asked of the upstream, for a relative `Location` */
export function answerHeaders(answer: IncomingMessage, route: Route, asked: URL): OutgoingHttpHeaders {
  const headers = without(answer, ['set-cookie', 'x-bottle-egress']);
  const { location } = answer.headers;
  if (location !== undefined) headers['location'] = relocate(location, route, asked);
  const { link } = answer.headers;
  // RFC 8288: where the next page is.
  if (link !== undefined)
    headers['link'] = String(link).replace(/<([^>]*)>/g, (_, to) => `<${relocate(to, route, asked)}>`);
  if (route.redactor === undefined) return headers;
  for (const [name, values] of Object.entries(headers))
    headers[name] = [values].flat().map((value) => route.redactor?.text(String(value)) ?? '');
  return headers;
}

/** Events that come as they happen, for as long as they do: the scanner passes them on one by one. */
export const isEventStream = ({ headers }: IncomingMessage): boolean =>
  /^text\/event-stream\b/i.test(headers['content-type'] ?? '');

function relocate(location: string, { id, url, base }: Route, asked: URL): string {
  const target = URL.parse(location, asked.href);
  if (target === null) return location;
  const rest = target.pathname.slice(base.length);
  const within = target.origin === url.origin && target.pathname.startsWith(base) && /^(\/|$)/.test(rest);
  return within ? `/${id}${rest}${target.search}${target.hash}` : target.href;
}

function without(message: IncomingMessage, names: readonly string[]): OutgoingHttpHeaders {
  const named = (message.headers.connection ?? '').toLowerCase().split(/\s*,\s*/);
  const dropped = new Set([...HOP_BY_HOP, ...names, ...named]);
  return Object.fromEntries(Object.entries(message.headersDistinct).filter(([name]) => !dropped.has(name)));
}
