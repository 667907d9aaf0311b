/** Variables from the host and the operator, and the shell text that carries them, read by a real shell. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BottleError } from '../../../src/core/errors.ts';
import type { PrivateVariable } from '../../../src/core/plan.ts';
import { privateValues, shellExports } from '../../../src/host/private-env.ts';
import { scrub } from '../../../src/host/scrub.ts';

const VARIABLES: Record<string, PrivateVariable> = {
  FROM_HOST: { from: 'host', variable: 'HOST_NAME' },
  ASKED: { from: 'operator', question: 'Which one?' },
};

describe('the values', () => {
  test('are those of the worker’s own variables, and of the operator', () => {
    const env = { HOST_NAME: 'of the host', ASKED: 'not this one' };
    expect(privateValues(VARIABLES, env, { ASKED: 'answered', OTHER: 'x' }, 'demo')).toEqual({
      FROM_HOST: 'of the host',
      ASKED: 'answered',
    });
    expect(privateValues({}, {}, {}, 'demo')).toEqual({});
  });

  test('are taken out of whatever is told later', () => {
    privateValues(VARIABLES, { HOST_NAME: 'correct-horse-battery' }, { ASKED: 'staple-of-the-day' }, 'demo');
    expect(scrub('got correct-horse-battery and staple-of-the-day')).not.toMatch(/horse|staple/);
  });

  test.each([
    [{}, {}, 'no value for FROM_HOST (the host has no HOST_NAME), ASKED (not answered)', /^export it, then retry/],
    [{ HOST_NAME: '' }, { ASKED: 'x' }, 'no value for FROM_HOST (the host has no HOST_NAME)', /^export it, then retry/],
    [{ HOST_NAME: 'x' }, { ASKED: '' }, 'no value for ASKED (not answered)', /^bottle retry demo asks for it$/],
    [{ HOST_NAME: 'x' }, { FROM_HOST: 'y' }, 'no value for ASKED (not answered)', /^bottle retry demo/],
  ])('that are missing are named, each by its own variable: %j %j', (env, answers, message, hint) => {
    expect(() => privateValues(VARIABLES, env, answers, 'demo')).toThrow(
      expect.objectContaining({ code: 'ENV_MISSING', retryable: false, message, hint: expect.stringMatching(hint) }),
    );
  });

  test('that are there are not told with those that are missing', () => {
    let told = '';
    try {
      privateValues(VARIABLES, { HOST_NAME: 'a-value-to-hide' }, {}, 'demo');
    } catch (error) {
      told = JSON.stringify((error as BottleError).view());
    }
    expect(told).toContain('ASKED');
    expect(told).not.toContain('a-value-to-hide');
  });
});

describe('shell text', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-env-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What a program gets that a shell starts after it has read the text, as the machine's `with-env` does. */
  async function sourced(values: Record<string, string>): Promise<Record<string, string>> {
    const file = path.join(folder, 'env.sh');
    writeFileSync(file, shellExports(values));
    const argv = ['-c', '. "$1"; shift; exec "$@"', 'sh', file, process.execPath, '-p', 'JSON.stringify(process.env)'];
    const { stdout, stderr } = await execa('sh', argv, { env: { PATH: process.env['PATH'] }, extendEnv: false });
    expect(stderr).toBe('');
    return JSON.parse(stdout) as Record<string, string>;
  }

  test('gives every variable as it is, whatever is in it', async () => {
    const values = {
      PLAIN: 'x',
      QUOTES: `it's "so" '' '"'"' ''`,
      ENDS_IN_QUOTE: "x'",
      LINES: 'one\ntwo\n\n',
      DOLLARS: '$HOME ${PATH} $(touch made-by-a-value) `touch made-by-a-value`',
      SLASHES: "\\ \\n \\\\ \\' !history #no comment; & | < > * ? ~ [a]",
      SPACES: '  leading and trailing\t ',
      UNICODE: 'ü 李 🍾 \u202e',
      CONTROL: '\u0001\u001b[31m\r',
      LONG: 'x'.repeat(100_000),
    };
    expect(await sourced(values)).toMatchObject(values);
  });

  test('of any values is these values', async () => {
    const text = fc.string({
      unit: fc.oneof(fc.constantFrom("'", '"', '$', '\\', '\n', '`', ' '), fc.string({ maxLength: 1 })),
    });
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.stringMatching(/^V[A-Z]{1,3}$/), text, { maxKeys: 5 }), async (values) => {
        const plain = Object.fromEntries(
          Object.entries(values).map(([name, value]) => [name, value.replaceAll('\0', '').toWellFormed()]),
        );
        expect(await sourced(plain)).toMatchObject(plain);
      }),
      { numRuns: 30 },
    );
  });

  test('is empty for nothing', () => {
    expect(shellExports({})).toBe('');
  });
});
