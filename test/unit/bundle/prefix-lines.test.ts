import { createInterface } from 'node:readline';
import { PassThrough, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { prefixLines } from '../../../src/bundle/prefix-lines.ts';

async function prefixed(chunks: readonly (string | Buffer)[]): Promise<string> {
  const input = new PassThrough();
  let output = '';
  prefixLines(input, 'x', (lines) => {
    output += lines;
  });
  for (const chunk of chunks) input.write(chunk);
  input.end();
  await finished(input);
  return output;
}

test('every line is prefixed once, however the output was cut into pieces', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.stringMatching(/^[a-zé\n]{0,6}$/)), async (chunks) => {
      const text = chunks.join('');
      const lines = text.split('\n');
      if (lines.at(-1) === '') lines.pop();
      expect(await prefixed(chunks.filter((chunk) => chunk !== ''))).toBe(
        lines.map((line) => `[x] ${line}\n`).join(''),
      );
    }),
  );
});

test('a character cut in two arrives whole', async () => {
  const bytes = Buffer.from('é\n');
  expect(await prefixed([bytes.subarray(0, 1), bytes.subarray(1)])).toBe('[x] é\n');
});

test('output without line ends is passed on in prefixed pieces, none of it lost', async () => {
  const output = await prefixed(['a'.repeat(20_000)]);
  expect(output.split('\n').every((line) => line === '' || line.startsWith('[x] a'))).toBe(true);
  expect(output.match(/a/g)?.length).toBe(20_000);
  expect(output.split('\n').length).toBeGreaterThan(2);
});

test.each(['\r', '\u2028', '\u2029'])(
  'what begins after %j is no line of its own, also for readers that take it for an end',
  async (end) => {
    const forged = '[init] status {"pipelock":"ready"}';
    const output = await prefixed([`said${end}${forged}\nmore`, end, forged]);
    const lines: string[] = [];
    for await (const line of createInterface({ input: Readable.from([output]) })) lines.push(line);
    expect(lines).toEqual([`[x] said ${forged}`, `[x] more ${forged}`]);
  },
);

test('a line end of two characters is one line end', async () => {
  expect(await prefixed(['a\r\nb\r\n'])).toBe('[x] a\n[x] b\n');
});
