import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pathText } from '../../../src/core/manifest/key-path.ts';
import type { ManifestKind } from '../../../src/core/manifest/older-keys.ts';
import { inOrder, knownKeys, type Problem, problemText, suggestion } from '../../../src/core/manifest/problems.ts';
import { found, SCHEMAS, said } from './said.ts';

const problem = (change: Partial<Problem> = {}): Problem => ({
  severity: 'error',
  file: '/h/agents/demo.md',
  position: { line: 3, column: 5 },
  key: 'skills[0]',
  message: 'expected a skill name',
  ...change,
});

describe('a problem in one line', () => {
  test.each([
    [{}, '/h/agents/demo.md:3:5: skills[0]: expected a skill name'],
    [{ key: '' }, '/h/agents/demo.md:3:5: expected a skill name'],
    [{ position: null }, '/h/agents/demo.md: skills[0]: expected a skill name'],
    [{ position: null, key: '' }, '/h/agents/demo.md: expected a skill name'],
  ] as [Partial<Problem>, string][])('with %j', (change, text) => {
    expect(problemText(problem(change))).toBe(text);
  });
});

describe('the path of a key', () => {
  test.each([
    [[], ''],
    [['skills', 0], 'skills[0]'],
    [['egress', 'routes', 1, 'auth', 'scheme'], 'egress.routes[1].auth.scheme'],
    [['git-gate', 'repos', 'a.b', 'url'], 'git-gate.repos.a.b.url'],
    [[3, 'a'], '[3].a'],
    [['a\nb', 'ü'], '"a\\nb"."ü"'],
    [['x'.repeat(200)], 'x'.repeat(80)],
  ] as [PropertyKey[], string][])('%j is %s', (path, text) => {
    expect(pathText(path)).toBe(text);
  });
});

describe('problems in order', () => {
  const at = (file: string, line: number | null, column = 1) =>
    problem({ file, position: line === null ? null : { line, column } });

  test('come file by file as these first appear, each from the top', () => {
    const all = [at('b', 9), at('a', 2), at('b', 3, 7), at('a', null), at('b', 3, 2), at('a', 10)];
    expect(inOrder(all).map(({ file, position }) => [file, position?.line, position?.column])).toEqual([
      ['b', 3, 2],
      ['b', 3, 7],
      ['b', 9, 1],
      ['a', undefined, undefined],
      ['a', 2, 1],
      ['a', 10, 1],
    ]);
  });

  test('stay as they are where they stand at the same place, and what was given is left alone', () => {
    const all = Object.freeze([
      problem({ message: 'one' }),
      problem({ message: 'two' }),
      problem({ message: 'three', position: null }),
    ]);
    expect(inOrder(all).map(({ message }) => message)).toEqual(['three', 'one', 'two']);
  });
});

