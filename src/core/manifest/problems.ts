/** What is wrong with a manifest, in words and with its place: from what zod found to what a person reads. */
import { closest, distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { FURTHER_CLAUDE_CODE_KEYS } from './agent-schema.ts';
import { pathText, quoted } from './key-path.ts';
import { type ManifestKind, olderKey, olderValue } from './older-keys.ts';

export interface Position {
  /** From 1. */
  line: number;
  column: number;
}

/** One thing wrong, or (a note) read but not followed. */
export interface Problem {
  severity: 'error' | 'note';
  file: string;
  position: Position | null;
  /** As {@link pathText} writes it; empty for the whole file. */
  key: string;
  message: string;
}

/** `file:line:column: key: message`, as compilers and editors have it. */
export function problemText({ file, position, key, message }: Problem): string {
  const place = position === null ? file : `${file}:${position.line}:${position.column}`;
  return key === '' ? `${place}: ${message}` : `${place}: ${key}: ${message}`;
}

/** Problem of a file whose places are not known yet. */
export interface Finding {
  path: readonly PropertyKey[];
  /** The key itself is at fault, not its value. */
  atKey: boolean;
  message: string;
}

/** Nobody reads more, and each is looked for in the file. */
const MOST_ISSUES = 200;

/** Every finding of a failed parse, in the order of the file's schema. */
export function findings(kind: ManifestKind, schema: z.ZodType, input: unknown, error: z.ZodError): Finding[] {
  const all = error.issues.slice(0, MOST_ISSUES).flatMap((issue) => ofIssue(kind, schema, input, issue));
  // Two rules of one value may say the same of it.
  return [...new Map(all.map((each) => [`${pathText(each.path)}\n${each.message}`, each])).values()];
}

/** As a person comes upon them: file by file, from the top. */
export function inOrder(problems: readonly Problem[]): Problem[] {
  const files = [...new Set(problems.map(({ file }) => file))];
  const rank = ({ file, position }: Problem): [number, number, number] => [
    files.indexOf(file),
    position?.line ?? 0,
    position?.column ?? 0,
  ];
  return problems.toSorted((one, other) => {
    const [a, b] = [rank(one), rank(other)];
    return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
  });
}

function ofIssue(kind: ManifestKind, schema: z.ZodType, input: unknown, issue: z.core.$ZodIssue): Finding[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, path, input);
    return issue.keys.slice(0, MOST_ISSUES).map((key) => ({
      path: [...path, key],
      atKey: true,
      message: olderKey(kind, [...path, key]) ?? unknownKey(key, known),
    }));
  }
  // What the key should have been is in the issue within.
  if (issue.code === 'invalid_key') return [{ path, atKey: true, message: issue.issues[0]?.message ?? issue.message }];
  const value = valueAt(input, path);
  const older = olderValue(kind, path, value);
  if (older !== undefined) return [{ path, atKey: false, message: older }];
  // Of the alternatives that a value could have been, the one that is of its kind knows best what is wrong with it.
  if (issue.code === 'invalid_union') {
    const inner = issue.errors.find((issues) =>
      issues.every(({ path: within, code }) => within.length > 0 || code === 'too_big' || code === 'too_small'),
    );
    if (inner !== undefined && inner.length > 0)
      return inner.flatMap((each) => ofIssue(kind, schema, input, { ...each, path: [...path, ...each.path] }));
  }
  return [{ path, atKey: false, message: messageOf(issue, value) }];
}

function messageOf(issue: z.core.$ZodIssue, value: unknown): string {
  const plain =
    issue.code === 'invalid_type' && issue.expected === 'object' ? 'expected key: value pairs' : issue.message;
  if (value === undefined) return `${plain}, but it is missing`;
  if (issue.code === 'invalid_value' && typeof value === 'string')
    return `${plain}, got ${short(value)}${suggestion(value, issue.values.map(String))}`;
  if (issue.code === 'invalid_type' && issue.expected === 'boolean' && typeof value === 'string')
    return `${plain}, got text${TRUTH.get(value.toLowerCase()) ?? ''}`;
  if (issue.code === 'invalid_type' && issue.expected === 'int' && typeof value === 'number')
    return `${plain}, got ${value}`;
  if (issue.code === 'invalid_type' || issue.code === 'invalid_union' || issue.code === 'invalid_value')
    return `${plain}, got ${kindOf(value)}`;
  return plain;
}

