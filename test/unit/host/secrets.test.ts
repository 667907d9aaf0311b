import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canonicalSecretRef, parseSecretRef } from '../../../src/core/secret-ref.ts';
import { readHostFiles, resolveSecrets } from '../../../src/host/secrets.ts';

let directory: string;
const at = (name: string): string => path.join(directory, name);
beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-secrets-'));
  writeFileSync(at('key'), 'from a file\n');
  writeFileSync(at('lines'), 'two\nlines\r\n');
  writeFileSync(at('empty'), '\n');
  writeFileSync(at('huge'), 'x'.repeat(65 * 1024));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('a reference', () => {
  test.each([
    ['TOKEN', 'env:TOKEN'],
    ['env:TOKEN', 'env:TOKEN'],
    ['file:/run/key', 'file:/run/key'],
    ['file:~/key', 'file:~/key'],
  ])('%s is read as %s', (text, canonical) => {
    expect(parseSecretRef(text)).toBeDefined();
    expect(canonicalSecretRef(text)).toBe(canonical);
  });

  test.each(['', 'sk-ant-api03-x', 'env:', 'env:1A', 'env:A B', 'file:', 'file:relative', 'vault:x', 'A-B'])(
    '%j is none',
    (text) => {
      expect(parseSecretRef(text)).toBeUndefined();
    },
  );
});

describe('resolving', () => {
  test('gives each reference its value, without the line end of a file', async () => {
    const secrets = await resolveSecrets(['env:A', `file:${at('key')}`, `file:${at('lines')}`], {
      A: 'from a variable',
    });
    expect([...secrets.values()]).toEqual(['from a variable', 'from a file', 'two\nlines']);
  });

  test('takes one line end off a file, and nothing else', async () => {
    writeFileSync(at('spaces'), ' a b \n\n');
    writeFileSync(at('bare'), 'x');
    const secrets = await resolveSecrets([`file:${at('spaces')}`, `file:${at('bare')}`], {});
    expect([...secrets.values()]).toEqual([' a b \n', 'x']);
  });

  test("finds ~ in the home directory of the worker's user", async () => {
    const home = process.env['HOME'];
    process.env['HOME'] = directory;
    try {
      expect(await resolveSecrets(['file:~/key'])).toEqual(new Map([['file:~/key', 'from a file']]));
    } finally {
      if (home === undefined) delete process.env['HOME'];
      else process.env['HOME'] = home;
    }
  });

  test('of nothing is nothing, and the same reference twice is one', async () => {
    expect(await resolveSecrets([], {})).toEqual(new Map());
    expect((await resolveSecrets(['env:A', 'env:A'], { A: '1' })).size).toBe(1);
  });

  test('of what is no reference says what one looks like, and does not tell it apart from a secret', async () => {
    const error = await resolveSecrets([`file:${directory}`, 'relative/path'], {}).catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      message: `no secret at file:${directory} (EISDIR), relative/path (expected NAME, env:NAME or file:/path)`,
      hint: 'put the secret there, readable by you alone, then retry',
    });
  });

  test('names every one that is missing and why, and what to do, without any value', async () => {
    const references = [
      'env:NO',
      'env:EMPTY',
      `file:${at('none')}`,
      `file:${at('empty')}`,
      `file:${at('huge')}`,
      'env:OK',
    ];
    const error = await resolveSecrets(references, { EMPTY: '', OK: 'value-of-ok' }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      code: 'SECRET_MISSING',
      retryable: false,
      message: `no secret at env:NO (the variable is not set), env:EMPTY (the variable is not set), file:${at('none')} (ENOENT), file:${at('empty')} (the file is empty), file:${at('huge')} (longer than 64 KiB)`,
      hint: expect.stringContaining('bottle serve'),
    });
    expect(JSON.stringify(error)).not.toContain('value-of-ok');
  });

  test('a certificate that is not there is told by its path', async () => {
    expect(await readHostFiles([at('key')])).toEqual(new Map([[at('key'), 'from a file\n']]));
    await expect(readHostFiles([at('none')])).rejects.toMatchObject({
      code: 'SECRET_MISSING',
      message: `${at('none')} cannot be read (ENOENT)`,
    });
  });
});