describe('an unknown key', () => {
  test.each([
    ['agent', { skils: [] }, 'skils: unknown key; did you mean skills?'],
    ['agent', { Skills: [] }, 'Skills: unknown key; did you mean skills?'],
    ['agent', { git_gate: {} }, 'git_gate: unknown key; did you mean git-gate?'],
    ['agent', { resources: { cpu: 1 } }, 'resources.cpu: unknown key; did you mean cpus?'],
    ['agent', { 'git-gate': { user: { nmae: 'x' } } }, 'git-gate.user.nmae: unknown key; did you mean name?'],
    ['bottle', { superviser: true }, 'superviser: unknown key; did you mean supervise?'],
    ['bottle', { limits: { timeout: '1h' } }, 'limits.timeout: unknown key (known: lifetime, idle)'],
    [
      'bottle',
      { 'git-gate': { repos: { app: { url: 'https://h.test/x', urls: 1 } } } },
      'git-gate.repos.app.urls: unknown key; did you mean url?',
    ],
    [
      'bottle',
      { egress: { routes: [{ host: 'x.test', match: [] }] } },
      'egress.routes[0].match: unknown key; did you mean matches?',
    ],
    ['bottle', { image: { dockerfile: 'x', args: {} } }, 'image.args: unknown key (known: dockerfile, smolmachine)'],
    ['config', { network: { dns: 'x' } }, 'network.dns: unknown key (known: pool, uplink, link, ca, proxy)'],
    ['config', { drivers: 'docker' }, 'drivers: unknown key; did you mean driver?'],
  ] as [ManifestKind, object, string][])('of %s: %j', (kind, value, words) => {
    expect(said(kind, value)).toEqual([words]);
  });

  test('is told the known ones, without those of Claude Code that nobody would look for here', () => {
    expect(said('agent', { zzz: 1 })).toEqual([
      'zzz: unknown key (known: bottle, skills, git-gate, env, driver, image, resources, name, description, model, color, memory)',
    ]);
  });

  test('is itself the place of its problem, a wrong value is its own', () => {
    const places = found('agent', { skils: [], driver: 'x', env: { '1': 'x' } }).map(({ path, atKey }) => [
      pathText(path),
      atKey,
    ]);
    expect(Object.fromEntries(places)).toEqual({ skils: true, driver: false, 'env.1': true });
  });

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])('may be called %s', (key) => {
    for (const kind of ['agent', 'bottle', 'config'] as const) {
      const value = JSON.parse(`{${JSON.stringify(key)}: 1}`);
      expect(said(kind, value)).toEqual([expect.stringMatching(/: unknown key \(known: /)]);
    }
  });
});

describe('a key of an older version', () => {
  const ROUTES = 'write egress: {routes: [{host, auth: {scheme, token_ref}}]}';
  const route = (change: object) => ({ egress: { routes: [{ host: 'x.test', ...change }] } });
  const repo = (change: object) => ({ 'git-gate': { repos: { app: { url: 'https://h.test/x', ...change } } } });

  test.each([
    ['bottle', { git: [] }, 'git: an older form: write git-gate: '],
    ['bottle', { git_gate: {} }, 'git_gate: is spelled git-gate: '],
    ['bottle', { tokens: {} }, `tokens: an older form: ${ROUTES}`],
    ['bottle', { cred_proxy: {} }, `cred_proxy: an older form: ${ROUTES}`],
    ['bottle', { egress_proxy: {} }, `egress_proxy: an older form: ${ROUTES}`],
    ['bottle', { backend: 'smolvm' }, 'backend: write driver: docker or driver: smolvm'],
    ['bottle', { prompt: 'x' }, 'prompt: belongs in the agent file'],
    ['bottle', { bottle: 'x' }, 'bottle: write extends: NAME'],
    ['bottle', { egress: { allow: [] } }, 'egress.allow: write allow: [HOST, ...] at the top'],
    ['bottle', route({ role: 'x' }), 'egress.routes[0].role: is reserved in the original'],
    ['bottle', route({ auth_scheme: 'x' }), 'egress.routes[0].auth_scheme: write auth: {scheme, token_ref}'],
    ['bottle', route({ methods: [] }), 'egress.routes[0].methods: write matches: '],
    ['bottle', repo({ identity: '/k' }), 'git-gate.repos.app.identity: an older form: write key: '],
    ['bottle', repo({ provisioned_key: {} }), 'git-gate.repos.app.provisioned_key: an older form: write key: '],
    ['bottle', repo({ known_host_key: 'x' }), 'git-gate.repos.app.known_host_key: write host_key: '],
    ['bottle', { agent_provider: { settings: {} } }, 'agent_provider.settings: is for template pi'],
    ['agent', { prompt: 'x' }, 'prompt: write the prompt as the text below the front matter'],
    ['agent', { bottles: [] }, 'bottles: write bottle: NAME; '],
    ['agent', { egress: {} }, 'egress: belongs in a bottle file'],
    ['agent', { allow: [] }, 'allow: belongs in a bottle file'],
    ['agent', { agent_provider: {} }, 'agent_provider: belongs in a bottle file'],
    ['agent', { 'git-gate': { repos: {} } }, 'git-gate.repos: belongs in a bottle file'],
    ['agent', { git: {} }, 'git: write git-gate: {user: '],
    ['config', { agents: {} }, 'agents: each agent is a file: '],
  ] as [ManifestKind, object, string][])('of %s: %j says what to write instead', (kind, value, beginning) => {
    expect(said(kind, value)).toEqual([expect.stringContaining(beginning)]);
    expect(said(kind, value)[0]?.startsWith(beginning)).toBe(true);
  });

  test('is one only where it stood', () => {
    expect(said('agent', { resources: { git: 1 } })).toEqual([
      'resources.git: unknown key (known: cpus, memoryMiB, pids)',
    ]);
    expect(said('bottle', { env: { git: 'x', tokens: 'y' } })).toEqual([]);
  });
});

