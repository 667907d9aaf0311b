import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { eachLine } from '../../../src/bundle/each-line.ts';

async function linesOf(chunks: readonly Buffer[]): Promise<string[]> {
  const input = new PassThrough();
  const lines: string[] = [];
  eachLine(input, (line) => lines.push(line));
  for (const chunk of chunks) input.write(chunk);
  input.end();
  await finished(input);
  return lines;
}

/** The bytes of a text, cut into pieces of these lengths again and again. */
function cut(text: string, lengths: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const pieces: Buffer[] = [];
  for (let at = 0, n = 0; at < bytes.length; n += 1) {
    const length = lengths[n % lengths.length] as number;
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

test('any JSON comes out as it went in, a line each, however it was cut into pieces', async () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 });
  const text = fc.string({
    unit: fc.constantFrom('a', 'é', '\n', '\r', '\u2028', '\u2029', '\u0085', '\ud83d\ude00', '"'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(text), lengths, async (values, sizes) => {
      const lines = await linesOf(cut(values.map((value) => `${JSON.stringify(value)}\n`).join(''), sizes));
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(values);
    }),
  );
});

test('what has no end yet is not a line', async () => {
  expect(await linesOf([Buffer.from('a\nb')])).toEqual(['a']);
});
