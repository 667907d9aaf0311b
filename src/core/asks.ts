/**
 * What an agent may ask of its operator, in its one canonical form, and the log line that tells the host of it. Pure.
 * All of it is text of the agent's own, so it is capped and cannot end a line, move a cursor, or reorder or hide what a
 * person is shown.
 */
import { isAddress, parseAllowEntry } from './allow-list.ts';
import type { Ask, AskedRequest } from './requests.ts';

export type RouteAsk = Extract<Ask, { kind: 'egress-route' }>;
export type QuestionAsk = Extract<Ask, { kind: 'question' }>;

/** The methods a route may be asked for, in canonical order. */
export const ASK_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** The most characters (of `options`: entries) that is taken of each; more is refused, as half a question misleads. */
export const ASK_LIMITS = {
  host: 260,
  pathPrefix: 500,
  reason: 500,
  question: 2000,
  options: 10,
  option: 100,
} as const;

/** The start of the line that tells of a new request; JSON of {@link AskedRequest} follows. */
export const ASK_LINE_PREFIX = 'request ';

const ID = /^[0-9a-f]{8,64}$/;

/** Longer than any line of {@link formatAskLine}: about twice the limits, where every character needs a backslash. */
const MAX_LINE = 8192;

/** Line ends, escape sequences, direction marks, invisible characters (Unicode's Cc, Cf, Zl, Zp). */
const UNSHOWABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu;

/** A path as it stands in a request (RFC 3986, and what clients send besides): ASCII without space, `"`, `#`, `?`, `\`. */
const PATH = /^\/[!$->@-[\]-~]*$/;

/** An ask that cannot be put to the operator; the message says to the agent what to do instead. */
export class AskRefused extends Error {
  override readonly name = 'AskRefused';
}

/**
 * A way out to one host.
 * @param asked `methods` empty or absent: any; `pathPrefix` absent, null or `/`: any path
 * @throws AskRefused
 */
export function routeAsk(asked: {
  host: string;
  methods?: readonly string[] | undefined;
  pathPrefix?: string | null | undefined;
  reason: string;
}): RouteAsk {
  return {
    kind: 'egress-route',
    host: hostOf(asked.host),
    methods: methodsOf(asked.methods ?? []),
    pathPrefix: pathOf(asked.pathPrefix ?? '/'),
    reason: textOf('reason', asked.reason),
  };
}

/**
 * A question, with the answers that the agent proposes.
 * @throws AskRefused
 */
export function questionAsk(asked: { question: string; options?: readonly string[] | undefined }): QuestionAsk {
  const options = [...new Set((asked.options ?? []).map((option) => textOf('option', option)))];
  if (options.length > ASK_LIMITS.options) throw new AskRefused(`at most ${ASK_LIMITS.options} options can be given`);
  return { kind: 'question', question: textOf('question', asked.question), options };
}

/**
 * What makes two asks the same: everything but the reason, so that giving another reason is no new request. Equal keys
 * are equal asks; the id is derived from the key by whoever has a hash.
 */
export function askKey(ask: Ask): string {
  return JSON.stringify(
    ask.kind === 'egress-route'
      ? [ask.kind, ask.host, ask.methods, ask.pathPrefix]
      : [ask.kind, ask.question, ask.options],
  );
}

/** The line for the host, without its end: exactly one, whatever is in it. */
export function formatAskLine(request: AskedRequest): string {
  const json = JSON.stringify(request).replace(UNSHOWABLE, (run) =>
    run.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
  return ASK_LINE_PREFIX + json;
}

/**
 * The request that a line of supervise's own output tells of, or undefined for any other line and for one that does not
 * keep to every rule of asking. What comes back is canonical and within the limits, whoever wrote the line.
 */
export function parseAskLine(line: string): AskedRequest | undefined {
  if (!line.startsWith(ASK_LINE_PREFIX) || line.length > MAX_LINE) return undefined;
  try {
    const { id, ask, askedAt } = JSON.parse(line.slice(ASK_LINE_PREFIX.length)) as Unchecked<AskedRequest>;
    if (!isText(id) || !ID.test(id) || !isText(askedAt)) return undefined;
    const asked = askOf(ask);
    if (asked === undefined || new Date(askedAt).toISOString() !== askedAt) return undefined;
    return { id, ask: asked, askedAt };
  } catch {
    return undefined; // no JSON, no object, no time, or AskRefused
  }
}

/** What claims to be a `Told`: any of its fields may be missing or of another type. */
type Unchecked<Told> = { [Field in keyof Told]?: unknown };

function askOf(said: unknown): Ask | undefined {
  const { kind, host, methods, pathPrefix, reason, question, options } = said as Unchecked<
    Omit<RouteAsk, 'kind'> & QuestionAsk
  >;
  if (kind === 'egress-route' && isText(host) && areTexts(methods) && isTextOrNull(pathPrefix) && isText(reason)) {
    return routeAsk({ host, methods, pathPrefix, reason });
  }
  if (kind === 'question' && isText(question) && areTexts(options)) return questionAsk({ question, options });
  return undefined;
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value);
const areTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);

function textOf(what: 'reason' | 'question' | 'option', raw: string): string {
  const text = raw.toWellFormed().replace(UNSHOWABLE, ' ').trim();
  if (text === '') throw new AskRefused(`${what} is empty`);
  if (text.length > ASK_LIMITS[what]) throw new AskRefused(`${what} is longer than ${ASK_LIMITS[what]} characters`);
  return text;
}

/** No address: one is dialled without asking whether it is private, as whoever wrote it into an allow-list meant it. */
function hostOf(raw: string): string {
  const entry = raw.length > ASK_LIMITS.host ? undefined : entryOf(raw);
  if (entry === undefined || entry.below || entry.private || entry.tunnel || isAddress(entry.host)) {
    throw new AskRefused('host is not one host name: give api.example.com or api.example.com:8443, nothing around it');
  }
  return entry.ports.length === 1 ? `${entry.host}:${entry.ports[0]}` : entry.host;
}

function entryOf(raw: string): ReturnType<typeof parseAllowEntry> | undefined {
  try {
    return parseAllowEntry(raw);
  } catch {
    return undefined;
  }
}

function methodsOf(raw: readonly string[]): string[] {
  const asked = raw.map((method) => method.toUpperCase());
  if (!asked.every((method) => (ASK_METHODS as readonly string[]).includes(method))) {
    throw new AskRefused(`methods can only be ${ASK_METHODS.join(', ')}`);
  }
  return ASK_METHODS.filter((method) => asked.includes(method));
}

function pathOf(raw: string): string | null {
  if (raw.length > ASK_LIMITS.pathPrefix) {
    throw new AskRefused(`pathPrefix is longer than ${ASK_LIMITS.pathPrefix} characters`);
  }
  if (!PATH.test(raw) || !isUpright(raw)) {
    throw new AskRefused('pathPrefix must be a path such as /repos/me/: no "..", no query, the rest percent-encoded');
  }
  return raw === '/' ? null : raw;
}

/** Whether no spelling of `..` is in it, so that the path matched is the path meant. */
function isUpright(path: string): boolean {
  try {
    return !decodeURIComponent(path).includes('..');
  } catch {
    return false; // a % that encodes nothing
  }
}
