import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { logReader } from '../../../src/host/log-lines.ts';

const AT = '2026-11-23T10:00:00.123456789Z';

function frame(content: string | Buffer, stream = 1): Buffer {
  const body = Buffer.from(content);
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}

/** What a reader makes of the bytes, handed over in pieces that end at `cuts`. */
function linesOf(bytes: Buffer, timed = false, cuts: number[] = []): { at: string; line: string }[] {
  const read = logReader(timed);
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const pieces = ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end));
  return [...pieces, undefined].flatMap((piece) => read(piece));
}

const texts = (bytes: Buffer): string[] => linesOf(bytes).map(({ line }) => line);

describe('lines of a log', () => {
  test('ten thousand frames in one chunk', () => {
    const all = Array.from({ length: 10_000 }, (_, index) => `[egress] line ${index}`);
    expect(texts(Buffer.concat(all.map((line) => frame(`${line}\n`))))).toEqual(all);
  });

  test('are the same wherever the bytes are cut', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => text.replace(/[\r\n]/g, ''));
    fc.assert(
      fc.property(fc.array(fc.tuple(line, fc.constantFrom(1, 2))), fc.array(fc.nat(5000)), (said, cuts) => {
        const bytes = Buffer.concat(said.map(([text, stream]) => frame(`${AT} ${text}\n`, stream)));
        expect(linesOf(bytes, true, cuts)).toEqual(said.map(([text]) => ({ at: AT, line: text })));
      }),
    );
  });

  test('end at a line feed, at nothing else', () => {
    expect(texts(frame('a\u2028b\u0085c\rd\r\n'))).toEqual(['a\u2028b\u0085c\rd']);
  });

  test('the Engine cuts a long line into messages, each with a time, in the midst of a character', () => {
    const long = Buffer.from(`${'ä'.repeat(10_000)}\n`);
    const pieces = [long.subarray(0, 16_383), long.subarray(16_383)].map((piece, index) =>
      frame(Buffer.concat([Buffer.from(`2026-11-23T10:00:0${index}Z `), piece])),
    );
    expect(linesOf(Buffer.concat(pieces), true)).toEqual([{ at: '2026-11-23T10:00:00Z', line: 'ä'.repeat(10_000) }]);
  });

  test('standard output and standard error have a line each under way', () => {
    const bytes = Buffer.concat([frame('half ', 1), frame('whole\n', 2), frame('done\n', 1)]);
    expect(texts(bytes)).toEqual(['whole', 'half done']);
  });

  test('what never ends its line comes in pieces', () => {
    const read = logReader(false);
    const piece = frame('x'.repeat(16_384));
    const lengths = Array.from({ length: 200 }, () => read(piece)).flatMap((lines) =>
      lines.map(({ line }) => line.length),
    );
    expect(lengths.length).toBe(3);
    expect(Math.max(...lengths)).toBeLessThan(2 * 1024 * 1024);
  });

  test('a last line without its end is a line', () => {
    expect(texts(Buffer.concat([frame('one\n'), frame('two')]))).toEqual(['one', 'two']);
  });
});
