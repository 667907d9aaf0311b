/** Bottle files for tests of how they merge: written by hand, or drawn at random. */
import fc from 'fast-check';
import { type BottleManifest, bottleSchema } from '../../../src/core/manifest/bottle-schema.ts';
import { pathText } from '../../../src/core/manifest/key-path.ts';
import { type Layer, layerOf, type Written } from '../../../src/core/manifest/merge.ts';

/** A file in which each value's place can be told from its key: the line is the length of the key's path as text. */
export function written<Value>(file: string, value: Value): Written<Value> {
  return {
    value,
    origin: (path, at = 'key') => ({ file, position: { line: pathText(path).length, column: at === 'key' ? 1 : 2 } }),
  };
}

export const layer = (value: object, file = 'a.md'): Layer => layerOf(written(file, bottleSchema.parse(value)));

const NAMES = ['A', 'B', 'C'];
const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const named = <Value>(names: readonly string[], value: fc.Arbitrary<Value>) =>
  fc.dictionary(fc.constantFrom(...names), value, { maxKeys: names.length });

const route = fc.record({
  host: fc.constantFrom('a.test', 'b.test', 'c.test'),
  private: maybe(fc.boolean()),
});
const repo = fc.record({
  url: fc.constantFrom('https://h.test/a', 'https://h.test/b'),
  allow_force: maybe(fc.boolean()),
});

/** Any bottle file, with few enough names and values that two of them often say something of the same. */
export const bottle: fc.Arbitrary<BottleManifest> = fc
  .record({
    env: maybe(named(NAMES, fc.constantFrom('x', 'y', '?', '${H}'))),
    agent_provider: maybe(fc.record({ template: fc.constantFrom('claude', 'codex'), private: maybe(fc.boolean()) })),
    'git-gate': maybe(
      fc.record({
        user: maybe(fc.record({ name: maybe(fc.constantFrom('N', 'M')), email: maybe(fc.constantFrom('e', 'f')) })),
        repos: maybe(named(['a', 'b', 'c'], repo)),
      }),
    ),
    egress: maybe(fc.record({ routes: maybe(fc.array(route, { maxLength: 3 })), log: maybe(fc.constantFrom('x', 7)) })),
    supervise: maybe(fc.boolean()),
    allow: maybe(fc.array(fc.constantFrom('a.test', 'b.test', 'c.test'), { maxLength: 3 })),
    intercept: maybe(fc.boolean()),
    driver: maybe(fc.constantFrom('docker', 'smolvm')),
    image: maybe(fc.constantFrom('i:1', { dockerfile: 'D' }, { smolmachine: 'g.smolmachine' })),
    resources: maybe(fc.record({ cpus: maybe(fc.integer({ min: 1, max: 3 })), pids: maybe(fc.constant(64)) })),
    limits: maybe(fc.record({ lifetime: maybe(fc.constantFrom('1h', '2h')), idle: maybe(fc.constant('5m')) })),
  })
  // Keys that say nothing are not there, as in what YAML gives.
  .map((drawn) => bottleSchema.parse(JSON.parse(JSON.stringify(drawn))));

/** Files of their own name each, so that it can be told where a value came from. */
export const layers = (...files: string[]): fc.Arbitrary<Layer[]> =>
  fc.tuple(...files.map((file) => bottle.map((value) => layerOf(written(file, value)))));
