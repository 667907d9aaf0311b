/** References to secrets: what a manifest, a plan and a history hold in place of the secret itself. */
import { z } from 'zod';
import { parseDuration } from './duration.ts';

/**
 * One line of text:
 * - `env:NAME`, a variable of the host's worker
 * - `file:/absolute/path` or `file:~/path` below the home directory; `#name.name` after it takes one text out of a
 *   file that is JSON
 * - `command:["program","argument"]`, what a program prints; `command(30s):[...]` gives it another time than 10s
 * - `keychain:service/account` or `keychain:service`, an item of the keychain of whoever runs the worker
 *
 * It is kept and shown as it stands, a command with its arguments, so none of them may be a secret.
 */
export type SecretRef = string;

export type ParsedSecretRef =
  | { kind: 'env'; name: string }
  | { kind: 'file'; path: string /** `name.name`, from the top of the JSON in the file. */; key?: string }
  | { kind: 'command'; argv: readonly string[]; timeoutMs: number }
  | { kind: 'keychain'; service: string; account?: string };

/** What a person may write where a secret is wanted, for messages. */
export const SECRET_REF_FORMS =
  'NAME, env:NAME, file:/path, file:/path#key, command:["program", ...] or keychain:service/account';

const DEFAULT_TIMEOUT_MS = 10_000;
const LONGEST_TIMEOUT_MS = 5 * 60_000;

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Credentials that are spelled like a variable: one that was put where its name belongs would be kept for ever. */
const PASTED = /^(?:gh[a-z]|github_pat|glpat|hf|npm|pypi|sk|sk_live|sk_test)_[A-Za-z0-9_]{30,}$/;
const KEY = /^[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*$/;
/** The end of a path that would be read as a key, with any number of `#` after it. */
const KEY_LIKE_END = /#[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*#*$/;
/** Whatever ends a line, or is not seen when a reference is shown. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}]/u;

/**
 * Reads one reference; a bare name is a variable, as in the original's `token_ref`.
 *
 * Of a file, what follows the last `#` is a key when it is names joined by dots (`tokens.access_token`, the first no
 * number); any other `#` belongs to the path. A path that itself ends like that is written with one more `#` behind
 * it: `file:/run/key#old#` is the file `/run/key#old`.
 * @returns undefined when it is none
 */
export function parseSecretRef(text: string): ParsedSecretRef | undefined {
  if (VARIABLE.test(text)) return PASTED.test(text) ? undefined : { kind: 'env', name: text };
  const [, kind, time, rest = ''] = /^(env|file|command|keychain)(?:\(([^()]*)\))?:(.+)$/.exec(text) ?? [];
  if (kind === 'command') return command(jsonOf(rest), time);
  if (time !== undefined) return undefined;
  if (kind === 'env') return variable(rest);
  if (kind === 'file') return fileFrom(rest);
  return kind === 'keychain' ? keychainFrom(rest) : undefined;
}

/** The one spelling of a reference; what is no reference stays as it is. */
export function canonicalSecretRef(text: string): SecretRef {
  const parsed = parseSecretRef(text);
  return parsed === undefined ? text : spell(parsed);
}

const MAP_FORM = z.union([
  z.strictObject({ env: z.string() }).transform(({ env }) => variable(env)),
  z.strictObject({ file: z.string(), key: z.string().optional() }).transform(({ file: path, key }) => file(path, key)),
  z
    .strictObject({ command: z.unknown(), timeout: z.string().optional() })
    .transform(({ command: argv, timeout }) => command(argv, timeout)),
  z
    .strictObject({ keychain: z.strictObject({ service: z.string(), account: z.string().optional() }) })
    .transform(({ keychain: { service, account } }) => keychain(service, account)),
]);

/**
 * The reference that a person wrote, as text or as a map: `{env: NAME}`, `{file: path, key: a.b}`,
 * `{command: [program, argument], timeout: 30s}`, `{keychain: {service, account}}`. In a map a path is only a path,
 * whatever `#` is in it.
 * @returns its one spelling; undefined when it is none
 */
export function secretRefFrom(value: unknown): SecretRef | undefined {
  const parsed = typeof value === 'string' ? parseSecretRef(value) : MAP_FORM.safeParse(value).data;
  return parsed === undefined ? undefined : spell(parsed);
}

function spell(reference: ParsedSecretRef): SecretRef {
  switch (reference.kind) {
    case 'env':
      return `env:${reference.name}`;
    case 'file': {
      const { path, key } = reference;
      if (key !== undefined) return `file:${path}#${key}`;
      return KEY_LIKE_END.test(path) ? `file:${path}#` : `file:${path}`;
    }
    case 'command': {
      const { argv, timeoutMs } = reference;
      const time = timeoutMs === DEFAULT_TIMEOUT_MS ? '' : `(${timeoutMs / 1000}s)`;
      return `command${time}:${JSON.stringify(argv).replace(/[\x7f-\x9f\u2028\u2029]/g, escaped)}`;
    }
    case 'keychain': {
      const service = reference.service.replaceAll('%', '%25').replaceAll('/', '%2F');
      return `keychain:${service}${reference.account === undefined ? '' : `/${reference.account.replaceAll('%', '%25')}`}`;
    }
  }
}

function variable(name: string): ParsedSecretRef | undefined {
  return VARIABLE.test(name) ? { kind: 'env', name } : undefined;
}

function fileFrom(text: string): ParsedSecretRef | undefined {
  const [ending] = KEY_LIKE_END.exec(text) ?? [];
  if (ending === undefined) return file(text);
  if (ending.endsWith('#')) return file(text.slice(0, -1));
  return file(text.slice(0, -ending.length), ending.slice(1));
}

function file(path: string, key?: string): ParsedSecretRef | undefined {
  if (!/^~?\//.test(path) || UNPRINTABLE.test(path)) return undefined;
  if (key === undefined) return { kind: 'file', path };
  return KEY.test(key) ? { kind: 'file', path, key } : undefined;
}

/** A program by its name on the worker's PATH or by an absolute path (or one below `~/`), and its arguments. */
const ARGV = z.tuple([z.string().min(1)], z.string()).refine((argv) => argv.every((argument) => !/\0/.test(argument)));

function command(value: unknown, time?: string): ParsedSecretRef | undefined {
  const argv = ARGV.safeParse(value).data;
  const timeoutMs = time === undefined ? DEFAULT_TIMEOUT_MS : parseDuration(time);
  if (argv === undefined || timeoutMs === undefined || timeoutMs > LONGEST_TIMEOUT_MS) return undefined;
  return { kind: 'command', argv, timeoutMs };
}

/** The first `/` ends the service; `%2F` is a `/` within it, and `%25` is a `%`. */
function keychainFrom(text: string): ParsedSecretRef | undefined {
  const [, service = '', account] = /^([^/]*)(?:\/(.*))?$/.exec(text) ?? [];
  return keychain(unescaped(service), account === undefined ? undefined : unescaped(account));
}

function keychain(service: string, account?: string): ParsedSecretRef | undefined {
  if (service === '' || account === '' || UNPRINTABLE.test(`${service}${account ?? ''}`)) return undefined;
  return { kind: 'keychain', service, ...(account === undefined ? {} : { account }) };
}

const unescaped = (text: string): string =>
  text.replace(/%(2f|25)/gi, (_whole, code: string) => (code === '25' ? '%' : '/'));

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
