/** What tells the image that a Dockerfile makes from any other, without an Engine. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { contextDigest, customImageTag } from '../../../src/host/custom-image.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-custom-'));
  write('Dockerfile', 'ARG BASE\nFROM $BASE\nCOPY tools /tools\n');
  write('tools/run', 'echo 1');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(file: string, text = 'x'): string {
  const target = path.join(folder, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
  return target;
}
const tag = async (base = 'base:1', dockerfile = 'Dockerfile') =>
  customImageTag(await contextDigest(path.join(folder, dockerfile)), base);

describe('the tag', () => {
  test('is ours, and the same for the same content wherever that lies', async () => {
    const here = await tag();
    expect(here).toMatch(/^bottleworks\/custom:[0-9a-f]{12}$/);
    expect(await tag()).toBe(here);
    const moved = `${folder}-moved`;
    renameSync(folder, moved);
    try {
      expect(customImageTag(await contextDigest(path.join(moved, 'Dockerfile')), 'base:1')).toBe(here);
    } finally {
      renameSync(moved, folder);
    }
  });

  test.each<[string, () => unknown]>([
    ['another Dockerfile', () => write('Dockerfile', 'FROM scratch\n')],
    ['other content of a file beside it', () => write('tools/run', 'echo 2')],
    ['a file more', () => write('tools/more')],
    ['an empty file more', () => write('tools/more', '')],
    ['a file less', () => rmSync(path.join(folder, 'tools/run'))],
    ['another name of a file', () => renameSync(path.join(folder, 'tools/run'), path.join(folder, 'tools/go'))],
    ['a file that may be run', () => chmodSync(path.join(folder, 'tools/run'), 0o755)],
    [
      'the same text cut into files elsewhere',
      () => {
        write('tools/run', 'echo');
        write('tools/run2', ' 1');
      },
    ],
  ])('is another one with %s', async (_what, act) => {
    const before = await tag();
    act();
    expect(await tag()).not.toBe(before);
  });

  test('is another one for another image below, and for another Dockerfile of the same folder', async () => {
    write('Other', 'ARG BASE\nFROM $BASE\nCOPY tools /tools\n');
    const all = [await tag(), await tag('base:2'), await tag('base:1', 'Other')];
    expect(new Set(all).size).toBe(3);
  });

  test.each<[string, () => unknown]>([
    ['times', () => write('tools/run', 'echo 1')],
    ['who else may read a file', () => chmodSync(path.join(folder, 'tools/run'), 0o600)],
    ['what git keeps', () => write('.git/objects/x')],
    ['a link, which could lead anywhere', () => symlinkSync('/etc/passwd', path.join(folder, 'link'))],
    ['a folder by a link', () => symlinkSync('/etc', path.join(folder, 'tools/etc'))],
    ['an empty folder', () => mkdirSync(path.join(folder, 'empty'))],
  ])('does not look at %s', async (_what, act) => {
    const before = await tag();
    act();
    expect(await tag()).toBe(before);
  });
});

describe('a context', () => {
  test.each([
    ['is not there', 'gone'],
    ['is a folder', 'tools'],
    ['is below a file', 'Dockerfile/x'],
  ])('whose Dockerfile %s is an error', async (_what, dockerfile) => {
    await expect(tag('base:1', dockerfile)).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: `${path.join(folder, dockerfile)}: there is no such Dockerfile`,
      hint: 'its path is relative to the file that names it',
    });
  });

  const tooMuch = () => ({
    code: 'MANIFEST_INVALID',
    message: `${path.join(folder, 'Dockerfile')}: its folder has more than 64 MiB and 5000 files`,
    hint: 'put it in a folder of its own',
  });

  test('that is too big is refused, before it is read', async () => {
    truncateSync(write('huge'), 1024 ** 4);
    await expect(tag()).rejects.toMatchObject(tooMuch());
    truncateSync(path.join(folder, 'huge'), 64 * 1024 ** 2);
    await expect(tag()).rejects.toMatchObject(tooMuch());
  });

  test('of too many files is refused', async () => {
    for (let at = 0; at < 4998; at += 1) write(`many/${at}`, '');
    expect(await tag()).toMatch(/^bottleworks/);
    write('many/4998', '');
    await expect(tag()).rejects.toMatchObject(tooMuch());
  });
});
