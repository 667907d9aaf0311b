import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { agentSchema } from '../../../src/core/manifest/agent-schema.ts';
import { bottleSchema } from '../../../src/core/manifest/bottle-schema.ts';
import { pathText } from '../../../src/core/manifest/key-path.ts';
import {
  above,
  beside,
  clashes,
  EMPTY_LAYER,
  type Layer,
  merged,
  originsOf,
  placeText,
  withAgent,
} from '../../../src/core/manifest/merge.ts';
import { problemText } from '../../../src/core/manifest/problems.ts';
import { routeIdOf } from '../../../src/core/route-id.ts';
import { bottle, layer, layers, written } from './layers.ts';

const extended = (parent: object, child: object) => merged(above(layer(parent, 'p.md'), layer(child, 'c.md')));
const together = (...bottles: object[]) =>
  merged(bottles.map((each, at) => layer(each, `${at}.md`)).reduce(beside, EMPTY_LAYER));

describe('a bottle on top of what it extends', () => {
  test('adds its variables, and wins where both have one', () => {
    expect(extended({ env: { A: 'p', B: 'p' } }, { env: { B: 'c', C: 'c' } }).env).toEqual({ A: 'p', B: 'c', C: 'c' });
  });

  test('says who commits field by field', () => {
    const parent = { 'git-gate': { user: { name: 'P', email: 'p@x.test' } } };
    expect(extended(parent, { 'git-gate': { user: { name: 'C' } } })['git-gate']?.user).toEqual({
      name: 'C',
      email: 'p@x.test',
    });
  });

  test('has limits of the machine and of its time each by itself', () => {
    const parent = { resources: { cpus: 1, pids: 64 }, limits: { lifetime: '8h', idle: '1h' } };
    expect(extended(parent, { resources: { cpus: 4 }, limits: { idle: '5m' } })).toEqual({
      resources: { cpus: 4, pids: 64 },
      limits: { lifetime: '8h', idle: '5m' },
    });
  });

  const REPOS = { 'git-gate': { repos: { a: { url: 'https://h.test/a' } } } };
  const OTHERS = { 'git-gate': { repos: { b: { url: 'https://h.test/b' } } } };
  const ROUTES = { egress: { routes: [{ host: 'a.test' }] } };
  test.each([
    ['routes', ROUTES, { egress: { routes: [{ host: 'b.test' }] } }],
    ['repositories', REPOS, OTHERS],
    ['hosts', { allow: ['a.test'] }, { allow: ['b.test'] }],
    ['model', { agent_provider: { api_key: 'env:A', private: true } }, { agent_provider: { auth_token: 'env:B' } }],
  ])('has %s of its own in the place of all of theirs', (_what, parent, child) => {
    expect(extended(parent, child)).toEqual(child);
  });

  test.each([
    ['routes', ROUTES],
    ['repositories', REPOS],
    ['hosts', { allow: ['a.test'] }],
    ['operator', { supervise: true }],
    ['model', { agent_provider: { template: 'codex' } }],
    ['driver and image', { driver: 'smolvm', image: 'mine:1' }],
    ['interception', { intercept: true }],
  ])('takes %s over where it says nothing', (_what, parent) => {
    expect(extended(parent, {})).toEqual(parent);
    expect(extended(parent, { env: { A: 'x' } })).toEqual({ ...parent, env: { A: 'x' } });
  });

  test('takes repositories over where it says only who commits, and the other way round', () => {
    const user = { name: 'C' };
    expect(extended(REPOS, { 'git-gate': { user } })['git-gate']).toEqual({ user, ...REPOS['git-gate'] });
    expect(extended(REPOS, { 'git-gate': {} })['git-gate']).toEqual(REPOS['git-gate']);
    expect(extended({ 'git-gate': { user } }, REPOS)['git-gate']).toEqual({ user, ...REPOS['git-gate'] });
  });

  test.each([
    ['routes', ROUTES, { egress: { routes: [] } }, { egress: { routes: [] } }],
    ['routes, by an egress without any', ROUTES, { egress: {} }, { egress: { routes: [] } }],
    ['routes, by a log', ROUTES, { egress: { log: 'x' } }, { egress: { routes: [], log: 'x' } }],
    ['repositories', REPOS, { 'git-gate': { repos: {} } }, {}],
    ['hosts', { allow: ['a.test'] }, { allow: [] }, { allow: [] }],
    ['the operator', { supervise: true }, { supervise: false }, { supervise: false }],
    ['the model', { agent_provider: { api_key: 'env:A' } }, { agent_provider: {} }, { agent_provider: {} }],
  ])('takes %s away by what is empty', (_what, parent, child, left) => {
    expect(extended(parent, child)).toEqual(left);
  });

  test('that adds no variable keeps all: an empty env clears nothing', () => {
    expect(extended({ env: { A: 'p' } }, { env: {} })).toEqual({ env: { A: 'p' } });
  });
});

