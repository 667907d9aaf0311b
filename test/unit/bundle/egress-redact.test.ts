import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { redactorOf } from '../../../src/bundle/redact-stream.ts';

const MARK = '[credential]';
const SECRET = 'sk-abcabcabd-0123';

/** What comes out when the bytes go in as these chunks. */
async function through(secrets: string[], chunks: (string | Buffer)[]): Promise<Buffer> {
  const stream = redactorOf(secrets)?.stream();
  if (stream === undefined) throw new Error('nothing to hide');
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  return buffer(stream);
}

/** All ways to cut a text in three. */
function cuts(text: string): string[][] {
  const at = Array.from({ length: text.length + 1 }, (_, index) => index);
  return at.flatMap((a) => at.filter((b) => b >= a).map((b) => [text.slice(0, a), text.slice(a, b), text.slice(b)]));
}

describe('a secret in a body', () => {
  test('is replaced wherever two chunk boundaries cut it', async () => {
    for (const chunks of cuts(`<${SECRET}>`)) {
      expect(String(await through([SECRET], chunks)), chunks.join('|')).toBe(`<${MARK}>`);
    }
  });

  test('is replaced byte by byte, several times, and at the very end', async () => {
    const text = `${SECRET}${SECRET} sk-abcabc${SECRET}`;
    expect(String(await through([SECRET], [...text]))).toBe(`${MARK}${MARK} sk-abcabc${MARK}`);
  });

  test('is replaced as the longest one where one begins or holds another, however it is cut', async () => {
    const secrets = ['token-1234', 'Bearer token-1234', 'token-1234-long', 'oken-1234'];
    for (const chunks of cuts('token-1234-long,Bearer token-1234')) {
      expect(String(await through(secrets, chunks)), chunks.join('|')).toBe(`${MARK},${MARK}`);
    }
    for (const chunks of cuts('token-1234-lon')) {
      expect(String(await through(secrets, chunks)), chunks.join('|')).toBe(`${MARK}-lon`);
    }
  });

  test('comes out as if the whole body were looked at once, for any secrets, text and chunks', async () => {
    const letters = (min: number, max: number) =>
      fc.array(fc.constantFrom('a', 'b'), { minLength: min, maxLength: max }).map((list) => list.join(''));
    await fc.assert(
      fc.asyncProperty(
        fc.array(letters(8, 11), { minLength: 1, maxLength: 3 }),
        fc.array(letters(0, 15), { maxLength: 8 }),
        async (secrets, chunks) => {
          const whole = redactorOf(secrets)?.text(chunks.join(''));
          expect(String(await through(secrets, chunks))).toBe(whole);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('is found as bytes, and all other bytes stay what they are', async () => {
    const bytes = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256));
    expect(await through([SECRET], [bytes])).toEqual(bytes);
    expect(String(await through(['schlüssel-€'], [Buffer.from('x schlüssel-€ y')]))).toBe(`x ${MARK} y`);
    const special = 'a.b*c+d?(e)[f]{g}|h^$\\/-i';
    expect(String(await through([special], [`${special} axbxc`]))).toBe(`${MARK} axbxc`);
  });

  test('holds back only what could be the beginning of one', async () => {
    const stream = redactorOf([SECRET])?.stream();
    if (stream === undefined) throw new Error('nothing to hide');
    const written = (chunk: string) => {
      stream.write(chunk);
      return String(stream.read() ?? '');
    };
    expect(written('data: 1\n\n')).toBe('data: 1\n\n');
    expect(written('data: sk-abc')).toBe('data: ');
    expect(written('abcab')).toBe('');
    expect(written('x sk')).toBe('sk-abcabcabx ');
    stream.end();
    expect(String(await buffer(stream))).toBe('sk');
  });
});

test('a header loses its secrets too', () => {
  expect(redactorOf([SECRET])?.text(`Bearer ${SECRET}, ${SECRET}`)).toBe(`Bearer ${MARK}, ${MARK}`);
});

test('secrets shorter than 8 characters are no reason to look', () => {
  expect(redactorOf([])).toBeUndefined();
  expect(redactorOf(['', 'a', '1234567'])).toBeUndefined();
  expect(redactorOf(['1234567', '12345678'])?.text('1234567 12345678')).toBe(`1234567 ${MARK}`);
});
