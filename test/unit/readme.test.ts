import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ERROR_CODES } from '../../src/core/errors.ts';
import { referenceTable } from '../../src/core/manifest/reference.ts';
import { triedText } from '../../src/host/engine-support.ts';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

describe('README', () => {
  test('lists every error code as the table in the code has it, and no other', () => {
    const rows = [...readme.matchAll(/^\| `([A-Z_]+)` \| (.+?) \| (yes|) \| (\d) \|$/gm)].map(
      ([, code, meaning, retryable, exit]) => [code, { retryable: retryable === 'yes', exit: Number(exit), meaning }],
    );
    expect(Object.fromEntries(rows)).toEqual(ERROR_CODES);
  });

  test('names the Engines that were tried, as the table in the code has them', () => {
    expect(/Tried with Docker Engine (.+?),? run as root/.exec(readme)?.[1]).toBe(triedText());
  });

  test('has the table of all that may be written as the schemas have it: node scripts/readme.mjs', () => {
    const table = /^<!-- manifest -->\n([\s\S]*)\n<!-- \/manifest -->$/m.exec(readme)?.[1];
    expect(table?.split('\n')).toEqual(referenceTable());
  });
});