describe('bottles side by side', () => {
  test('add their routes up, in their order, and what both have once', () => {
    const a = { host: 'a.test', auth: { scheme: 'token', token_ref: 'env:A' } };
    const routes = (...all: object[]) => ({ egress: { routes: all } });
    expect(together(routes(a), routes({ host: 'b.test' }), routes(a, { host: 'c.test' })).egress?.routes).toEqual([
      a,
      { host: 'b.test' },
      { host: 'c.test' },
    ]);
  });

  test('keep two routes to one host apart when these are not the same', () => {
    const one = { egress: { routes: [{ host: 'a.test' }] } };
    const other = { egress: { routes: [{ host: 'a.test', private: true }] } };
    expect(together(one, other).egress?.routes).toHaveLength(2);
  });

  test('are one repository where they name the same, key by key', () => {
    const repo = (value: object) => ({ 'git-gate': { repos: { a: { url: 'https://h.test/a', ...value } } } });
    expect(
      together(repo({ branches: ['x'], allow_force: true }), repo({ branches: ['y'] }))['git-gate']?.repos,
    ).toEqual({
      a: { url: 'https://h.test/a', allow_force: true, branches: ['y'] },
    });
  });

  test('go on with what was said of an address, whatever another file between them said', () => {
    const repo = (path: string, more = {}) => ({
      'git-gate': { repos: { a: { url: `https://h.test/${path}`, ...more } } },
    });
    const expected = { a: { url: 'https://h.test/1', allow_force: true } };
    expect(
      together(repo('1', { allow_force: true }), repo('2', { allow_delete: true }), repo('1'))['git-gate']?.repos,
    ).toEqual(expected);
  });

  test('add their repositories up by name, where the later one wins', () => {
    const repos = (...names: [string, string][]) => ({
      'git-gate': { repos: Object.fromEntries(names.map(([name, path]) => [name, { url: `https://h.test/${path}` }])) },
    });
    expect(together(repos(['a', '1'], ['b', '1']), repos(['b', '2'], ['c', '2']))['git-gate']?.repos).toEqual({
      a: { url: 'https://h.test/1' },
      b: { url: 'https://h.test/2' },
      c: { url: 'https://h.test/2' },
    });
  });

  test('add their hosts up, each once', () => {
    expect(together({ allow: ['a.test', 'b.test'] }, { allow: ['b.test', 'c.test'] }).allow).toEqual([
      'a.test',
      'b.test',
      'c.test',
    ]);
  });

  test('take nothing away from each other by what is empty', () => {
    const full = {
      allow: ['a.test'],
      egress: { routes: [{ host: 'a.test' }] },
      'git-gate': { repos: { a: { url: 'https://h.test/a' } } },
    };
    const empty = { allow: [], egress: {}, 'git-gate': { repos: {} } };
    expect(together(full, empty)).toEqual(full);
    expect(together(empty, full)).toEqual(full);
  });

  test('have the last word of the last one that has a word', () => {
    expect(
      together(
        { supervise: true, driver: 'smolvm', agent_provider: { template: 'codex' }, egress: { log: 'a' } },
        { supervise: false, image: 'i:1', egress: { log: 'b' } },
        { intercept: true },
      ),
    ).toEqual({
      supervise: false,
      driver: 'smolvm',
      agent_provider: { template: 'codex' },
      egress: { routes: [], log: 'b' },
      image: 'i:1',
      intercept: true,
    });
  });
});

describe('an agent in its bottle', () => {
  const inBottle = (bottleFile: object, agent: object) =>
    merged(withAgent(layer(bottleFile, 'b.md'), written('agent.md', agentSchema.parse(agent))));

  test('wins with variables, limits, driver, image and who commits', () => {
    expect(
      inBottle(
        {
          env: { A: 'b', B: 'b' },
          resources: { cpus: 1, pids: 64 },
          driver: 'docker',
          image: 'b:1',
          'git-gate': { user: { name: 'B', email: 'b@x.test' } },
        },
        {
          env: { A: 'a' },
          resources: { cpus: 2 },
          driver: 'smolvm',
          image: 'a:1',
          'git-gate': { user: { name: 'A' } },
        },
      ),
    ).toEqual({
      env: { A: 'a', B: 'b' },
      resources: { cpus: 2, pids: 64 },
      driver: 'smolvm',
      image: 'a:1',
      'git-gate': { user: { name: 'A', email: 'b@x.test' } },
    });
  });

  test('has no say in what may be reached: the rest of the bottle stays, and its own keys are its own', () => {
    const all = {
      allow: ['a.test'],
      egress: { routes: [{ host: 'a.test' }] },
      'git-gate': { repos: { a: { url: 'https://h.test/a' } } },
      supervise: true,
    };
    expect(inBottle(all, { bottle: 'b', skills: ['x'], name: 'y', 'git-gate': { user: { name: 'A' } } })).toEqual({
      ...all,
      'git-gate': { user: { name: 'A' }, ...all['git-gate'] },
    });
  });
});

