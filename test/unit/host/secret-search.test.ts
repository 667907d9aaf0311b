import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { searchFor } from '../../../src/host/secret-search.ts';

const TOKEN = 'ghx_hush/9+a"b c~Zqwertyuiopasdfghjklzxcvbnm0123456789';

const found = (secret: string, ...chunks: (string | Buffer)[]): ReadonlyMap<string, string | undefined> => {
  const search = searchFor(new Map([['env:TOKEN', secret]]));
  for (const chunk of chunks) search.take(Buffer.from(chunk));
  return search.found;
};
const inLines = (text: string, length: number): string => text.replace(new RegExp(`.{${length}}`, 'g'), '$&\n');

describe('a secret is found', () => {
  test.each([
    ['as it is', TOKEN],
    ['in JSON', JSON.stringify({ token: TOKEN })],
    ['in a query', `https://h.test/?${new URLSearchParams({ token: TOKEN })}`],
    ['in a path', `https://h.test/${encodeURIComponent(TOKEN)}`],
    ['in base64', Buffer.from(TOKEN).toString('base64')],
    ['in basic authentication', `Authorization: Basic ${Buffer.from(`me:${TOKEN}`).toString('base64')}`],
    ['in base64url', Buffer.from(`a${TOKEN}`).toString('base64url')],
    ['in lines of base64', inLines(Buffer.from(`TOKEN=${TOKEN}\nOTHER=1\n`).toString('base64'), 16)],
    ['in hex', Buffer.from(TOKEN).toString('hex')],
    ['in lines of hex, in capitals', inLines(Buffer.from(TOKEN).toString('hex').toUpperCase(), 20)],
  ])('%s, wherever the stream is cut', (_how, text) => {
    const bytes = Buffer.from(`before ${text} after`);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 5 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
        expect([...found(TOKEN, ...chunks).keys()]).toEqual(['env:TOKEN']);
      }),
      { numRuns: 50 },
    );
  });

  test('with the file that it is in, also when that began long before', () => {
    const [head, much] = ['\n==> /home/agent/work/.env <==\nA=1\n', 'x'.repeat(100_000)];
    expect(found(TOKEN, head, much, much, `\nTOKEN=${TOKEN}\n`, '\n==> /tmp/other <==\n').get('env:TOKEN')).toBe(
      '/home/agent/work/.env',
    );
    expect(found(TOKEN, `${head}${TOKEN}\n==> /tmp/other <==\n`).get('env:TOKEN')).toBe('/home/agent/work/.env');
    const lines = inLines(Buffer.from(TOKEN).toString('base64'), 8);
    expect(found(TOKEN, `${head}${lines}\n==> /tmp/other <==\n`, '\n==> /tmp/more <==\n').get('env:TOKEN')).toBe(
      '/home/agent/work/.env',
    );
    expect(found(TOKEN, TOKEN).get('env:TOKEN')).toBeUndefined();
  });

  test('that is short as it is only', () => {
    expect(found('s3cret', 'my s3cret').size).toBe(1);
    expect(found('s3cret', Buffer.from('s3cret').toString('base64')).size).toBe(0);
    expect(found('', 'anything').size).toBe(0);
  });
});

test('what is no secret is none, whatever it is', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 5 }), (chunks) => {
      expect(found(TOKEN, ...chunks.map((chunk) => Buffer.from(chunk))).size).toBe(0);
    }),
  );
  expect(found(TOKEN, TOKEN.slice(0, -1), '!').size).toBe(0);
});
