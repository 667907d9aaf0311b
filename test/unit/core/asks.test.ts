import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ASK_LIMITS,
  ASK_METHODS,
  AskRefused,
  askKey,
  formatAskLine,
  parseAskLine,
  questionAsk,
  routeAsk,
} from '../../../src/core/asks.ts';
import type { AskedRequest } from '../../../src/core/requests.ts';

const REASON = 'the task needs it';
const route = (asked: Partial<Parameters<typeof routeAsk>[0]>) =>
  routeAsk({ host: 'api.example.com', reason: REASON, ...asked });

const AT = '2026-11-24T09:00:00.000Z';
const asRequest = (ask: AskedRequest['ask']): AskedRequest => ({ id: '0123abcd', ask, askedAt: AT });

/** Text with everything a terminal, a log or a JSON reader could stumble over. */
const hostileText = (maxLength: number) =>
  fc.string({
    unit: fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      fc.constantFrom(
        '\n',
        '\r',
        '\u001b[2J',
        '\u0000',
        '\u0085',
        '\u2028',
        '\u2029',
        '\u202e',
        '\u{e0041}',
        '"',
        '\\',
        '\ud800',
      ),
    ),
    maxLength,
  });

/** Any ask that is taken. */
const anyAsk = fc.oneof(
  fc
    .tuple(
      hostileText(400).filter((text) => isTaken(() => route({ reason: text }))),
      fc.subarray([...ASK_METHODS]),
      fc.option(fc.stringMatching(/^\/[a-z/%2]{0,40}$/)).filter((path) => isTaken(() => route({ pathPrefix: path }))),
    )
    .map(([reason, methods, pathPrefix]) => route({ reason, methods, pathPrefix })),
  fc
    .tuple(hostileText(800), fc.array(hostileText(90), { maxLength: 10 }))
    .filter(([question, options]) => isTaken(() => questionAsk({ question, options })))
    .map(([question, options]) => questionAsk({ question, options })),
);

function isTaken(ask: () => unknown): boolean {
  try {
    ask();
    return true;
  } catch (error) {
    if (error instanceof AskRefused) return false;
    throw error;
  }
}

describe('a way out', () => {
  test('is asked for in one spelling', () => {
    expect(
      routeAsk({
        host: 'API.Example.com.:8443',
        methods: ['post', 'GET', 'get'],
        pathPrefix: '/repos/me/',
        reason: ' because ',
      }),
    ).toEqual({
      kind: 'egress-route',
      host: 'api.example.com:8443',
      methods: ['GET', 'POST'],
      pathPrefix: '/repos/me/',
      reason: 'because',
    });
  });

  test('without methods and path is to the whole host, and so is one to /', () => {
    expect(route({})).toMatchObject({ methods: [], pathPrefix: null });
    expect(route({ pathPrefix: '/' })).toEqual(route({}));
    expect(route({ pathPrefix: null })).toEqual(route({}));
  });

  test('keeps 443 when it is named, since without a port 80 is meant as well', () => {
    expect(route({ host: 'example.com:443' }).host).toBe('example.com:443');
  });

  test('to an international name is to its punycode', () => {
    expect(route({ host: 'bücher.example' }).host).toBe('xn--bcher-kva.example');
  });

  test.each([
    '*.example.com',
    'example.com private',
    'example.com tunnel',
    'https://example.com',
    'example.com/path',
    'user@example.com',
    'example.com:0',
    'example.com:99999',
    'a b',
    'a\nb',
    '',
    '127.0.0.1',
    '0x7f.1',
    '2130706433',
    '169.254.169.254:80',
    '192.0.2.7',
    '[::1]:80',
    `${'a'.repeat(300)}.example`,
  ])('is refused to what is no plain host name: %j', (host) => {
    expect(() => route({ host })).toThrow(AskRefused);
  });

  test.each(['CONNECT', 'TRACE', 'FETCH', 'GET ', ''])('is refused with the method %j', (method) => {
    expect(() => route({ methods: ['GET', method] })).toThrow('methods can only be GET, HEAD,');
  });

  test.each([
    'repos/',
    '',
    '/a/../b',
    '/..',
    '/a..b',
    '/%2e%2e/x',
    '/.%2E/x',
    '/%',
    '/a?b=1',
    '/a#b',
    '/a b',
    '/a\\b',
    '/a\nb',
    '/é',
    `/${'a'.repeat(500)}`,
  ])('is refused below the path %j', (pathPrefix) => {
    expect(() => route({ pathPrefix })).toThrow(AskRefused);
  });

  test('may be asked for below the longest path', () => {
    const pathPrefix = `/${'a'.repeat(499)}`;
    expect(route({ pathPrefix }).pathPrefix).toBe(pathPrefix);
  });

  test('needs a reason, of no more than 500 characters', () => {
    expect(() => route({ reason: ' \n ' })).toThrow('reason is empty');
    expect(route({ reason: 'x'.repeat(500) }).reason).toHaveLength(500);
    expect(() => route({ reason: 'x'.repeat(501) })).toThrow('reason is longer than 500 characters');
  });
});