describe('where each value came from', () => {
  const origins = (of: Layer) =>
    Object.fromEntries(originsOf(of).map(({ path, origin }) => [pathText(path), placeText(origin)]));

  test('is told for every value of the merged bottle, and for none that is not in it', () => {
    const parent = {
      env: { A: 'p', B: 'p' },
      allow: ['a.test', 'b.test'],
      egress: { routes: [{ host: 'a.test' }], log: 'x' },
      'git-gate': { user: { name: 'P', email: 'p' }, repos: { a: { url: 'https://h.test/a' } } },
      agent_provider: { template: 'codex' },
      supervise: true,
    };
    const child = {
      env: { B: 'c' },
      allow: ['c.test'],
      'git-gate': { user: { name: 'C' } },
      resources: { cpus: 1 },
      limits: { idle: '5m' },
      intercept: true,
      driver: 'docker',
      image: { dockerfile: 'D' },
    };
    expect(origins(above(layer(parent, 'p.md'), layer(child, 'c.md')))).toEqual({
      'env.A': 'p.md:5',
      'env.B': 'c.md:5',
      agent_provider: 'p.md:14',
      'git-gate.user.name': 'c.md:18',
      'git-gate.user.email': 'p.md:19',
      'git-gate.repos.a': 'p.md:16',
      'egress.routes[0]': 'p.md:16',
      'egress.log': 'p.md:10',
      supervise: 'p.md:9',
      'allow[0]': 'c.md:8',
      intercept: 'c.md:9',
      driver: 'c.md:6',
      image: 'c.md:5',
      'resources.cpus': 'c.md:14',
      'limits.idle': 'c.md:11',
    });
  });

  test('stays with a value whose place in the list is another one now', () => {
    const of = beside(layer({ allow: ['a.test', 'b.test'] }, 'a.md'), layer({ allow: ['b.test', 'c.test'] }, 'b.md'));
    const places = originsOf(of).map(({ path, origin }) => `${pathText(path)} ${origin.file}:${origin.position?.line}`);
    // `allow[1]` of the second file, and `allow[2]` of both together.
    expect(places).toEqual(['allow[0] a.md:8', 'allow[1] a.md:8', 'allow[2] b.md:8']);
  });

  test('is a file alone where nothing is known of its lines', () => {
    expect(placeText({ file: '/h/a.md', position: null })).toBe('/h/a.md');
    expect(placeText({ file: '/h/a.md', position: { line: 7, column: 3 } })).toBe('/h/a.md:7');
  });

  test('is always a file that says this very value there', () => {
    const FILES = ['a.md', 'b.md', 'c.md'];
    fc.assert(
      fc.property(layers(...FILES), ([a, b, c]) => {
        const each = new Map([a, b, c].map((of, at) => [FILES[at], merged(of as Layer)]));
        const all = above(beside(a as Layer, b as Layer), c as Layer);
        const value = merged(all);
        const places = originsOf(all);
        for (const { path, origin } of places) {
          const found = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)[key], value);
          expect(found).toBeDefined();
          const list = typeof path.at(-1) === 'number' ? path.slice(0, -1) : undefined;
          const there = (list ?? path).reduce<unknown>(
            (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
            each.get(origin.file),
          );
          // A repository of several files is theirs key by key: what the last of them says is in it.
          if (path[1] === 'repos') expect(found).toMatchObject(there as object);
          else if (list === undefined) expect(there).toEqual(found);
          else expect(there).toContainEqual(found);
        }
        expect(new Set(places.map(({ path }) => pathText(path))).size).toBe(places.length);
      }),
    );
  });
});

