import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ERROR_CODES } from '../../src/core/errors.ts';
import { agentSchema, bottleSchema } from '../../src/core/manifest.ts';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

describe('README', () => {
  test('lists every error code as the table in the code has it, and no other', () => {
    const rows = [...readme.matchAll(/^\| `([A-Z_]+)` \| (.+?) \| (yes|) \| (\d) \|$/gm)].map(
      ([, code, meaning, retryable, exit]) => [code, { retryable: retryable === 'yes', exit: Number(exit), meaning }],
    );
    expect(Object.fromEntries(rows)).toEqual(ERROR_CODES);
  });

  test('names every key a manifest can have', () => {
    for (const key of [...Object.keys(agentSchema.shape), ...Object.keys(bottleSchema.shape)]) {
      expect(readme).toMatch(new RegExp(`^\\| .*\`${key}\`.* \\|$`, 'm'));
    }
  });
});
