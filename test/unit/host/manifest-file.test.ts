import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readManifestFile } from '../../../src/host/manifest-file.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-manifest-'));
  file = path.join(folder, 'demo.md');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const read = (text: string | Buffer) => {
  writeFileSync(file, text);
  return readManifestFile(file);
};
const invalid = (message: string | RegExp) => ({
  code: 'MANIFEST_INVALID',
  retryable: false,
  message: typeof message === 'string' ? `${file}${message}` : expect.stringMatching(message),
});

describe('a manifest file', () => {
  test.each([
    ['front matter and text', '---\na: 1\nb: [x]\n---\n\nBe kind.\n\n', { a: 1, b: ['x'] }, 'Be kind.'],
    ['text only', 'Be kind.\n', {}, 'Be kind.'],
    ['front matter only', '---\na: 1\n---', { a: 1 }, ''],
    ['empty front matter', '---\n---\ntext', {}, 'text'],
    ['front matter of comments only', '---\n# nothing\n---\ntext', {}, 'text'],
    ['nothing', '', {}, ''],
    ['blank lines only', '\n \n', {}, ''],
    ['line ends of Windows', '---\r\na: 1\r\n---\r\nBe\r\nkind.\r\n', { a: 1 }, 'Be\r\nkind.'],
    ['a byte order mark', '\ufeff---\na: 1\n---\ntext', { a: 1 }, 'text'],
    ['spaces behind the dashes', '--- \na: 1\n---\t\ntext', { a: 1 }, 'text'],
    ['a rule in the text', '---\na: 1\n---\none\n\n---\n\ntwo', { a: 1 }, 'one\n\n---\n\ntwo'],
    ['dashes inside a value', '---\na: |\n  ---\n  x\nb: a --- b\n---\n', { a: '---\nx\n', b: 'a --- b' }, ''],
    ['a text that begins with a longer rule', '-----\nBe kind.', {}, '-----\nBe kind.'],
    ['a text that begins with a word in dashes', '---kind---\nBe.', {}, '---kind---\nBe.'],
    ['text that YAML would stumble over', 'a: [\n\tb', {}, 'a: [\n\tb'],
    ['YAML 1.2 words', '---\na: yes\nb: 0o17\nc: ~\nd: 1_000\n---\n', { a: 'yes', b: 15, c: null, d: '1_000' }, ''],
  ])('with %s is read as that', async (_what, text, frontMatter, body) => {
    expect(await read(text)).toEqual({ file, frontMatter, body });
  });

  test('that is not there is undefined, not an error', async () => {
    expect(await readManifestFile(file)).toBeUndefined();
  });

  test.each([
    ['a bracket never closed', '---\na: 1\nb: [1, 2\nc: 3\n---\n', /:[34]: is not YAML: /],
    ['a tab for indentation', '---\na:\n\tb: 1\n---\n', /:3: is not YAML: /],
    ['a key twice', '---\na: 1\nb: 2\na: 3\n---\n', /:4: is not YAML: .*unique/],
    ['two documents', '---\na: 1\n...\nb: 2\n---\n', /: is not YAML: /],
    ['a key that is no text', '---\n[a]: 1\n---\n', /is not YAML: .*string/i],
  ])('with %s is an error that names the line', async (_what, text, message) => {
    await expect(read(text)).rejects.toMatchObject(invalid(message));
  });

  test.each([
    ['never closes its front matter', '---\na: 1\n', ': the front matter opened by --- on line 1 is never closed'],
    ['uses an alias', '---\na: &x [1]\nb: *x\n---\n', ': anchors and aliases (&, *) are not read here'],
    ['is not UTF-8', Buffer.from([0x61, 0xff, 0xfe]), ': expected UTF-8 text'],
    ['is too large', 'x'.repeat(1024 * 1024 + 1), ': expected at most 1024 KiB'],
  ])('that %s is an error', async (_what, text, message) => {
    await expect(read(text)).rejects.toMatchObject(invalid(message));
  });

  test('nested without end is an error, not a crash', async () => {
    await expect(read(`---\na: ${'['.repeat(200_000)}\n---\n`)).rejects.toMatchObject(invalid(/is not YAML|nested/));
  });

  test('that is a folder is an error', async () => {
    mkdirSync(file);
    await expect(readManifestFile(file)).rejects.toMatchObject(invalid(': expected a file'));
  });

  test('keeps no prototype for what it reads', async () => {
    const { frontMatter } = (await read('---\n__proto__: {admin: true}\n---\n')) ?? {};
    expect((frontMatter as { admin?: unknown }).admin).toBeUndefined();
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });
});
