/**
 * Which route of egress a request takes, and whether its method and path may. Pure, and decided before any credential
 * is looked at. A route's address is `/<id>/<rest>`; rules see `<rest>` in one spelling, which is also what is sent on,
 * so that the upstream cannot read another path than the one that was judged.
 */
import type { EgressRouteConfig, HeaderMatch, PathMatch, RouteMatch, RouteView } from './bundle-config.ts';
import { wholePattern } from './route-pattern.ts';

const MAX_PATH_LENGTH = 8192;
const MAX_SHOWN_LENGTH = 256;

export type EgressDecision<Route> =
  | { verdict: 'list' }
  | {
      verdict: 'forward';
      route: Route /** Below the id, as it is sent on: empty or from a slash on. */;
      path: string;
      query: string;
    }
  | { verdict: 'refuse'; status: 400 | 403 | 404; route: Route | null; path: string; text: string };

/**
 * @param target a request's target in origin form, with its query
 * @param now milliseconds since 1970
 * @param headers names in lower case
 */
export function decideEgress<Route extends EgressRouteConfig>(
  routes: ReadonlyMap<string, Route>,
  method: string,
  target: string,
  now: number,
  headers: RequestHeaders = {},
): EgressDecision<Route> {
  const queryAt = target.search(/\?|$/);
  const query = target.slice(queryAt);
  const whole = normalPath(target.slice(0, queryAt));
  const [, id = '', path = ''] = /^\/([^/]*)(.*)$/.exec(whole ?? '') ?? [];
  const route = routes.get(id) ?? null;
  const refuse = (status: 400 | 403 | 404, why: string): EgressDecision<Route> => {
    return { verdict: 'refuse', status, route, path: route ? path : target.slice(0, queryAt), text: `blocked: ${why}` };
  };

  if (whole === undefined || !isPlain(query)) return refuse(400, 'the path can be read in more than one way');
  if (whole === '/' && (method === 'GET' || method === 'HEAD')) return { verdict: 'list' };
  if (route === null) return refuse(404, `no route ${JSON.stringify(shown(id))} (GET / lists them)`);
  const { host } = new URL(route.upstream);
  // Written so that a date that is none counts as past.
  if (route.expiresAt !== null && !(Date.parse(route.expiresAt) > now)) {
    return refuse(403, `route ${id} to ${host} has expired`);
  }
  // TRACE would have the upstream send the credential back.
  if (method !== 'TRACE' && allows(route.matches, method, path || '/', now, headers))
    return { verdict: 'forward', route, path, query };
  return refuse(403, `${method} ${host}${shown(path)} fits no rule of route ${id} (${describe(route.matches)})`);
}

/**
 * A path with its percent-escapes in one spelling (RFC 3986 6.2.2), or undefined for one that servers read differently:
 * dot segments, empty segments, an escaped control character or backslash, escapes of escapes, or anything but ASCII.
 * An escaped slash is a character of its segment (`group%2Fproject`), and stays one; a server that takes it for a slash
 * gets to nothing that the rule for what stands before it would not allow, since no segment can climb either way.
 */
