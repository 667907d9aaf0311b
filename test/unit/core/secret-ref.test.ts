import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  canonicalSecretRef,
  type ParsedSecretRef,
  parseSecretRef,
  SECRET_REF_FORMS,
  secretRefFrom,
} from '../../../src/core/secret-ref.ts';

const command = (argv: string[], timeoutMs = 10_000): ParsedSecretRef => ({ kind: 'command', argv, timeoutMs });

describe('a reference', () => {
  test.each<[text: string, canonical: string, parsed: ParsedSecretRef]>([
    ['TOKEN', 'env:TOKEN', { kind: 'env', name: 'TOKEN' }],
    ['env:TOKEN', 'env:TOKEN', { kind: 'env', name: 'TOKEN' }],
    ['ghp_short', 'env:ghp_short', { kind: 'env', name: 'ghp_short' }],
    ['file:/run/key', 'file:/run/key', { kind: 'file', path: '/run/key' }],
    ['file:~/key', 'file:~/key', { kind: 'file', path: '~/key' }],
    ['file:/run/a key', 'file:/run/a key', { kind: 'file', path: '/run/a key' }],
    ['file:~/a.json#KEY', 'file:~/a.json#KEY', { kind: 'file', path: '~/a.json', key: 'KEY' }],
    ['file:/a#b.c_d.0', 'file:/a#b.c_d.0', { kind: 'file', path: '/a', key: 'b.c_d.0' }],
    ['file:/C#/a#b', 'file:/C#/a#b', { kind: 'file', path: '/C#/a', key: 'b' }],
    ['file:/a##b', 'file:/a##b', { kind: 'file', path: '/a#', key: 'b' }],
    // No names joined by dots, so it is all path.
    ['file:/C#/key', 'file:/C#/key', { kind: 'file', path: '/C#/key' }],
    ['file:/key#', 'file:/key#', { kind: 'file', path: '/key#' }],
    ['file:/key#1', 'file:/key#1', { kind: 'file', path: '/key#1' }],
    ['file:/key#a b', 'file:/key#a b', { kind: 'file', path: '/key#a b' }],
    ['file:/key#.env', 'file:/key#.env', { kind: 'file', path: '/key#.env' }],
    ['file:/key#a..b', 'file:/key#a..b', { kind: 'file', path: '/key#a..b' }],
    // One more # says so of what would be names.
    ['file:/key#old#', 'file:/key#old#', { kind: 'file', path: '/key#old' }],
    ['file:/key#old##', 'file:/key#old##', { kind: 'file', path: '/key#old#' }],
    ['command:["op","read","op://v/i"]', 'command:["op","read","op://v/i"]', command(['op', 'read', 'op://v/i'])],
    ['command: [ "op", "" ]', 'command:["op",""]', command(['op', ''])],
    ['command(10s):["op"]', 'command:["op"]', command(['op'])],
    ['command(1m):["op"]', 'command(60s):["op"]', command(['op'], 60_000)],
    ['command(5m):["op"]', 'command(300s):["op"]', command(['op'], 300_000)],
    ['command:["a","\\n\\u2028\\u007f"]', 'command:["a","\\n\\u2028\\u007f"]', command(['a', '\n\u2028\x7f'])],
    ['keychain:svc', 'keychain:svc', { kind: 'keychain', service: 'svc' }],
    ['keychain:my svc/me', 'keychain:my svc/me', { kind: 'keychain', service: 'my svc', account: 'me' }],
    ['keychain:svc/a/b', 'keychain:svc/a/b', { kind: 'keychain', service: 'svc', account: 'a/b' }],
    ['keychain:a%2fb%25/c%', 'keychain:a%2Fb%25/c%25', { kind: 'keychain', service: 'a/b%', account: 'c%' }],
  ])('%s is read as %s', (text, canonical, parsed) => {
    expect(parseSecretRef(text)).toEqual(parsed);
    expect(canonicalSecretRef(text)).toBe(canonical);
    expect(secretRefFrom(text)).toBe(canonical);
  });

  test.each([
    ...['', 'sk-ant-api03-x', 'A-B', 'vault:x', 'ENV:A', 'env(1s):A', 'file(1s):/a'],
    ...['env:', 'env:1A', 'env:A B', 'env:A\n', 'file:', 'file:relative', 'file:~me/x', 'file:/a\nb', 'file:/a\0'],
    ...['command:', 'command:op read', 'command:[]', 'command:["op"', 'command:"op"', 'command:{"a":1}'],
    ...['command:[1]', 'command:["op",1]', 'command:["op",null]', 'command:[""]', 'command:["a\\u0000"]'],
    ...['command():["op"]', 'command(5):["op"]', 'command(0s):["op"]', 'command(301s):["op"]', 'command(1h):["op"]'],
    ...['keychain:', 'keychain:/me', 'keychain:svc/', 'keychain:a\tb', 'keychain:a/b\x7f'],
  ])('%j is none', (text) => {
    expect(parseSecretRef(text)).toBeUndefined();
    expect(secretRefFrom(text)).toBeUndefined();
    expect(canonicalSecretRef(text)).toBe(text);
  });

  // Put together here, so that no scanner takes them for real ones.
  test.each(['ghp', 'github_pat', 'npm', 'sk_live'])(
    'a pasted %s token is none, though it is spelled like a name',
    (kind) => {
      expect(secretRefFrom(`${kind}_${'Ab1'.repeat(12)}`)).toBeUndefined();
      expect(secretRefFrom(`env:${kind}_${'Ab1'.repeat(12)}`)).toBeDefined();
    },
  );

  test('has every kind among what a message says of them', () => {
    for (const kind of ['env:', 'file:', 'command:', 'keychain:']) expect(SECRET_REF_FORMS).toContain(kind);
  });
});