describe('a proposal', () => {
  test.each([
    ['skils', ['bottle', 'skills'], '; did you mean skills?'],
    ['HOST_KEY', ['host_key'], '; did you mean host_key?'],
    ['git_gate', ['git-gate', 'gate'], '; did you mean git-gate?'],
    ['xyz', ['bottle', 'skills'], ''],
    ['x', [], ''],
    ['constructor', ['a'], ''],
    ['s'.repeat(61), ['s'.repeat(60)], ''],
  ])('for %s of %j is %j', (word, known, words) => {
    expect(suggestion(word, known)).toBe(words);
  });

  test('is a word that is known, and that word itself in whichever case it was written', () => {
    const words = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z_]{0,20}$/), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(words, fc.string(), (known, word) => {
        const proposed = /^; did you mean (.*)\?$/.exec(suggestion(word, known))?.[1];
        if (proposed !== undefined) expect(known).toContain(proposed);
        for (const each of known) expect(suggestion(each.toUpperCase(), known)).toBe(`; did you mean ${each}?`);
      }),
    );
  });
});

test.each([
  ['agent', ['git-gate'], ['user']],
  ['bottle', ['git-gate', 'repos', 'app', 'key'], ['provider', 'path', 'token_ref', 'user']],
  ['bottle', ['egress', 'routes', 3, 'matches', 0], ['methods', 'paths', 'headers']],
  ['bottle', ['image'], ['dockerfile', 'smolmachine']],
  ['bottle', ['env'], []],
  ['bottle', ['no', 'such', 'place'], []],
  ['config', ['temporal'], ['ui']],
] as [ManifestKind, PropertyKey[], string[]][])('what %s may hold at %j is %j', (kind, path, keys) => {
  expect(knownKeys(SCHEMAS[kind], path)).toEqual(keys);
});