export function normalPath(raw: string): string | undefined {
  if (raw.length > MAX_PATH_LENGTH || !raw.startsWith('/') || !isPlain(raw) || /[\\?]|\/\//.test(raw)) return undefined;
  let text: string;
  try {
    text = decodeURIComponent(raw);
  } catch {
    return undefined; // a stray % or bytes that are not UTF-8, such as a dot in overlong form
  }
  // NFKC: some servers take a full-width dot or slash for the plain one.
  const segments = text.normalize('NFKC').split(/[/\\]/);
  // Servlet containers cut `;parameters` off a segment, and Windows cuts spaces.
  if (segments.some((segment) => /^\s*\.{1,2}\s*(;.*)?$/s.test(segment))) return undefined;
  if (/%2f(%2f|\/|$)|\/%2f/i.test(raw)) return undefined; // an empty segment, for whoever takes it for a slash
  const path = raw.replace(/%[0-9a-f]{2}/gi, (escaped) => {
    const character = String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
    return /[\w.~-]/.test(character) ? character : escaped.toUpperCase();
  });
  return /%([01][0-9A-F]|7F|5C|25(00|25|2E|2F|5C))/i.test(path) ? undefined : path;
}

const isPlain = (text: string): boolean => /^[\x21-\x7e]*$/.test(text) && !text.includes('#');

/**
 * Whether a method (in any case) on a normal path fits one of `matches` whose time is not over, or there are none.
 * @param now milliseconds since 1970
 */
export function allows(
  matches: readonly RouteMatch[],
  method: string,
  path: string,
  now: number,
  headers: RequestHeaders = {},
): boolean {
  const asked = method.toUpperCase();
  const fits = ({ methods, paths, headers: wanted = [], expiresAt }: RouteMatch) =>
    (expiresAt === undefined || Date.parse(expiresAt) > now) &&
    (methods.length === 0 || methods.some((name) => name.toUpperCase() === asked)) &&
    (paths.length === 0 || paths.some((rule) => pathFits(rule, path))) &&
    wanted.every((rule) => headerFits(rule, headers[rule.name]));
  return matches.length === 0 || matches.some(fits);
}

/** As an HTTP server holds them: one that came several times is a list, or one text. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** One that came several times fits nothing: which of them the upstream takes is for it to say. */
function headerFits({ type, value: wanted }: HeaderMatch, value: string | readonly string[] | undefined): boolean {
  if (typeof value !== 'string') return false;
  return type === 'exact' ? value === wanted : wholePattern(wanted).fits(value);
}

function pathFits({ type, value }: PathMatch, path: string): boolean {
  if (type === 'regex') return wholePattern(value).fits(path);
  const rule = normalPath(value);
  if (rule === undefined || type === 'exact') return path === rule;
  const prefix = rule.replace(/\/$/, '');
  return path === prefix || path.startsWith(`${prefix}/`);
}

function describe(matches: readonly RouteMatch[]): string {
  const rules = matches.map(({ methods, paths, headers = [] }) => {
    const where = paths.map(({ type, value }) => `${type} ${value}`).join(', ') || 'any path';
    const withHeaders = headers.length === 0 ? '' : ` with ${headers.map(({ name }) => name).join(', ')}`;
    return `${methods.join(',') || 'any method'} ${where}${withHeaders}`;
  });
  return `allowed: ${shown(rules.join('; ') || 'all but TRACE')}`;
}

const shown = (text: string): string => text.slice(0, MAX_SHOWN_LENGTH);

/**
 * What may be told of a route, to the agent too.
 * @param port where egress listens
 */
export function viewRoute(route: EgressRouteConfig, port: number): RouteView & { id: string } {
  const { id, upstream, matches, auth, expiresAt } = route;
  // A match without methods (or paths) takes any, and so does the route then.
  const union = <Value>(lists: Value[][]): Value[] => (lists.some((list) => list.length === 0) ? [] : lists.flat());
  return {
    id,
    url: `http://egress:${port}/${id}`,
    upstream: new URL(upstream).origin,
    methods: [...new Set(union(matches.map(({ methods }) => methods)))],
    paths: union(matches.map(({ paths }) => paths)),
    credential: auth !== null,
    expiresAt,
  };
}

/** One line of egress' log: the upstream answered 401 or 403 to the credential of `route`. */
export interface CredentialRefused {
  route: string;
  status: 401 | 403;
}

const REFUSED_EVENT = 'credential-refused';

export function credentialRefusedLine({ route, status }: CredentialRefused): string {
  return JSON.stringify({ event: REFUSED_EVENT, route, status });
}

/** The inverse, with or without the `[egress] ` that init writes before it; undefined for any other line. */
export function parseCredentialRefused(line: string): CredentialRefused | undefined {
  try {
    const { event, route, status } = JSON.parse(line.replace(/^\[egress\] /, '')) as Record<string, unknown>;
    if (event !== REFUSED_EVENT || typeof route !== 'string') return undefined;
    return status === 401 || status === 403 ? { route, status } : undefined;
  } catch {
    return undefined; // no JSON, or cut off by whoever split the log
  }
}