describe('a map', () => {
  test.each<[written: unknown, canonical: string]>([
    [{ env: 'TOKEN' }, 'env:TOKEN'],
    [{ file: '~/a.json', key: 'a.b' }, 'file:~/a.json#a.b'],
    [{ file: '/run/key' }, 'file:/run/key'],
    [{ file: '/run/key#old' }, 'file:/run/key#old#'],
    [{ command: ['op', 'read', 'x'] }, 'command:["op","read","x"]'],
    [{ command: ['op'], timeout: '30s' }, 'command(30s):["op"]'],
    [{ keychain: { service: 'svc', account: 'me' } }, 'keychain:svc/me'],
    [{ keychain: { service: 'https://svc' } }, 'keychain:https:%2F%2Fsvc'],
  ])('%j is %s', (written, canonical) => {
    expect(secretRefFrom(written)).toBe(canonical);
  });

  test.each<[written: unknown]>([
    ...([[undefined], [null], [7], [true], [[]], [['op']], [{}]] as [unknown][]),
    [{ env: '1A' }],
    [{ env: 'A', file: '/a' }],
    [{ file: 'a' }],
    [{ file: '/a', key: 'a b' }],
    [{ file: '/a', key: '' }],
    [{ key: 'a' }],
    [{ command: 'op read' }],
    [{ command: [] }],
    [{ command: ['op', 1] }],
    [{ command: ['op'], timeout: '6m' }],
    [{ command: ['op'], timeout: 30 }],
    [{ command: ['op'], shell: true }],
    [{ timeout: '30s' }],
    [{ keychain: { account: 'me' } }],
    [{ keychain: { service: '' } }],
    [{ keychain: { service: 'svc', account: '' } }],
    [{ keychain: { service: 'svc', label: 'x' } }],
  ])('%j is none', (written) => {
    expect(secretRefFrom(written)).toBeUndefined();
  });
});

/** Rich in what means something in a reference. */
const odd = fc.string({ unit: fc.constantFrom(...'ab1#./%~:_-[]()"\\ ,2F5é'), maxLength: 12 });
const path = fc.tuple(fc.constantFrom('/', '~/'), odd).map(([root, rest]) => root + rest);
const key = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_-]{0,5}(\.[A-Za-z0-9_-]{1,5}){0,3}$/);
const text = fc.string({ unit: 'binary', maxLength: 8 }).filter((argument) => !argument.includes('\0'));
const argv = fc.array(fc.oneof(odd, text), { minLength: 1 }).filter(([program]) => program !== '');
const nonEmpty = odd.filter((name) => name !== '');

describe('whatever it is about,', () => {
  const written = fc.oneof(
    fc.record({ file: path, key }, { requiredKeys: ['file'] }),
    fc.record(
      { command: argv, timeout: fc.integer({ min: 1, max: 300 }).map((count) => `${count}s`) },
      { requiredKeys: ['command'] },
    ),
    fc.record({ keychain: fc.record({ service: nonEmpty, account: nonEmpty }, { requiredKeys: ['service'] }) }),
  );
  const meaning = (value: Record<string, unknown>): unknown => {
    if ('file' in value) return { kind: 'file', path: value['file'], ...('key' in value ? { key: value['key'] } : {}) };
    if ('keychain' in value) return { kind: 'keychain', ...(value['keychain'] as object) };
    const timeoutMs = 'timeout' in value ? Number.parseInt(value['timeout'] as string, 10) * 1000 : 10_000;
    return { kind: 'command', argv: value['command'], timeoutMs };
  };

  test('a map has one spelling of one line, and that says all of it', () => {
    fc.assert(
      fc.property(written, (value) => {
        const reference = secretRefFrom(value) as string;
        expect(reference).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
        expect(parseSecretRef(reference)).toEqual(meaning(value));
        expect(secretRefFrom(reference)).toBe(reference);
      }),
      { numRuns: 3000 },
    );
  });

  test('a text has a spelling that means the same, and is its own', () => {
    const some = fc.tuple(fc.constantFrom('', 'env:', 'file:', 'file:/', 'keychain:', 'command:', 'command(9s):'), odd);
    fc.assert(
      fc.property(
        some.map((parts) => parts.join('')),
        (reference) => {
          const canonical = canonicalSecretRef(reference);
          expect(parseSecretRef(canonical)).toEqual(parseSecretRef(reference));
          expect(canonicalSecretRef(canonical)).toBe(canonical);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('no value breaks it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.string({ unit: 'binary' })), (value) => {
        const reference = secretRefFrom(value);
        if (reference !== undefined) expect(parseSecretRef(reference)).toBeDefined();
      }),
    );
  });
});