describe('merging, whatever the files say:', () => {
  test('one file alone is what it says, but for what is empty', () => {
    expect(merged(EMPTY_LAYER)).toEqual({});
    fc.assert(
      fc.property(bottle, (value) => {
        const alone = merged(layer(value));
        const [egress, gate] = [value.egress, value['git-gate']];
        const repos = Object.keys(gate?.repos ?? {}).length > 0;
        expect(alone).toEqual(
          JSON.parse(
            JSON.stringify({
              ...value,
              env: nonEmpty(value.env),
              resources: nonEmpty(value.resources),
              limits: nonEmpty(value.limits),
              egress: egress === undefined ? undefined : { ...egress, routes: egress.routes ?? [] },
              'git-gate': nonEmpty({ user: nonEmpty(gate?.user), ...(repos ? { repos: gate?.repos } : {}) }),
            }),
          ),
        );
        expect(bottleSchema.parse(alone)).toEqual(alone);
      }),
    );
  });

  test('nothing below and nothing on top change nothing', () => {
    fc.assert(
      fc.property(layers('a.md'), ([a]) => {
        const only = a as Layer;
        expect(above(EMPTY_LAYER, only)).toEqual(only);
        expect(above(only, EMPTY_LAYER)).toEqual(only);
        expect(beside(EMPTY_LAYER, only)).toEqual(only);
        expect(beside(only, EMPTY_LAYER)).toEqual(only);
      }),
    );
  });

  test('how three are bracketed does not matter, neither side by side nor on top of each other', () => {
    fc.assert(
      fc.property(layers('a.md', 'b.md', 'c.md'), ([one, two, three]) => {
        const [a, b, c] = [one, two, three] as [Layer, Layer, Layer];
        expect(beside(beside(a, b), c)).toEqual(beside(a, beside(b, c)));
        expect(above(above(a, b), c)).toEqual(above(a, above(b, c)));
      }),
    );
  });

  test('the same file twice side by side, or on top of itself, is that file', () => {
    fc.assert(
      fc.property(layers('a.md'), ([a]) => {
        const only = a as Layer;
        expect(beside(only, only)).toEqual(only);
        expect(above(only, only)).toEqual(only);
      }),
    );
  });

  test('a common parent that is reached twice counts once', () => {
    fc.assert(
      fc.property(layers('top.md', 'left.md', 'right.md'), ([top, left, right]) => {
        const [t, l, r] = [top, left, right] as [Layer, Layer, Layer];
        const diamond = beside(above(t, l), above(t, r));
        const ofTop = (values: { origin: { file: string } }[] = []) =>
          values.filter(({ origin }) => origin.file === 'top.md').length;
        expect(ofTop(diamond.allow)).toBeLessThanOrEqual(ofTop(t.allow));
        expect(ofTop(diamond.routes)).toBeLessThanOrEqual(ofTop(t.routes));
        if (l.allow === undefined && r.allow === undefined) expect(diamond.allow).toEqual(t.allow);
        if (l.routes === undefined && r.routes === undefined) expect(diamond.routes).toEqual(t.routes);
      }),
    );
  });

  test('what was given is left as it was', () => {
    fc.assert(
      fc.property(layers('a.md', 'b.md'), ([a, b]) => {
        const before = JSON.stringify([a, b]);
        beside(a as Layer, b as Layer);
        above(a as Layer, b as Layer);
        originsOf(a as Layer);
        merged(b as Layer);
        expect(JSON.stringify([a, b])).toBe(before);
      }),
    );
  });
});

describe('routes that no single file can be blamed for', () => {
  const told = (of: Layer, taken = new Map<string, string>()) => clashes(of, routeIdOf, taken).map(problemText);
  const routes = (...hosts: string[]) => ({ egress: { routes: hosts.map((host) => ({ host })) } });

  test('are two to one host, however that is spelled', () => {
    const of = beside(layer(routes('x.test', 'y.test'), 'a.md'), layer(routes('X.test.:443', 'x.test:8443'), 'b.md'));
    expect(told(of)).toEqual([
      'b.md:16:1: egress.routes[2].host: expected one route a host: x.test has another at a.md:16',
    ]);
  });

  test('and each further one, with the first of them', () => {
    const files = [routes('x.test'), routes('X.test'), routes('x.test:443')].map((each, at) => layer(each, `${at}.md`));
    expect(told(files.reduce(beside))).toEqual([
      '1.md:16:1: egress.routes[1].host: expected one route a host: x.test has another at 0.md:16',
      '2.md:16:1: egress.routes[2].host: expected one route a host: x.test has another at 0.md:16',
    ]);
  });

  test('and one that has a name which is taken', () => {
    const taken = new Map([['anthropic', "the model's route"]]);
    expect(told(layer(routes('Anthropic', 'x.test')), taken)).toEqual([
      "a.md:16:1: egress.routes[0].host: expected another host: anthropic is the name of the model's route",
    ]);
  });

  test('and nothing else', () => {
    expect(told(layer(routes('a.test', 'b.test', 'a.test:8443', 'sub.a.test')))).toEqual([]);
    expect(told(EMPTY_LAYER)).toEqual([]);
  });
});

function nonEmpty<Value extends object>(value: Value | undefined): Value | undefined {
  const said = JSON.parse(JSON.stringify(value ?? {})) as Value;
  return Object.keys(said).length === 0 ? undefined : said;
}
