import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { problemText } from '../../../src/core/manifest/problems.ts';
import { readManifestFile } from '../../../src/host/manifest/front-matter.ts';

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
/** What is wrong with it, without the file's name. */
const said = async (text: string | Buffer): Promise<string[]> =>
  ((await read(text))?.problems ?? []).map((problem) => problemText(problem).replace(file, ''));

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
  ])('with %s is read as that', async (_what, text, value, body) => {
    expect(await read(text)).toMatchObject({ file, value, body, problems: [] });
  });

  test('that is not there is undefined, not an error', async () => {
    expect(await readManifestFile(file)).toBeUndefined();
    expect(await readManifestFile(path.join(folder, 'no-folder', 'demo.md'))).toBeUndefined();
    writeFileSync(file, '');
    expect(await readManifestFile(path.join(file, 'below-a-file.md'))).toBeUndefined();
  });

  test.each([
    ['a bracket never closed', '---\na: 1\nb: [1, 2\nc: 3\n---\n', /^:[34]:\d+: is not YAML: /],
    ['a tab for indentation', '---\na:\n\tb: 1\n---\n', /^:3:\d+: is not YAML: /],
    ['a key twice', '---\na: 1\nb: 2\na: 3\n---\n', /^:4:1: is not YAML: a key stands here twice$/],
    ['two documents', '---\na: 1\n...\nb: 2\n---\n', /^:4:1: is not YAML: a second document begins here$/],
    ['a key that is no text', '---\n[a]: 1\n---\n', /^:2:1: is not YAML: a key must be text$/],
    ['an alias', '---\na: &x [1]\nb: *x\n---\n', /^:2:7: anchors and aliases \(&, \*, <<\) are not read here/],
  ])('with %s is told the line and column in the file', async (_what, text, problem) => {
    expect(await said(text)).toEqual([expect.stringMatching(problem)]);
  });

  test.each([
    ['never closes its front matter', '---\na: 1\n', ': the front matter opened by --- on line 1 is never closed'],
    ['is not UTF-8', Buffer.from([0x61, 0xff, 0xfe]), ': expected UTF-8 text'],
    ['is UTF-16', Buffer.from('\ufeff---\n', 'utf16le'), ': expected UTF-8 text, got UTF-16'],
    ['is too large', 'x'.repeat(1024 * 1024 + 1), ': expected at most 1024 KiB'],
    [
      'has too much front matter',
      `---\na: ${'x'.repeat(256 * 1024)}\n---\n`,
      ': expected at most 32 KiB of front matter',
    ],
  ])('that %s is told so', async (_what, text, problem) => {
    expect(await said(text)).toEqual([problem]);
    expect(await read(text)).toMatchObject({ value: undefined, body: '' });
  });

  test('knows the place of what is in it, counted from the top of the file', async () => {
    const found = await read('---\n# note\nskills: [a, b]\n---\nskills: []\n');
    expect(found?.position(['skills'], 'key')).toEqual({ line: 3, column: 1 });
    expect(found?.position(['skills', 1])).toEqual({ line: 3, column: 13 });
  });

  test('nested without end is a problem, not a crash', async () => {
    const problems = await said(`---\na: ${'['.repeat(30_000)}\n---\n`);
    expect(problems).not.toEqual([]);
    for (const problem of problems) expect(problem).toMatch(/is not YAML|nested/);
  });

  test('that is a folder is told so', async () => {
    mkdirSync(file);
    expect((await readManifestFile(file))?.problems).toMatchObject([{ message: 'expected a file', position: null }]);
  });

  const isRoot = process.getuid?.() === 0;
  if (isRoot) console.warn('a file that may not be read is left out: root may read every one');
  test.skipIf(isRoot)('that may not be read is told so', async () => {
    writeFileSync(file, '');
    chmodSync(file, 0o000);
    expect((await readManifestFile(file))?.problems).toMatchObject([{ message: 'cannot be read (EACCES)' }]);
  });

  test('with a key that JavaScript takes for something else is an error', async () => {
    const { problems } = (await read('---\na: {__proto__: {admin: true}}\n---\n')) ?? {};
    expect(problems).toMatchObject([{ position: { line: 2, column: 5 }, message: 'a key cannot be __proto__' }]);
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });
});
