import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { unreadable, validateLaunch } from '../../../src/core/launch-input.ts';

const validate = (...args: unknown[]) => validateLaunch('demo', 'bottle@mac-1', args);

describe('what starts a launch', () => {
  test.each([[{ agent: 'demo' }], [{ agent: 'code-review-2', driver: 'docker' }], [{ agent: 'a', driver: 'smolvm' }]])(
    'may be %j',
    (input) => {
      expect(validate(input)).toEqual(input);
    },
  );

  test('an absent driver stays absent', () => {
    expect(validate({ agent: 'demo', driver: undefined })).toEqual({ agent: 'demo' });
  });

  test.each([
    ['agent', { agent: '' }],
    ['agent', { agent: 'Demo' }],
    ['agent', { agent: '../demo' }],
    ['agent', { agent: 'demo\n' }],
    ['agent', { agent: 'a'.repeat(101) }],
    ['agent', { agent: 1 }],
    ['agent', {}],
    ['driver', { agent: 'demo', driver: 'podman' }],
    ['driver', { agent: 'demo', driver: null }],
    ['Agent', { Agent: 'demo' }],
    ['input', undefined],
    ['input', null],
    ['input', 'demo'],
    ['input', ['demo']],
    ['input', new Uint8Array(2)],
    ['input', unreadable('binary/encrypted')],
  ])('is told that %s is wrong in %j', (field, input) => {
    expect(validate(input)).toMatch(new RegExp(`^${field}: .*(expected|unknown)`));
  });

  test('is one argument, or none that could be right', () => {
    expect(validate({ agent: 'demo' }, {})).toBe('input: expected one JSON object, got 2 arguments');
    expect(validate()).toMatch(/^input: expected one JSON object/);
  });

  test.each(['Demo', 'a--b', 'a'.repeat(41), ''])('has no workflow id %j', (id) => {
    expect(validateLaunch(id, 'bottle@h', [{ agent: 'demo' }])).toMatch(/^workflow id: .*is not a bottle id/);
  });

  test.each(['default', 'bottle@', 'xbottle@h'])('does not come on task queue %j', (queue) => {
    expect(validateLaunch('demo', queue, [{ agent: 'demo' }])).toMatch(/^task queue: expected bottle@<host>/);
  });

  test('whatever it is, the answer is an input or one short line', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.array(fc.anything(), { maxLength: 2 }), (id, queue, args) => {
        const answer = validateLaunch(id, queue, args);
        if (typeof answer === 'string') expect(answer.length).toBeLessThan(250);
        else expect(Object.keys(answer)).toContain('agent');
      }),
    );
  });
});
