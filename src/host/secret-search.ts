/**
 * Looks for secrets in what a machine holds, as it streams by: as they are, and as the usual encodings write them (JSON,
 * percent, base64 at any place and in lines of any length, hex). Of a file, or a process, it remembers only that.
 */
import { base64Forms, hexForms, percentForms } from './scrub.ts';

/** Shorter ones are looked for as they are alone: their encoded forms would be in anything. */
const SHORTEST_ENCODED = 8;
/** What `head -v` writes before each file. */
const HEADER = /^==> ([^\n]*?) <==/;
const HEADER_BEGIN = '==> ';
const LONGEST_PATH = 4096;

export interface SecretSearch<Reference> {
  take(chunk: Buffer): void;
  /** Those that were seen, and in which file where one was named before. */
  readonly found: ReadonlyMap<Reference, string | undefined>;
}

interface Needles<Reference> {
  reference: Reference;
  /** Of a text as it is. */
  plain: string[];
  /** Of a text without its line ends, which encoders put in wherever they like. */
  encoded: string[];
}

/** @param secrets what is looked for, by what it is called */
export function searchFor<Reference>(secrets: ReadonlyMap<Reference, string>): SecretSearch<Reference> {
  const needles = [...secrets].flatMap(([reference, value]) => (value === '' ? [] : [needlesOf(reference, value)]));
  const longest = Math.max(
    0,
    ...needles.flatMap(({ plain, encoded }) => [...plain, ...encoded]).map(({ length }) => length),
  );
  const rest = Math.max(longest, LONGEST_PATH);
  const found = new Map<Reference, string | undefined>();
  let before = '';
  let beforeCompact = '';
  let file: string | undefined;

  return {
    found,
    take(chunk) {
      // Byte for byte, whatever they mean.
      const text = before + chunk.toString('latin1');
      const compact = beforeCompact + chunk.toString('latin1').replace(/[\r\n]+/g, '');
      for (const { reference, plain, encoded } of needles) {
        if (found.has(reference)) continue;
        const [at, atCompact] = [firstOf(plain, text), firstOf(encoded, compact)];
        if (at !== undefined) found.set(reference, fileAt(text, at) ?? file);
        else if (atCompact !== undefined) found.set(reference, fileAt(compact, atCompact) ?? file);
      }
      file = fileAt(text, text.length) ?? file;
      before = text.slice(-rest);
      beforeCompact = compact.slice(-rest);
    },
  };
}

function needlesOf<Reference>(reference: Reference, value: string): Needles<Reference> {
  const latin = (text: string): string => Buffer.from(text).toString('latin1');
  if (value.length < SHORTEST_ENCODED) return { reference, plain: [latin(value)], encoded: [] };
  const json = JSON.stringify(value).slice(1, -1);
  const plain = [...new Set([value, value.trim(), json, ...percentForms(value)])].filter((text) => text !== '');
  const encoded = [...new Set([...base64Forms(value).map(({ text }) => text), ...hexForms(value)])];
  return { reference, plain: plain.map(latin), encoded };
}

/** Where the first of some forms is in a text; undefined for nowhere. */
const firstOf = (forms: readonly string[], text: string): number | undefined =>
  forms.map((form) => text.indexOf(form)).find((index) => index !== -1);

/** The file whose header was the last one before a place in the text, which may be without line ends. */
function fileAt(text: string, at: number): string | undefined {
  const path = HEADER.exec(text.slice(Math.max(0, text.lastIndexOf(HEADER_BEGIN, at)), at))?.[1];
  return path === undefined ? undefined : Buffer.from(path, 'latin1').toString();
}
