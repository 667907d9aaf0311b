import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LONGEST_PROMPT, unreadable, validateLaunch } from '../../../src/core/launch-input.ts';

const validate = (...args: unknown[]) => validateLaunch('demo', 'bottle@mac-1', args);

describe('what starts a launch', () => {
  test.each([
    [{ agent: 'demo' }],
    [{ agent: 'code-review-2', driver: 'docker' }],
    [{ agent: 'a', driver: 'smolvm' }],
    [{ agent: 'a', bottles: ['b', 'c-2', 'b'] }],
    [{ agent: 'a', cwd: '/' }],
    [{ agent: 'a', cwd: '/home/me/a b/ü', copyCwd: 'all' }],
    [{ agent: 'a', cwd: '/x', copyCwd: 'unignored' }],
    [{ agent: 'a', prompt: 'Fix\nthe tests.' }],
    [{ agent: 'a', prompt: 'x'.repeat(LONGEST_PROMPT) }],
    [{ agent: 'a', answers: '0f8fad5b-d9cb-469f-a165-70867728950e' }],
    [{ agent: 'a', adopts: { owner: 'cluster/default', run: '0f8fad5b-d9cb-469f-a165-70867728950e' } }],
  ])('may be %j', (input) => {
    expect(validate(input)).toEqual(input);
  });

  test('what is absent stays absent', () => {
    const absent = { driver: undefined, bottles: undefined, cwd: undefined, prompt: undefined, answers: undefined };
    const input = validate({ agent: 'demo', ...absent });
    expect(input).toEqual({ agent: 'demo' });
    expect(Object.keys(input)).toEqual(['agent']);
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
    ['bottles', { agent: 'demo', bottles: 'dev' }],
    ['bottles', { agent: 'demo', bottles: [] }],
    ['bottles', { agent: 'demo', bottles: ['dev', '../x'] }],
    ['bottles', { agent: 'demo', bottles: Array(21).fill('a') }],
    ['bottles', { agent: 'demo', bottles: null }],
    ['cwd', { agent: 'demo', cwd: 'work' }],
    ['cwd', { agent: 'demo', cwd: '~/work' }],
    ['cwd', { agent: 'demo', cwd: '/a\0b' }],
    ['cwd', { agent: 'demo', cwd: `/${'x'.repeat(4096)}` }],
    ['cwd', { agent: 'demo', copyCwd: 'all' }],
    ['copyCwd', { agent: 'demo', cwd: '/x', copyCwd: true }],
    ['copyCwd', { agent: 'demo', cwd: '/x', copyCwd: 'some' }],
    ['prompt', { agent: 'demo', prompt: '' }],
    ['prompt', { agent: 'demo', prompt: ' \n' }],
    ['prompt', { agent: 'demo', prompt: 'x'.repeat(LONGEST_PROMPT + 1) }],
    ['prompt', { agent: 'demo', prompt: ['x'] }],
    ['answers', { agent: 'demo', answers: '../../etc/passwd' }],
    ['answers', { agent: 'demo', answers: 'short' }],
    ['answers', { agent: 'demo', answers: {} }],
    ['adopts', { agent: 'demo', adopts: 'run-1' }],
    ['adopts', { agent: 'demo', adopts: null }],
    ['adopts', { agent: 'demo', adopts: { owner: 'cluster', run: 'run-1' } }],
    ['adopts', { agent: 'demo', adopts: { owner: 'c/n', run: 'run-1', force: true } }],
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
