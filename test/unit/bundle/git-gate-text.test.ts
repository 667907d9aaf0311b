import { describe, expect, it } from 'vitest';
import { clean, echoesOf, printable, shellWord, upstreamReason } from '../../../src/bundle/git-gate-text.ts';

describe('text that others chose', () => {
  it('is shown as printable ASCII, and not for ever', () => {
    expect(printable('plain ~text~')).toBe('plain ~text~');
    expect(printable('a\u001b[31m\nb\u202eé\u{1f600}')).toBe('a\\u{1b}[31m\\u{a}b\\u{202e}\\u{e9}\\u{1f600}');
    expect(printable('x'.repeat(300), 10)).toBe(`${'x'.repeat(10)}...`);
  });

  it('loses control characters but keeps its lines and letters', () => {
    expect(clean([], 'é\tone\ntwo\u001b[0m\r\u0007')).toBe('é\tone\ntwo[0m');
  });
});

describe('a credential', () => {
  it('is taken out in each form in which an upstream might echo it', () => {
    const secrets = echoesOf('me', 'to/ken+1');
    const basic = Buffer.from('me:to/ken+1').toString('base64');
    const text = clean(secrets, `a to/ken+1 b to%2Fken%2B1 c Basic ${basic} d`);
    expect(text).toBe('a *** b *** c Basic *** d');
  });

  it('is taken out of a URL even when we do not know it', () => {
    expect(clean([], "to 'https://me:pw@host/x' and ssh://git@host/y, HTTPS://t@h")).toBe(
      "to 'https://***@host/x' and ssh://***@host/y, HTTPS://***@h",
    );
    expect(clean([], 'https://host/a@b and me@host.example')).toBe('https://host/a@b and me@host.example');
  });

  it('that is empty takes nothing out', () => {
    expect(clean(echoesOf('', ''), 'text')).toBe('text');
  });
});

describe('the reason why an upstream could not be used', () => {
  it.each([
    "fatal: Authentication failed for 'https://h/x.git/'",
    "fatal: could not read Username for 'https://h': terminal prompts disabled",
    'git@h: Permission denied (publickey).',
    "fatal: unable to access 'https://h/': The requested URL returned error: 403",
  ])('blames the credential for %j', (line) => {
    expect(upstreamReason(`${line}\n`)).toBe(`the upstream refused the credential: ${line}`);
  });

  it('is all that git said, on one line', () => {
    expect(upstreamReason('fatal: unable to access\n\n  really\n')).toBe(
      'the upstream cannot be used: fatal: unable to access; really',
    );
  });
});

it('a word of a shell is the same word for the shell', () => {
  expect(shellWord(`it's $HOME "x"`)).toBe(`'it'\\''s $HOME "x"'`);
});
