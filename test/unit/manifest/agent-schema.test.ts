import { describe, expect, test } from 'vitest';
import { agentSchema, CLAUDE_CODE_KEYS } from '../../../src/core/manifest/agent-schema.ts';
import { MANIFEST_NAME } from '../../../src/core/manifest/fields.ts';
import { said } from './said.ts';

const EVERYTHING = {
  bottle: 'dev',
  skills: ['review', 'Code.Style_2'],
  'git-gate': { user: { name: 'Agent', email: 'agent@example.com' } },
  env: { A: 'text', _B2: '' },
  driver: 'smolvm',
  image: { dockerfile: 'images/Dockerfile' },
  resources: { cpus: 0.5, memoryMiB: 512, pids: 64 },
};

describe('an agent file', () => {
  test('may say nothing at all, and then says nothing', () => {
    expect(agentSchema.parse({})).toEqual({});
    expect(agentSchema.parse({ 'git-gate': {}, resources: {}, env: {}, skills: [] })).toEqual({
      'git-gate': {},
      resources: {},
      env: {},
      skills: [],
    });
  });

  test('may say everything', () => {
    expect(agentSchema.parse(EVERYTHING)).toEqual(EVERYTHING);
  });

  test.each(CLAUDE_CODE_KEYS)(
    "may be one of Claude Code's own, whose key %s is left to it, whatever it holds",
    (key) => {
      for (const value of ['x', ['y'], 1, null, { z: [] }]) expect(said('agent', { [key]: value })).toEqual([]);
    },
  );

  test('gives numbers and truth values of env as the text they are', () => {
    expect(agentSchema.parse({ env: { N: 1.5, T: true, F: false, Z: 0 } }).env).toEqual({
      N: '1.5',
      T: 'true',
      F: 'false',
      Z: '0',
    });
  });

  test.each([
    [{ bottle: 'Dev' }, 'bottle: expected lower-case letters, digits and dashes, a letter first'],
    [{ bottle: '../dev' }, 'bottle: expected lower-case letters, digits and dashes, a letter first'],
    [{ bottle: 'a'.repeat(101) }, 'bottle: expected at most 100 characters'],
    [{ bottle: 1 }, 'bottle: expected a name, got a number'],
    [{ skills: 'review' }, 'skills: expected a list of skill names, got text'],
    [{ skills: [1] }, 'skills[0]: expected a skill name, got a number'],
    [{ skills: ['ok', '..'] }, 'skills[1]: expected the name of a skill folder'],
    [{ skills: ['a/b'] }, 'skills[0]: expected the name of a skill folder'],
    [{ skills: ['-rf'] }, 'skills[0]: expected the name of a skill folder'],
    [{ skills: ['a\n'] }, 'skills[0]: expected the name of a skill folder'],
    [{ skills: Array(201).fill('a') }, 'skills: expected at most 200 skills'],
    [{ env: ['A=1'] }, 'env: expected NAME: value pairs, got a list'],
    [{ env: { A: null } }, 'env.A: expected text, got nothing'],
    [{ env: { A: ['x'] } }, 'env.A: expected text, got a list'],
    [{ env: { A: 'a\0b' } }, 'env.A: expected text without NUL characters'],
    [{ driver: 'podman' }, 'driver: expected docker or smolvm, got "podman"'],
    [{ driver: 'Docker' }, 'driver: expected docker or smolvm, got "Docker"; did you mean docker?'],
    [
      { image: 'My Image' },
      'image: expected minimal, full, the tag of an image, {dockerfile: PATH} or {smolmachine: PATH}',
    ],
    [
      { image: 1 },
      'image: expected minimal, full, the tag of an image, {dockerfile: PATH} or {smolmachine: PATH}, got a number',
    ],
    [{ image: { dockerfile: 7 } }, 'image.dockerfile: expected a path, got a number'],
    [{ image: {} }, 'image.dockerfile: expected a path, but it is missing'],
    [{ image: { smolmachine: 7 } }, 'image.smolmachine: expected a path, got a number'],
    [{ image: { smolmachine: 'guest' } }, 'image.smolmachine: expected the path of a file that ends in .smolmachine'],
    [
      { image: { smolmachine: 'a\0.smolmachine' } },
      'image.smolmachine: expected the path of a file that ends in .smolmachine',
    ],
    [{ resources: { cpus: 0 } }, 'resources.cpus: expected more than 0'],
    [{ resources: { cpus: 257 } }, 'resources.cpus: expected at most 256'],
    [{ resources: { cpus: 'many' } }, 'resources.cpus: expected a number of CPUs, got text'],
    [{ resources: { memoryMiB: 1.5 } }, 'resources.memoryMiB: expected a whole number of MiB, got 1.5'],
    [{ resources: { memoryMiB: 64 } }, 'resources.memoryMiB: expected at least 128'],
    [{ resources: { pids: 1 } }, 'resources.pids: expected at least 32'],
    [{ resources: 'large' }, 'resources: expected key: value pairs, got text'],
    [{ 'git-gate': { user: { name: 'A\nB' } } }, 'git-gate.user.name: expected printable text'],
    [{ 'git-gate': { user: { name: '' } } }, 'git-gate.user.name: expected printable text'],
    [{ 'git-gate': { user: { email: 'a\u202eb' } } }, 'git-gate.user.email: expected printable text'],
    ['text', ': expected key: value pairs, got text'],
    [['list'], ': expected key: value pairs, got a list'],
    [null, ': expected key: value pairs, got nothing'],
  ])('that says %j is told what was expected', (value, problem) => {
    expect(said('agent', value)).toEqual([problem]);
  });

  test.each(['A-B', '1A', '', 'A B', 'A=B', 'Ä'])('has no variable named %j', (name) => {
    expect(said('agent', { env: { [name]: 'x' } })).toEqual([expect.stringMatching(/: expected a variable name$/)]);
  });

  test.each(['?', '?Which token', '${TOKEN}', '${_t2}'])('may take %j from elsewhere', (value) => {
    expect(agentSchema.parse({ env: { A: value } }).env).toEqual({ A: value });
  });

  test.each(['${}', '${', '${A B}', '${A-B}', '${A} ', '${A}${B}', '${1A}', '${TOKEN:-x}', '${A}\n'])(
    'does not take %j for the name of a variable, nor for text',
    (value) => {
      expect(said('agent', { env: { A: value } })).toEqual([
        'env.A: expected ${NAME} with the name of a variable of the host, or other text',
      ]);
    },
  );

  test('takes what only looks a little like a host variable as it is', () => {
    const env = { A: 'a?', B: 'x ${TOKEN}', C: '$TOKEN', D: ' ${TOKEN}', E: '$' };
    expect(agentSchema.parse({ env }).env).toEqual(env);
  });

  test('says who commits in any script', () => {
    const user = { name: 'Jürgen "J" Müller 李', email: 'j@müller.test' };
    expect(agentSchema.parse({ 'git-gate': { user } })).toEqual({ 'git-gate': { user } });
  });

  test('is told all that is wrong, not the first thing only', () => {
    expect(said('agent', { driver: 'x', skills: 'y', more: 1, env: { A: [], B: null } })).toHaveLength(5);
  });
});

test.each([
  ['a', true],
  ['code-review-2', true],
  ['2fast', false],
  ['_template', false],
  ['a.b', false],
  ['a/b', false],
  ['a\n', false],
  ['', false],
])('%j as the stem of a file: %s', (name, good) => {
  expect(MANIFEST_NAME.test(name)).toBe(good);
});
