import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { agentSchema, bottleSchema, MANIFEST_NAME, manifestProblems } from '../../../src/core/manifest.ts';

const problems = (schema: z.ZodObject, value: unknown): string[] => {
  const result = schema.safeParse(value);
  if (result.success) return [];
  return manifestProblems(result.error, Object.keys(schema.shape)).map(({ key, expected }) => `${key}: ${expected}`);
};

describe('an agent file', () => {
  test('may say nothing at all', () => {
    expect(agentSchema.parse({})).toEqual({ skills: [], env: {}, resources: {}, 'git-gate': { user: {} } });
  });

  test('may say everything', () => {
    const all = {
      bottle: 'dev',
      skills: ['review', 'Code.Style_2'],
      env: { A: 'text', _B2: '' },
      driver: 'smolvm',
      resources: { cpus: 0.5, memoryMiB: 512, pids: 64 },
      'git-gate': { user: { name: 'Agent', email: 'agent@example.com' } },
    };
    expect(agentSchema.parse(all)).toEqual(all);
  });

  test("may be one of Claude Code's own, whose keys are left to it", () => {
    expect(problems(agentSchema, { name: 'x', description: ['y'], model: 1, color: null, memory: {} })).toEqual([]);
  });

  test('gives numbers and truth values of env as the text they are', () => {
    expect(agentSchema.parse({ env: { N: 1.5, T: true, F: false, Z: 0 } }).env).toEqual({
      N: '1.5',
      T: 'true',
      F: 'false',
      Z: '0',
    });
  });

  test.each([
    [
      { skill: [] },
      'skill: unknown key (known: bottle, skills, env, driver, resources, git-gate, name, description, model, color, memory)',
    ],
    [{ resources: { cpu: 1 } }, 'resources.cpu: unknown key'],
    [{ bottle: 'Dev' }, 'bottle: expected lower-case letters, digits and dashes, a letter first'],
    [{ bottle: '../dev' }, 'bottle: expected lower-case letters, digits and dashes, a letter first'],
    [{ bottle: 1 }, 'bottle: expected a name'],
    [{ skills: 'review' }, 'skills: expected a list of skill names'],
    [{ skills: [1] }, 'skills.0: expected a skill name'],
    [{ skills: ['ok', '..'] }, 'skills.1: expected the name of a skill folder'],
    [{ skills: ['a/b'] }, 'skills.0: expected the name of a skill folder'],
    [{ skills: ['-rf'] }, 'skills.0: expected the name of a skill folder'],
    [{ env: ['A=1'] }, 'env: expected NAME: value pairs'],
    [{ env: { A: null } }, 'env.A: expected text'],
    [{ env: { A: ['x'] } }, 'env.A: expected text'],
    [{ driver: 'podman' }, 'driver: expected docker or smolvm'],
    [{ resources: { cpus: 0 } }, 'resources.cpus: expected more than 0'],
    [{ resources: { cpus: 'many' } }, 'resources.cpus: expected a number of CPUs'],
    [{ resources: { memoryMiB: 1.5 } }, 'resources.memoryMiB: expected a whole number of MiB'],
    [{ resources: { memoryMiB: 64 } }, 'resources.memoryMiB: expected at least 128'],
    [{ resources: { pids: 1 } }, 'resources.pids: expected at least 32'],
    [{ resources: 'large' }, 'resources: expected key: value pairs'],
    ['text', ': expected key: value pairs'],
    [['list'], ': expected key: value pairs'],
  ])('that says %j is told what was expected', (value, problem) => {
    expect(problems(agentSchema, value)).toEqual([problem]);
  });

  test.each(['A-B', '1A', '', 'A B', 'A=B'])('has no variable named %j', (name) => {
    expect(problems(agentSchema, { env: { [name]: 'x' } })).toHaveLength(1);
  });

  test.each(['?', '?Which token', '${TOKEN}', '${}'])('does not take %j for a literal value', (value) => {
    expect(problems(agentSchema, { env: { A: value } })).toEqual([expect.stringContaining('expected a literal value')]);
  });

  test('takes what only looks a little like a host variable as it is', () => {
    const env = { A: 'a?', B: 'x ${TOKEN}', C: '$TOKEN' };
    expect(agentSchema.parse({ env }).env).toEqual(env);
  });

  test('is told all that is wrong, not the first thing only', () => {
    expect(problems(agentSchema, { driver: 'x', skills: 'y', more: 1 })).toHaveLength(3);
  });
});

describe('a bottle file', () => {
  test.each(['api.example.com', '*.example.com', 'example.com:8443', '192.0.2.7', 'nas.local private'])(
    'may list the host %j',
    (host) => {
      expect(bottleSchema.parse({ allow: [host] }).allow).toEqual([host]);
    },
  );

  test.each(['https://example.com', 'example.com/path', '*', 'a..b', 'example.com:0', 'example.com:99999', '', 'a b'])(
    'may not list %j',
    (host) => {
      expect(problems(bottleSchema, { allow: ['ok.example.com', host] })).toEqual([
        expect.stringMatching(/^allow\.1: expected a host such as /),
      ]);
    },
  );

  test('has no skills, and lists no host by default', () => {
    expect(problems(bottleSchema, { skills: [] })).toEqual([expect.stringMatching(/^skills: unknown key/)]);
    expect(bottleSchema.parse({}).allow).toEqual([]);
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
