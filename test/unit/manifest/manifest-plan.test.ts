import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_RESOURCES, limitsOf, resourcesOf, variables } from '../../../src/core/manifest/manifest-plan.ts';

describe('a variable', () => {
  test('is itself, a variable of the host, or what the operator is asked', () => {
    expect(
      variables({ A: 'text', B: '${HOST_B}', C: '?', D: '?Which one?', E: '? spaced ', F: '', G: 'a?', H: '$X' }),
    ).toEqual({
      env: { A: 'text', F: '', G: 'a?', H: '$X' },
      privateEnv: {
        B: { from: 'host', variable: 'HOST_B' },
        C: { from: 'operator', question: 'C' },
        D: { from: 'operator', question: 'Which one?' },
        E: { from: 'operator', question: 'spaced' },
      },
    });
  });

  test('is nothing where there are none', () => {
    expect(variables()).toEqual({ env: {}, privateEnv: {} });
    expect(variables({})).toEqual({ env: {}, privateEnv: {} });
  });

  test('is in one of the two, whatever it is, and what is private is never in the plain one', () => {
    const value = fc.oneof(
      fc.string(),
      fc.string().map((text) => `?${text}`),
      fc.constant('${HOME}'),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[A-Z]{1,3}$/), value), (env) => {
        const { env: plain, privateEnv } = variables(env);
        expect([...Object.keys(plain), ...Object.keys(privateEnv)].sort()).toEqual(Object.keys(env).sort());
        for (const [name, text] of Object.entries(plain)) {
          expect(text).toBe(env[name]);
          expect(text).not.toMatch(/^(\?|\$\{[A-Za-z_]\w*\}$)/);
        }
      }),
    );
  });
});

describe('limits', () => {
  test.each([
    [undefined, { lifetimeMs: null, idleMs: null }],
    [{}, { lifetimeMs: null, idleMs: null }],
    [{ lifetime: '8h' }, { lifetimeMs: 28_800_000, idleMs: null }],
    [
      { lifetime: '1d', idle: '90s' },
      { lifetimeMs: 86_400_000, idleMs: 90_000 },
    ],
  ])('%j are %j', (limits, ms) => {
    expect(limitsOf(limits)).toEqual(ms);
  });
});

describe('resources', () => {
  test('are those of the manifest, then of the host, then the usual ones, each by itself', () => {
    expect(resourcesOf()).toEqual(DEFAULT_RESOURCES);
    expect(resourcesOf({ cpus: 1 }, { cpus: 8, memoryMiB: 512 })).toEqual({ cpus: 1, memoryMiB: 512, pids: 1024 });
    expect(resourcesOf({}, { pids: 64 })).toEqual({ ...DEFAULT_RESOURCES, pids: 64 });
  });
});