describe('whatever a person wrote', () => {
  /** Files in which every key is written. */
  const WHOLE: Record<ManifestKind, object> = {
    agent: {
      bottle: 'a',
      skills: ['x'],
      'git-gate': { user: { name: 'a', email: 'b' } },
      env: { A: 'x' },
      driver: 'docker',
      image: 'x',
      resources: { cpus: 1, memoryMiB: 512, pids: 64 },
    },
    bottle: {
      extends: ['a'],
      env: { A: 'x' },
      agent_provider: {
        template: 'codex',
        base_url: 'https://x.test',
        ca: '/x',
        private: true,
        dockerfile: 'x',
        forward_host_credentials: true,
      },
      'git-gate': {
        user: { name: 'a', email: 'b' },
        repos: {
          app: { url: 'https://h.test/x', key: { provider: 'token', token_ref: 'A', user: 'u' } },
          own: {
            url: 'ssh://git@h.test/x',
            key: { provider: 'static', path: '~/k' },
            host_key: 'ssh-ed25519 AAAA',
            branches: ['a'],
            allow_force: true,
            allow_delete: false,
            ca: '/x',
          },
        },
      },
      egress: {
        routes: [
          {
            host: 'x.test',
            auth: { scheme: 'basic', token_ref: 'A', user: 'u', header: 'X' },
            matches: [
              {
                methods: ['GET'],
                paths: [{ type: 'prefix', value: '/x' }],
                headers: [{ type: 'exact', name: 'a', value: 'b' }],
              },
            ],
            ca: '/x',
            private: true,
            dlp: { outbound_detectors: ['a'], inbound_detectors: false, outbound_on_match: 'block' },
            pipelock: { tls_passthrough: true, ssrf_ip_allowlist: ['10.0.0.0/8'] },
          },
          { host: 'y.test', path_allowlist: ['/x'] },
        ],
        log: 'x',
      },
      supervise: true,
      allow: ['a.test'],
      intercept: true,
      driver: 'docker',
      image: { dockerfile: 'x' },
      resources: { cpus: 1, memoryMiB: 512, pids: 64 },
      limits: { lifetime: '1h', idle: '1h' },
    },
    config: {
      driver: 'docker',
      network: { pool: '10.0.0.0/8', uplink: 'x', ca: '/x' },
      temporal: { ui: 'http://x' },
      resources: { cpus: 1, memoryMiB: 512, pids: 64 },
    },
  };

  type Path = PropertyKey[];
  function placesIn(value: unknown, path: Path = []): Path[] {
    const entries = Array.isArray(value)
      ? [...value.entries()]
      : typeof value === 'object' && value !== null
        ? Object.entries(value)
        : [];
    return [path, ...entries.flatMap(([key, each]) => placesIn(each, [...path, key]))];
  }
  function put(value: unknown, [key, ...rest]: Path, what: unknown): unknown {
    if (key === undefined) return what;
    const within = (value as Record<PropertyKey, unknown>)[key];
    const copy = Array.isArray(value) ? [...value] : { ...(value as object) };
    return Object.assign(copy, { [key]: put(within, rest, what) });
  }
  const KINDS = Object.keys(WHOLE) as ManifestKind[];
  const somewhere = fc
    .constantFrom(...KINDS.flatMap((kind) => placesIn(WHOLE[kind]).map((path) => ({ kind, path }))))
    .chain(({ kind, path }) =>
      fc.record({ kind: fc.constant(kind), path: fc.constant(path), what: fc.oneof(oddities, fc.anything()) }),
    );
  const oddities = fc.constantFrom<unknown>(
    ...[null, 7, -1, 1.5, Number.NaN, '', 'x y', 'X', '\n', true, [], ['zz'], [7], [[]], {}, { zz: 1 }, undefined],
    ...['constructor', '__proto__', 'a'.repeat(1000), Array(300).fill('a'), { env: 'A' }, { dockerfile: '' }],
  );

  test.each(KINDS)('a %s file with every key is right', (kind) => {
    expect(said(kind, WHOLE[kind])).toEqual([]);
  });

  test('in the place of any value, what is said of it is in our words, in one line that is not too long', () => {
    fc.assert(
      fc.property(somewhere, ({ kind, path, what }) => {
        const value = put(WHOLE[kind], path, what);
        for (const { message } of found(kind, value)) {
          expect(message).toMatch(/^(expected |unknown key|belongs |write |an older form|is |of an older form)/);
          expect(message).not.toMatch(/invalid|received|undefined|\[object|native code|pattern|[\n\r]/i);
          expect(message.length).toBeLessThan(500);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('that looks like a secret is repeated nowhere, whatever key it was put at', () => {
    const secret = 'sk-ant-VERY+secret/key';
    for (const kind of KINDS) {
      for (const path of placesIn(WHOLE[kind])) {
        // What must be one of a few words is told back, cut short: a person has to see what they wrote.
        const enumerated = /(driver|template|scheme|type|outbound_on_match)$/.test(pathText(path));
        for (const what of [...(enumerated ? [] : [secret]), [secret], { x: secret }]) {
          expect(JSON.stringify(said(kind, put(WHOLE[kind], path, what)))).not.toContain('secret/key');
        }
      }
    }
  });
});