/** Words that older YAML took for these. */
const TRUTH: ReadonlyMap<string, string> = new Map([
  ...['yes', 'on', 'y', 'true'].map((word) => [word, '; did you mean true?'] as const),
  ...['no', 'off', 'n', 'false'].map((word) => [word, '; did you mean false?'] as const),
]);

/** What kind of thing it is: never the thing itself, which may be a secret in the wrong place. */
function kindOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'key: value pairs';
  return { string: 'text', number: 'a number', boolean: String(value) }[typeof value as 'string'] ?? 'something else';
}

function unknownKey(key: string, known: readonly string[]): string {
  const like = suggestion(key, known);
  if (like !== '') return `unknown key${like}`;
  return known.length === 0 ? 'unknown key' : `unknown key (known: ${known.join(', ')})`;
}

/** `did you mean x?` when one of the known words is near enough. */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0 || word.length > 60) return undefined;
  const plain = word.toLowerCase().replaceAll('_', '-');
  const same = known.find((each) => each.toLowerCase().replaceAll('_', '-') === plain);
  const best = same ?? closest(word.toLowerCase(), [...known]);
  const near = same !== undefined || distance(word.toLowerCase(), best.toLowerCase()) <= Math.ceil(best.length / 3);
  return near ? `did you mean ${best}?` : undefined;
}

/** {@link didYouMean} as the end of a message; else nothing. */
export function suggestion(word: string, known: readonly string[]): string {
  const like = didYouMean(word, known);
  return like === undefined ? '' : `; ${like}`;
}

const short = (text: string): string => quoted(text.length > 40 ? `${text.slice(0, 39)}…` : text);

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, part) => {
    const own = typeof value === 'object' && value !== null && Object.hasOwn(value, part);
    return own ? (value as Record<PropertyKey, unknown>)[part] : undefined;
  }, input);
}

interface JsonSchema {
  const?: unknown;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | false;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
}

/** Made once: it is asked for at each key that is not known. */
const inputSchemas = new WeakMap<z.ZodType, JsonSchema>();

function inputSchema(schema: z.ZodType): JsonSchema {
  const made =
    inputSchemas.get(schema) ?? (z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema);
  inputSchemas.set(schema, made);
  return made;
}

/**
 * The keys that may stand at a place of a schema; nothing where any may.
 * @param input what was written, where it says which of several things it is
 */
export function knownKeys(schema: z.ZodType, path: readonly PropertyKey[], input?: unknown): string[] {
  let places: JsonSchema[] = [inputSchema(schema)];
  let value = input;
  for (const part of path) {
    places = places
      .flatMap((place) => alternatives(place, value))
      .flatMap((place) => {
        const { properties = {}, additionalProperties, items } = place;
        const own = Object.hasOwn(properties, part) ? properties[part as string] : undefined;
        return [own, additionalProperties === false ? undefined : additionalProperties, items].flatMap(
          (each) => each ?? [],
        );
      });
    value = valueAt(value, [part]);
  }
  const keys = places
    .flatMap((place) => alternatives(place, value))
    .flatMap(({ properties = {} }) => Object.keys(properties));
  return [...new Set(keys)].filter((key) => !UNSAID.has(key));
}

/** All that a value could be; where a word in it says which (`provider: token`), only that. */
function alternatives(place: JsonSchema, value: unknown): JsonSchema[] {
  const options = [...(place.anyOf ?? []), ...(place.oneOf ?? [])].filter((option) =>
    Object.entries(option.properties ?? {}).every(([key, { const: word }]) => {
      const said = valueAt(value, [key]);
      return word === undefined || said === undefined || said === word;
    }),
  );
  return [place, ...options.flatMap((option) => alternatives(option, value))];
}

/** Accepted, but nothing to propose to anybody. */
const UNSAID: ReadonlySet<string> = new Set(FURTHER_CLAUDE_CODE_KEYS);
