/** YAML that a person wrote: its value, everything wrong with it, and where each key and value stands. */
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
} from 'yaml';
import type { Position, Problem } from '../../core/manifest/problems.ts';

export interface YamlText {
  /** Undefined when there are problems; an empty mapping when there is nothing. */
  value: unknown;
  problems: Problem[];
  /** Where a value (or, at `key`, its key) stands; that of the nearest thing around it when it is not there. */
  position(path: readonly PropertyKey[], at?: 'key' | 'value'): Position | null;
}

/**
 * Anchors and aliases are not read: what a value is should be seen where it stands, and a bomb of them costs memory.
 * @param linesBefore lines of the file before the text
 */
export function readYaml(file: string, text: string, linesBefore = 0): YamlText {
  const lines = new LineCounter();
  // The library's own count leaves out lines that a token runs over which should not be there.
  lines.lineStarts = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)];
  const place = (offset: number | undefined): Position | null => {
    if (offset === undefined) return null;
    const { line, col } = lines.linePos(offset);
    return { line: line + linesBefore, column: col };
  };
  const problem = (offset: number | undefined, message: string): Problem => {
    return { severity: 'error', file, position: place(offset), key: '', message };
  };
  let document: Document.Parsed;
  try {
    document = parseDocument(text, { uniqueKeys: false, stringKeys: true, prettyErrors: false });
  } catch (error) {
    // Its parser is recursive.
    if (!(error instanceof RangeError)) throw error;
    return { value: undefined, problems: [problem(0, 'is nested too deeply')], position: () => null };
  }
  const problems = [
    ...[...document.errors, ...document.warnings]
      .slice(0, MOST_ERRORS)
      .map(({ pos, code, message }) => problem(pos[0], `is not YAML: ${wording(code, message)}`)),
    ...protoKeys(document).map((offset) => problem(offset, 'a key cannot be __proto__')),
    ...doubles(document)
      .slice(0, MOST_ERRORS)
      .map((offset) => problem(offset, 'is not YAML: a key stands here twice')),
    ...references(document)
      .slice(0, 1)
      .map((offset) =>
        problem(offset, 'anchors and aliases (&, *, <<) are not read here: text that begins like one needs quotes'),
      ),
  ];
  const position: YamlText['position'] = (path, at = 'value') => place(offsetOf(document, path, at));
  if (problems.length > 0) return { value: undefined, problems, position };
  keepText(document.get('env'));
  try {
    return { value: document.toJS({ maxAliasCount: 0 }) ?? {}, problems, position };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { value: undefined, problems: [problem(0, 'is nested too deeply')], position };
  }
}

/** One bracket that is not closed can be said to be wrong a hundred times. */
const MOST_ERRORS = 5;

/** The library's words, where they are not for the person who wrote the file. */
function wording(code: string, message: string): string {
  if (code === 'NON_STRING_KEY') return 'a key must be text';
  if (code === 'MULTIPLE_DOCS') return 'a second document begins here';
  if (code === 'TAB_AS_INDENT') return 'a tab cannot indent: use spaces';
  if (message.includes('call stack')) return 'nested too deeply';
  if (message.startsWith('Flow')) return 'a [ or { is not closed';
  if (message.startsWith('Nested mappings')) return 'text with ": " in it needs quotes';
  // What may follow is of the file, and a secret perhaps.
  return message.split(/\n|: | at line |(?<=directive) %| \\/, 1)[0] ?? message;
}

/** What JavaScript takes for something else would be lost without a word. */
function protoKeys(document: Document.Parsed): number[] {
  const found: number[] = [];
  visit(document, {
    Pair: (_key, { key }) => {
      if (isScalar(key) && key.value === '__proto__') found.push(key.range?.[0] ?? 0);
    },
  });
  return found;
}

/** Keys that their mapping has already. The library's own search compares each with all: a minute for 30,000 keys. */
function doubles(document: Document.Parsed): number[] {
  const found: number[] = [];
  visit(document, {
    Map: (_key, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) found.push(key.range?.[0] ?? 0);
        seen.add(key.value);
      }
    },
  });
  return found;
}

/** Variables are text: `3.10` is no `3.1`, nor `007` a `7`. */
function keepText(variables: unknown): void {
  if (!isMap(variables)) return;
  for (const { value } of variables.items) {
    if (isScalar(value) && /number|boolean/.test(typeof value.value)) value.value = value.source ?? value.value;
  }
}

function references(document: Document.Parsed): number[] {
  const found: number[] = [];
  visit(document, {
    Node: (_key, node) => {
      const anchored = isAlias(node) || (isNode(node) && 'anchor' in node && node.anchor !== undefined);
      if (anchored) found.push(node.range?.[0] ?? 0);
    },
    Pair: (_key, { key }) => {
      if (isScalar(key) && key.value === '<<') found.push(key.range?.[0] ?? 0);
    },
  });
  return found;
}

function offsetOf(document: Document.Parsed, path: readonly PropertyKey[], at: 'key' | 'value'): number | undefined {
  let node: unknown = document.contents;
  let offset = startOf(node);
  for (const [index, part] of path.entries()) {
    if (!isCollection(node)) return offset;
    const pair = isMap(node)
      ? node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part))
      : undefined;
    const next =
      pair !== undefined ? pair.value : isSeq(node) && typeof part === 'number' ? node.items[part] : undefined;
    if (pair === undefined && next === undefined) return offset;
    const keyOffset = pair === undefined ? startOf(next) : startOf(pair.key);
    const last = index === path.length - 1;
    offset = last && at === 'key' ? (keyOffset ?? offset) : (startOf(next) ?? keyOffset ?? offset);
    node = next;
  }
  return offset;
}

const startOf = (node: unknown): number | undefined => (isNode(node) && !isPair(node) ? node.range?.[0] : undefined);
