import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BottleError, ERROR_CODES, type ErrorCode, errorView, exitCodeFor } from '../../../src/core/errors.ts';

const codes = Object.keys(ERROR_CODES) as ErrorCode[];

describe('a BottleError', () => {
  it('takes from the table whether another attempt may help, unless told', () => {
    for (const code of codes) expect(new BottleError(code, 'it').retryable, code).toBe(ERROR_CODES[code].retryable);
    expect(new BottleError('DOCKER_ERROR', 'it', { retryable: false }).retryable).toBe(false);
    expect(new BottleError('SKILL_NOT_FOUND', 'it', { retryable: true }).retryable).toBe(true);
  });

  it('keeps code, hint and cause, and shows no more than code, message and hint', () => {
    const cause = new Error('ENOENT');
    const error = new BottleError('SKILL_NOT_FOUND', 'no skill "review"', { hint: 'add it', cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'BottleError', code: 'SKILL_NOT_FOUND', hint: 'add it', cause });
    expect(error.view()).toEqual({ code: 'SKILL_NOT_FOUND', message: 'no skill "review"', hint: 'add it' });
    expect(new BottleError('TIMEOUT', 'it').view()).toEqual({ code: 'TIMEOUT', message: 'it' });
    expect(new BottleError('TIMEOUT', 'it')).not.toHaveProperty('cause');
  });

  it('says everything in one line of at most a thousand characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 2000, size: 'max' }), (text) => {
        const { message } = new BottleError('INTERNAL', text);
        expect(message).not.toMatch(/[\n\r]/);
        expect(message.length).toBeLessThanOrEqual(1000);
        expect(errorView(new Error(text)).message).toBe(message);
      }),
    );
    expect(new BottleError('INTERNAL', ' two\n  lines ').message).toBe('two lines');
    expect(new BottleError('INTERNAL', 'x'.repeat(1001)).message).toBe(`${'x'.repeat(999)}…`);
  });

  it('is recognised by its brand, so also when another copy of the module made it', () => {
    expect(BottleError.is(new BottleError('INTERNAL', 'it'))).toBe(true);
    expect(BottleError.is({ [Symbol.for('bottleworks.BottleError')]: true })).toBe(true);
    for (const other of [new Error('it'), { code: 'INTERNAL', message: 'it' }, null, undefined, 'INTERNAL']) {
      expect(BottleError.is(other)).toBe(false);
    }
  });
});

describe('what is shown of any thrown value', () => {
  it('is a BottleError as it is, and INTERNAL for all else', () => {
    const error = new BottleError('ENV_MISSING', 'no TOKEN', { hint: 'set it' });
    expect(errorView(error)).toEqual(error.view());
    expect(errorView(new TypeError('x is\nnot a function'))).toEqual({
      code: 'INTERNAL',
      message: 'x is not a function',
    });
    expect(errorView('gone')).toEqual({ code: 'INTERNAL', message: 'gone' });
    expect(errorView(undefined)).toEqual({ code: 'INTERNAL', message: 'undefined' });
  });
});

describe('the table of errors', () => {
  it('knows only the exit codes of the contract, and 0 and 3 are no errors', () => {
    for (const code of codes) expect([1, 2, 4, 5], code).toContain(exitCodeFor(code));
  });

  it.each([
    ['USAGE', 2],
    ['MANIFEST_INVALID', 2],
    ['SKILL_NOT_FOUND', 1],
    ['NO_SUCH_BOTTLE', 4],
    ['TEMPORAL_UNREACHABLE', 5],
    ['WORKER_UNREACHABLE', 5],
  ])('%s exits with %i', (code, exit) => {
    expect(exitCodeFor(code)).toBe(exit);
  });

  it('exits with 1 for a code it does not know, as an older client may meet', () => {
    expect(exitCodeFor('FROM_THE_FUTURE')).toBe(1);
  });

  it('gives each code a plain meaning: one line, no full stop', () => {
    for (const code of codes) {
      expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
      expect(ERROR_CODES[code].meaning, code).toMatch(/^[^\n]{10,100}[^.\n]$/);
    }
  });
});
