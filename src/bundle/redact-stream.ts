/** Takes secrets out of what an upstream answers, as it streams past. */
import { Transform } from 'node:stream';

const MARK = '[credential]';
/** Shorter ones would take ordinary words out of answers. */
const MIN_SECRET_LENGTH = 8;

export interface Redactor {
  /** A header's value, as Node reads headers (a character a byte). */
  text(value: string): string;
  /** For one body. Holds back only bytes that could be the beginning of a secret. */
  stream(): Transform;
}

/** Replaces every occurrence of the secrets, the longest where several begin; undefined when there is nothing to hide. */
export function redactorOf(secrets: readonly string[]): Redactor | undefined {
  // A character a byte, so that a secret is found wherever a chunk cuts through it, in text and binary alike.
  const needles = secrets
    .filter(({ length }) => length >= MIN_SECRET_LENGTH)
    .map((secret) => Buffer.from(secret).toString('latin1'))
    .sort((a, b) => b.length - a.length);
  const longest = needles[0]?.length ?? 0;
  if (longest === 0) return undefined;
  const pattern = new RegExp(needles.map((needle) => needle.replace(/\W/g, escapeCharacter)).join('|'), 'g');
  const text = (value: string): string => value.replaceAll(pattern, MARK);

  /** Where the longest end of `data` begins that more bytes could make a secret; its length when there is none. */
  function openEnd(data: string, from: number): number {
    for (let at = Math.max(from, data.length - longest + 1); at < data.length; at++) {
      const end = data.slice(at);
      if (needles.some((needle) => needle.length > end.length && needle.startsWith(end))) return at;
    }
    return data.length;
  }

  /** Splits `data` into what is settled, without its secrets, and what is held back. */
  function settle(data: string): [settled: string, held: string] {
    let settled = '';
    let at = 0;
    let end = openEnd(data, 0);
    for (const { 0: secret, index } of data.matchAll(pattern)) {
      if (index >= end) break; // perhaps only the beginning of a longer one
      settled += data.slice(at, index) + MARK;
      at = index + secret.length;
      if (at > end) end = openEnd(data, at);
    }
    return [settled + data.slice(at, end), data.slice(end)];
  }

  function stream(): Transform {
    let held = '';
    return new Transform({
      transform(chunk: Buffer, _encoding, done) {
        const [settled, rest] = settle(held + chunk.toString('latin1'));
        held = rest;
        done(null, Buffer.from(settled, 'latin1'));
      },
      flush(done) {
        done(null, Buffer.from(text(held), 'latin1'));
      },
    });
  }

  return { text, stream };
}

const escapeCharacter = (character: string): string => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
