/** What the tools of supervise answer, in data and in words. Pure. */
import type { PathMatch, RouteView } from '../core/bundle-config.ts';
import type { Ask, RequestView } from '../core/requests.ts';

/** What `check_request` answers. */
export interface RequestAnswer {
  [key: string]: unknown;
  requestId: string;
  status: RequestView['state'];
  /** The operator's words: the answer to a question. */
  note: string | null;
  expiresAt: string | null;
  /** Where a granted route is reached. */
  url: string | null;
  /** What to do now. */
  next: string;
}

export function requestAnswer(request: RequestView, routes: readonly RouteView[]): RequestAnswer {
  const { id, state, note, expiresAt, ask } = request;
  const route = state === 'approved' && ask.kind === 'egress-route' ? routeFor(ask, routes) : undefined;
  return {
    requestId: id,
    status: state,
    note,
    expiresAt: state === 'approved' ? expiresAt : null,
    url: route?.url ?? null,
    next: nextStep(request, route),
  };
}

/** The same as a text for the model. */
export function inWords({ requestId, status, note, expiresAt, next }: RequestAnswer): string {
  return [
    `${requestId}: ${status}`,
    ...(note === null ? [] : [`The operator says: ${note}`]),
    ...(expiresAt === null ? [] : [`Until ${expiresAt}.`]),
    next,
  ].join('\n');
}

/** What is asked, in one line. */
export function summaryOf(ask: Ask): string {
  if (ask.kind === 'question') return `question: ${ask.question}`;
  const methods = ask.methods.length === 0 ? 'any method' : ask.methods.join(', ');
  return `route to ${ask.host} (${methods}, ${ask.pathPrefix ?? 'any path'})`;
}

/** A route in one line. */
export function routeLine({ url, methods, paths, credential, expiresAt }: RouteView): string {
  return [
    `${url} (${methods.length === 0 ? 'any method' : methods.join(', ')}`,
    paths.length === 0 ? 'any path' : paths.map(({ type, value }) => `${type} ${value}`).join(' or '),
    ...(credential ? ['a credential is put in for you'] : []),
    `${expiresAt === null ? 'no end' : `until ${expiresAt}`})`,
  ].join(', ');
}

/**
 * The route that lets through what was asked for: the one that was made for it before any wider one, so that a
 * grant without a credential is not taken for one with.
 */
function routeFor(ask: Ask & { kind: 'egress-route' }, routes: readonly RouteView[]): RouteView | undefined {
  const fitting = routes.filter(
    ({ upstream, url, methods, paths }) =>
      [upstream, url].some((address) => hostOf(address) === hostOf(`https://${ask.host}`)) &&
      (methods.length === 0 || (ask.methods.length > 0 && ask.methods.every((method) => methods.includes(method)))) &&
      (paths.length === 0 || paths.some((path) => covers(path, ask.pathPrefix))),
  );
  const made = ({ methods, paths, credential }: RouteView) =>
    methods.length === ask.methods.length && (paths.length === 0) === (ask.pathPrefix === null) && !credential;
  return fitting.find(made) ?? fitting[0];
}

/** Whether every path below `prefix` is let through; a prefix ends where a segment does. */
function covers({ type, value }: PathMatch, prefix: string | null): boolean {
  return type === 'prefix' && `${prefix ?? ''}/`.startsWith(value.endsWith('/') ? value : `${value}/`);
}

/** Host and port, the usual port left out; undefined for what is no address. */
function hostOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).host : undefined;
}

function nextStep({ state, ask }: RequestView, route: RouteView | undefined): string {
  switch (state) {
    case 'pending':
      return 'Nobody has decided yet. Go on with other work and check again later.';
    case 'denied':
      return 'The operator said no. Find another way; ask again only if something has changed.';
    case 'expired':
      return 'This is over. Ask again if you still need it.';
    case 'approved':
      if (ask.kind === 'question') return 'The question is answered.';
      return route === undefined ? 'Granted, but no route is in force for it: see list_routes.' : howToUse(route, ask);
  }
}

function howToUse({ url }: RouteView, { pathPrefix }: Ask & { kind: 'egress-route' }): string {
  return url.startsWith('https://')
    ? `Use ${url} as usual, through the proxy that is set in your environment.`
    : `Send plain HTTP requests to ${url}${pathPrefix ?? '/'}... through the proxy that is set in your environment ` +
        '(only the proxy knows the name in it); they go on by HTTPS.';
}
