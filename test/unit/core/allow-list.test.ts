import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalHost, decide, parseAllowEntry } from '../../../src/core/allow-list.ts';

const verdict = (entries: string[], host: string, port = 443) =>
  decide(entries.map(parseAllowEntry), host, port).verdict;

const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$/).filter((text) => !text.startsWith('xn--'));
const hostName = fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join('.'));
const port = fc.integer({ min: 1, max: 65_535 });
const anyCase = (text: string) =>
  fc
    .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map((upper) => [...text].map((letter, at) => (upper[at] === true ? letter.toUpperCase() : letter)).join(''));

describe('an entry that is a name', () => {
  test('allows that name on 80 and 443 only', () => {
    fc.assert(
      fc.property(hostName, port, (host, number) => {
        expect(verdict([host], host, number)).toBe(number === 80 || number === 443 ? 'allow' : 'deny');
      }),
    );
  });

  test('with a port allows that port only', () => {
    fc.assert(
      fc.property(hostName, port, port, (host, listed, asked) => {
        expect(verdict([`${host}:${listed}`], host, asked)).toBe(listed === asked ? 'allow' : 'deny');
      }),
    );
  });

  test('allows no other name: no name below it, around it, or beginning with it', () => {
    fc.assert(
      fc.property(hostName, hostName, (host, other) => {
        fc.pre(host !== other);
        expect(verdict([host], other)).toBe('deny');
        expect(verdict([host], `${other}.${host}`)).toBe('deny');
        expect(verdict([host], `${host}.${other}`)).toBe('deny');
        expect(verdict([host], `x${host}`)).toBe('deny');
      }),
    );
  });

  test('does not care for case or a trailing dot, on either side', () => {
    fc.assert(
      fc.property(
        hostName.chain((host) => fc.tuple(anyCase(host), anyCase(host))),
        fc.boolean(),
        fc.boolean(),
        ([listed, asked], dotListed, dotAsked) => {
          expect(verdict([listed + (dotListed ? '.' : '')], asked + (dotAsked ? '.' : ''))).toBe('allow');
        },
      ),
    );
  });

  test('is the same in punycode', () => {
    expect(verdict(['bücher.example'], 'xn--bcher-kva.example')).toBe('allow');
    expect(verdict(['xn--bcher-kva.example'], 'BÜCHER.example')).toBe('allow');
  });
});

describe('an entry that begins with *.', () => {
  test('allows every name below, not the name itself, nor one that merely ends alike', () => {
    fc.assert(
      fc.property(hostName, hostName, (host, below) => {
        expect(verdict([`*.${host}`], `${below}.${host}`)).toBe('allow');
        expect(verdict([`*.${host}`], host)).toBe('deny');
        expect(verdict([`*.${host}`], `x${host}`)).toBe('deny');
      }),
    );
  });
});

describe('addresses', () => {
  test('are refused unless listed themselves', () => {
    for (const address of ['127.0.0.1', '10.1.2.3', '192.0.2.7', '[::1]', '[2001:db8::7]']) {
      expect(verdict(['example.com', '*.com'], address)).toBe('deny');
      expect(verdict([address], address)).toBe('allow');
    }
  });

  test('are one address in every spelling', () => {
    for (const spelling of ['0x7f.1', '2130706433', '0177.0.0.1', '127.1', '127.0.0.1.']) {
      expect(canonicalHost(spelling)).toBe('127.0.0.1');
      expect(verdict(['127.0.0.2'], spelling)).toBe('deny');
      expect(verdict(['127.0.0.1'], spelling)).toBe('allow');
    }
    expect(verdict(['[2001:db8::7]:8080'], '[2001:0db8:0:0::0007]', 8080)).toBe('allow');
  });
});

describe('what is no host', () => {
  test.each([
    '',
    '.',
    'a..b',
    'a.b..',
    'a b',
    'a@b.test',
    'a/b',
    'a\\b',
    'a?b',
    'a#b',
    'a:1',
    '[::1',
    '[zz]',
    '%00',
    '256.1.1.1',
  ])('%j is denied whatever is listed', (host) => {
    expect(canonicalHost(host)).toBeUndefined();
    expect(verdict(['b.test', '*.test', 'a'], host)).toBe('deny');
  });

  test('never reaches the reason as it came: it is printable and short', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (host) => {
        expect(decide([], host, 443).host).toMatch(/^[\x21-\x7e]{0,253}$/);
      }),
    );
  });

  test('whatever is asked, nothing is allowed by an empty list', () => {
    fc.assert(
      fc.property(fc.string(), port, (host, number) => {
        expect(verdict([], host, number)).toBe('deny');
      }),
    );
  });
});

describe('the reason', () => {
  test('says that the domain, or only its port, is not listed', () => {
    const entries = [parseAllowEntry('example.com')];
    expect(decide(entries, 'Evil.test.', 443)).toEqual({
      verdict: 'deny',
      host: 'evil.test',
      reason: 'domain not in allowlist',
    });
    expect(decide(entries, 'example.com', 22)).toEqual({
      verdict: 'deny',
      host: 'example.com',
      reason: 'port 22 not in allowlist',
    });
  });
});

describe('reading entries', () => {
  test('"private" holds for the entry that has it and no other', () => {
    const entries = ['git.corp.test:3000 private', 'git.corp.test'].map(parseAllowEntry);
    expect(decide(entries, 'git.corp.test', 3000)).toMatchObject({ verdict: 'allow', private: true });
    expect(decide(entries, 'git.corp.test', 443)).toMatchObject({ verdict: 'allow', private: false });
  });

  test.each([
    ['a.test', false, false],
    ['a.test private', true, false],
    ['a.test tunnel', false, true],
    ['*.a.test:8443 private tunnel', true, true],
    ['[2001:db8::7] tunnel private', true, true],
  ])('%j: what stands after the host, in any order', (entry, isPrivate, tunnel) => {
    expect(parseAllowEntry(entry)).toMatchObject({ private: isPrivate, tunnel });
  });

  test('"tunnel" changes nothing of what may be reached', () => {
    const entries = ['a.test tunnel', '*.b.test:8443 tunnel'].map(parseAllowEntry);
    expect(decide(entries, 'a.test', 443)).toEqual({ verdict: 'allow', host: 'a.test', private: false });
    expect(decide(entries, 'a.test', 8443)).toMatchObject({ verdict: 'deny' });
    expect(decide(entries, 'x.b.test', 8443)).toMatchObject({ verdict: 'allow', private: false });
  });

  test.each([
    '',
    '*',
    '*.',
    '*.*.test',
    'a.*.test',
    'http://a.test',
    'a.test/path',
    'a.test:',
    'a.test:0',
    'a.test:65536',
    'u@a.test',
    '*.10.0.0.1',
    '::1',
    'a.test public',
    'a.test private private',
    'a.test tunnel tunnel',
    'a.test tunnel private tunnel',
    'a.test  tunnel',
    'a.test TUNNEL',
    'a.test tunnel:8443',
    'tunnel a.test',
    'egress',
    'EGRESS.:9099 private',
    '*.egress',
  ])('%j is refused and named in the message', (entry) => {
    expect(() => parseAllowEntry(entry)).toThrow(JSON.stringify(entry));
  });
});