describe('a question', () => {
  test('keeps its options in order, each once', () => {
    expect(questionAsk({ question: ' which? ', options: ['b', ' a', 'b '] })).toEqual({
      kind: 'question',
      question: 'which?',
      options: ['b', 'a'],
    });
    expect(questionAsk({ question: 'which?' }).options).toEqual([]);
  });

  test('is refused when it is empty or too long, or its options are', () => {
    expect(() => questionAsk({ question: '\u200b' })).toThrow('question is empty');
    expect(() => questionAsk({ question: 'x'.repeat(2001) })).toThrow('question is longer than 2000 characters');
    expect(() => questionAsk({ question: 'x', options: [''] })).toThrow('option is empty');
    expect(() => questionAsk({ question: 'x', options: ['x'.repeat(101)] })).toThrow('option is longer than 100');
    expect(() => questionAsk({ question: 'x', options: [...'abcdefghijk'] })).toThrow('at most 10 options');
  });

  test('loses what could move a cursor, end a line, or hide or reorder text', () => {
    const question = 'a\r\nb\u001b[31mc\u2028d\u202ee\u{e0041}f\u0085g\u0000\u009bh';
    expect(questionAsk({ question }).question).toBe('a b [31mc d e f g h');
  });

  test('keeps markup and all scripts, as they are only text', () => {
    const question = '<b>**[x](http://y)**</b> `rm -rf` 你好 שלום 👍 é';
    expect(questionAsk({ question }).question).toBe(question);
  });
});

describe('two asks', () => {
  test('are the same whatever their reason and spelling', () => {
    const one = route({ host: 'a.example', methods: ['GET', 'POST'], reason: 'one' });
    const other = route({ host: 'A.EXAMPLE.', methods: ['post', 'get', 'get'], reason: 'other' });
    expect(askKey(other)).toBe(askKey(one));
  });

  test('are not the same when anything else differs', () => {
    const asks = [
      route({}),
      route({ host: 'api.example.com:443' }),
      route({ methods: ['GET'] }),
      route({ methods: ['GET', 'POST'] }),
      route({ pathPrefix: '/a' }),
      route({ pathPrefix: '/a/' }),
      questionAsk({ question: 'api.example.com' }),
      questionAsk({ question: 'a', options: ['b', 'c'] }),
      questionAsk({ question: 'a', options: ['b,c'] }),
      questionAsk({ question: 'a","b' }),
    ];
    expect(new Set(asks.map(askKey)).size).toBe(asks.length);
  });
});

