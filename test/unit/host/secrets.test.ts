import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SECRET_REF_FORMS } from '../../../src/core/secret-ref.ts';
import { scrub } from '../../../src/host/scrub.ts';
import { readHostFiles, resolveSecrets, type SecretSources } from '../../../src/host/secrets.ts';

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

const failure = (references: string[], sources: SecretSources = {}): Promise<unknown> =>
  resolveSecrets(references, sources).then(
    () => 'it resolved',
    (error: unknown) => error,
  );

describe('resolving', () => {
  test('gives each reference its value, without the line end of a file', async () => {
    const secrets = await resolveSecrets(['env:A', `file:${at('key')}`, `file:${at('lines')}`], {
      env: { A: 'from a variable' },
    });
    expect([...secrets.values()]).toEqual(['from a variable', 'from a file', 'two\nlines']);
  });

  test('of a folder says so', async () => {
    expect(await failure([`file:${directory}`])).toMatchObject({
      message: `no secret at file:${directory} (EISDIR)`,
      hint: 'put the secret there, readable by you alone, then retry',
    });
  });

  test('takes one line end off a file, and nothing else', async () => {
    writeFileSync(at('spaces'), ' a b \n\n');
    writeFileSync(at('bare'), 'x');
    const secrets = await resolveSecrets([`file:${at('spaces')}`, `file:${at('bare')}`]);
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
    expect(await resolveSecrets([])).toEqual(new Map());
    expect((await resolveSecrets(['env:A', 'env:A'], { env: { A: '1' } })).size).toBe(1);
  });

  test('of what is no reference says what one looks like, and does not tell it apart from a secret', async () => {
    const error = await failure(['relative/path']);
    expect(error).toMatchObject({
      message: `no secret at relative/path (expected ${SECRET_REF_FORMS})`,
      hint: 'write it in one of these forms in the manifest',
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
    const error = await failure(references, { env: { EMPTY: '', OK: 'value-of-ok' } });
    expect(error).toMatchObject({
      code: 'SECRET_MISSING',
      retryable: false,
      message: `no secret at env:NO (the variable is not set), env:EMPTY (the variable is not set), file:${at('none')} (ENOENT), file:${at('empty')} (the file is empty), file:${at('huge')} (longer than 64 KiB)`,
      hint: 'export it, then retry from the same shell (bottle serve --restart gives a worker its environment); or refer to a file; put the secret there, readable by you alone, then retry',
    });
    expect(JSON.stringify(error)).not.toContain('value-of-ok');
  });

  test('takes one text out of a file that is JSON', async () => {
    const json = { KEY: 'top', tokens: { access_token: 'deep', list: [{ a: 'in a list' }] }, 'a-b': ' as it is \n' };
    writeFileSync(at('auth.json'), JSON.stringify(json));
    const keys = ['KEY', 'tokens.access_token', 'tokens.list.0.a', 'a-b'];
    const secrets = await resolveSecrets(keys.map((key) => `file:${at('auth.json')}#${key}`));
    expect([...secrets.values()]).toEqual(['top', 'deep', 'in a list', ' as it is \n']);
  });

  test('says what is wrong with such a file, and nothing of what is in it', async () => {
    writeFileSync(at('odd.json'), '{"number":1,"null":null,"empty":"","list":["x"],"text":"hush-hush"}');
    writeFileSync(at('not.json'), 'hush-hush');
    writeFileSync(at('large.json'), JSON.stringify({ text: 'x'.repeat(1024 * 1024) }));
    const odd = [
      'number',
      'null',
      'empty',
      'list',
      'none',
      'none.deeper',
      'text.length',
      'constructor.name',
      '__proto__',
    ];
    const references = [...odd.map((key) => `file:${at('odd.json')}#${key}`), `file:${at('not.json')}#text`];
    const error = await failure([...references, `file:${at('large.json')}#text`, `file:${at('none.json')}#text`]);
    const { message } = error as Error;
    expect([...message.matchAll(/\(([^()]+)\)/g)].map(([, why]) => why)).toEqual([
      ...['number is no text in it', 'null is no text in it', 'empty is empty', 'list is no text in it'],
      ...['none', 'none.deeper', 'text.length', 'constructor.name', '__proto__'].map(
        (key) => `there is no ${key} in it`,
      ),
      ...['the file is not JSON', 'larger than 1 MiB', 'ENOENT'],
    ]);
    expect(message).not.toContain('hush');
  });

  test('of an endless file ends', async () => {
    expect(await failure(['file:/dev/zero'])).toMatchObject({ message: expect.stringContaining('longer than 64 KiB') });
  });

  test('makes every value one that is taken out of what is written', async () => {
    writeFileSync(at('remembered'), 'remember me 1\n');
    expect(scrub('remember me 1, remember me 2')).toBe('remember me 1, remember me 2');
    await resolveSecrets([`file:${at('remembered')}`, 'env:A'], { env: { A: 'remember me 2' } });
    expect(scrub('remember me 1, remember me 2')).toBe('[secret], [secret]');
  });

  test('a certificate that is not there is told by its path', async () => {
    expect(await readHostFiles([at('key')])).toEqual(new Map([[at('key'), 'from a file\n']]));
    await expect(readHostFiles([at('none')])).rejects.toMatchObject({
      code: 'SECRET_MISSING',
      message: `${at('none')} cannot be read (ENOENT)`,
    });
  });
});