describe('the line for the host', () => {
  test('is read back as it was written', () => {
    fc.assert(
      fc.property(anyAsk, (ask) => {
        expect(parseAskLine(formatAskLine(asRequest(ask)))).toEqual(asRequest(ask));
      }),
    );
  });

  test('is one line of printable characters, whatever is in it', () => {
    fc.assert(
      fc.property(hostileText(200), (text) => {
        // Not through questionAsk: the line must hold by itself.
        const line = formatAskLine(asRequest({ kind: 'question', question: text, options: [text] }));
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
        expect(JSON.parse(line.slice('request '.length)).ask.question).toBe(text);
      }),
    );
  });

  test.each([
    ['quotes', '"'],
    ['backslashes', '\\'],
    ['three-byte characters', '漢'],
    ['control characters', '\u0001x'],
    ['halves of characters', '\ud83d'],
  ])('is short enough for every log on its way, of the longest question full of %s', (_what, filling) => {
    const fill = (length: number) => filling.repeat(length).slice(0, length);
    const options = Array.from({ length: ASK_LIMITS.options }, (_, at) => `${at}${fill(ASK_LIMITS.option - 1)}`);
    const line = formatAskLine(asRequest(questionAsk({ question: fill(ASK_LIMITS.question), options })));
    expect(line.length).toBeLessThan(8000); // init passes on lines of up to 8192 characters in one piece
    expect(new TextEncoder().encode(line).length).toBeLessThan(16_000); // and Docker's log 16 KiB
    expect(parseAskLine(line)).toBeDefined();
  });

  test('is taken without what does not belong to it', () => {
    const line = `request ${JSON.stringify({
      id: '0123abcd',
      state: 'approved',
      ask: { ...route({}), extra: 1, __proto__: { x: 1 } },
      askedAt: AT,
    })}`;
    expect(parseAskLine(line)).toEqual(asRequest(route({})));
  });

  test('is taken in canonical form, whoever wrote it', () => {
    const ask = { kind: 'egress-route', host: 'EXAMPLE.com', methods: ['get'], pathPrefix: '/', reason: 'a\nb' };
    expect(parseAskLine(`request ${JSON.stringify({ id: '0123abcd', ask, askedAt: AT })}`)?.ask).toEqual(
      route({ host: 'example.com', methods: ['GET'], reason: 'a b' }),
    );
  });

  const good = { id: '0123abcd', ask: questionAsk({ question: 'which?' }), askedAt: AT };
  const goodRoute = { ...good, ask: route({}) };

  test.each<[string, unknown]>([
    ['an id that is none', { ...good, id: '../../x' }],
    ['an id that is too short', { ...good, id: 'abc' }],
    ['an id that is too long', { ...good, id: 'a'.repeat(65) }],
    ['no id', { ...good, id: undefined }],
    ['a time that is none', { ...good, askedAt: 'now' }],
    ['a question of another kind', { ...good, ask: { kind: 'root-shell', question: 'x', options: [] } }],
    ['a question that is too long', { ...good, ask: { ...good.ask, question: 'x'.repeat(2001) } }],
    ['too many options', { ...good, ask: { ...good.ask, options: [...'abcdefghijk'] } }],
    ['options that are no texts', { ...good, ask: { ...good.ask, options: [1] } }],
    ['a wildcard', { ...goodRoute, ask: { ...goodRoute.ask, host: '*.example.com' } }],
    ['a private host', { ...goodRoute, ask: { ...goodRoute.ask, host: 'example.com private' } }],
    ['a method that is none', { ...goodRoute, ask: { ...goodRoute.ask, methods: ['BREW'] } }],
    ['a path with ..', { ...goodRoute, ask: { ...goodRoute.ask, pathPrefix: '/../x' } }],
    ['a reason that is too long', { ...goodRoute, ask: { ...goodRoute.ask, reason: 'x'.repeat(501) } }],
    ['no word of the path', { ...goodRoute, ask: { ...goodRoute.ask, pathPrefix: undefined } }],
    ['no word of the methods', { ...goodRoute, ask: { ...goodRoute.ask, methods: undefined } }],
    ['no ask', { ...good, ask: null }],
    ['no reason', { ...goodRoute, ask: { ...goodRoute.ask, reason: undefined } }],
    ['a list', [good]],
    ['null', null],
  ])('is not taken with %s', (_what, value) => {
    expect(parseAskLine(`request ${JSON.stringify(value)}`)).toBeUndefined();
  });

  test('is not taken cut off, run together with another, or in a line of another kind', () => {
    const line = formatAskLine(good);
    expect(parseAskLine(line)).toEqual(good);
    expect(parseAskLine(line.slice(0, -1))).toBeUndefined();
    expect(parseAskLine(line + line)).toBeUndefined();
    expect(parseAskLine(` ${line}`)).toBeUndefined();
    expect(parseAskLine(line.replace('request', 'Request'))).toBeUndefined();
    expect(parseAskLine(`request ${' '.repeat(9000)}${line.slice(8)}`)).toBeUndefined();
    expect(parseAskLine('')).toBeUndefined();
  });

  test('never makes reading fail', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(parseAskLine(`request ${text}`)).toBeUndefined();
      }),
    );
  });
});
