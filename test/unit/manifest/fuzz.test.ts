/**
 * Manifests that nobody would write: whatever is in a file, what is said of it is a list of plain lines with places, and
 * soon. In `npm test` for about three seconds; FUZZ_SECONDS=60 looks longer. A failure tells its seed.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { innerPlans } from '../../../src/core/inner-plans.ts';
import { agentSchema } from '../../../src/core/manifest/agent-schema.ts';
import { type BottleManifest, bottleSchema } from '../../../src/core/manifest/bottle-schema.ts';
import { configSchema } from '../../../src/core/manifest/config-schema.ts';
import { jsonSchema } from '../../../src/core/manifest/json-schema.ts';
import { pathText } from '../../../src/core/manifest/key-path.ts';
import { limitsOf, resourcesOf, variables } from '../../../src/core/manifest/manifest-plan.ts';
import {
  above,
  beside,
  clashes,
  EMPTY_LAYER,
  type Layer,
  layerOf,
  merged,
  originsOf,
  withAgent,
} from '../../../src/core/manifest/merge.ts';
import { notesOn } from '../../../src/core/manifest/notes.ts';
import type { ManifestKind } from '../../../src/core/manifest/older-keys.ts';
import { findings, type Problem, problemText } from '../../../src/core/manifest/problems.ts';
import { routeIdOf } from '../../../src/core/route-id.ts';
import { readManifestFile } from '../../../src/host/manifest/front-matter.ts';
import { inspectBottle } from '../../../src/host/manifest/library.ts';
import { parseAs } from '../../../src/host/manifest/parse.ts';
import { readYaml, type YamlText } from '../../../src/host/manifest/yaml-text.ts';
import { readTxtar, writeFiles } from '../../support/txtar.ts';

const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 3);
const PROPERTIES = 5;

/**
 * Tries a property for its part of the time, and at least some values: one limit for all would, on a busy computer, end it
 * before the first value was tried, which is a failure. Shrinking a failure has half a minute, so that it tells its seed.
 */
async function tryLong(
  property: fc.IProperty<unknown> | fc.IAsyncProperty<unknown>,
  ms = (SECONDS * 1000) / PROPERTIES,
): Promise<void> {
  const until = Date.now() + ms;
  do await fc.assert(property, { numRuns: 5, interruptAfterTimeLimit: 30_000 });
  while (Date.now() < until);
}
const timeout = SECONDS * 1000 + 60_000;

const SCHEMAS: Readonly<Record<ManifestKind, z.ZodObject>> = {
  agent: agentSchema,
  bottle: bottleSchema,
  config: configSchema,
};
const KINDS = ['agent', 'bottle', 'config'] as const;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-fuzz-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Of this process alone, since others share the computer. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

// What stands in for a secret, and is found again in any message that repeats it.
const SECRET = /zq[0-9a-f]{10}/;
const secret = fc.nat(2 ** 31 - 1).map((number) => `zq${number.toString(16).padStart(10, '7')}`);
/** A wrong word of these is repeated, so that it can be compared. */
const CHOICES = /(^|\.)(template|driver|link|scheme|type|provider|outbound_on_match)$/;

// Nothing that ends a line, moves a cursor, or hides or reorders what follows.
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;
const NO_WORDS = /undefined|\[object|Invalid input|function|call stack/;

/**
 * What is wrong with how something is said; nothing, if nothing.
 * @param lines the whole file
 */
function unfit({ severity, file, position, key, message }: Problem, of: string, lines: readonly string[]): string {
  if (severity !== 'error' || file !== of) return `${severity} of ${file}`;
  if (message === '' || message.length > 600 || key.length > 600) return 'as long as that';
  if (UNPRINTABLE.test(`${key}${message}`)) return 'cannot be printed';
  if (NO_WORDS.test(message)) return 'no words for a person';
  if (!CHOICES.test(key) && SECRET.test(message)) return 'repeats a secret';
  if (position === null) return '';
  const line = lines[position.line - 1];
  if (line === undefined) return `line ${position.line} of ${lines.length}`;
  const within = position.column >= 1 && position.column <= line.length + 1;
  return within ? '' : `column ${position.column} of ${line.length}`;
}

/** @param text the whole file */
function assertPlain(problems: readonly Problem[], file: string, text: string): void {
  const lines = text.split('\n');
  const bad = problems.flatMap((problem) => {
    const is = unfit(problem, file, lines);
    return is === '' ? [] : [`${is}: ${JSON.stringify(problem)}`];
  });
  expect(bad.slice(0, 3)).toEqual([]);
}

/** Of many, those at both ends. */
const MOST_LOOKED_AT = 40;

/**
 * As each kind of file that it may be.
 * @param before what reading it took, in ms
 */
function assertParsed(
  file: string,
  kinds: readonly ManifestKind[],
  read: YamlText,
  text: string,
  before: number,
): void {
  for (const kind of kinds) {
    let parsed: ReturnType<typeof parseAs> | undefined;
    const took = cpuMs(() => {
      parsed = parseAs(kind, SCHEMAS[kind], file, read);
    });
    expect(before + took).toBeLessThan(1000);
    if (parsed?.ok === true) {
      const { value, origin } = parsed.written;
      const places = [[], ...Object.keys(value).map((key) => [key])];
      const there = places.map((at): Problem => ({ severity: 'error', ...origin(at), key: '', message: 'x' }));
      assertPlain(there, file, text);
    } else {
      const problems = parsed?.problems ?? [];
      expect(problems.length).toBeGreaterThan(0);
      assertPlain([...problems.slice(0, MOST_LOOKED_AT), ...problems.slice(-MOST_LOOKED_AT)], file, text);
    }
  }
}

async function assertFile(bytes: Uint8Array): Promise<void> {
  const file = path.join(folder, 'demo.md');
  writeFileSync(file, bytes);
  const before = process.cpuUsage();
  const read = await readManifestFile(file);
  const { user, system } = process.cpuUsage(before);
  if (read === undefined) throw new Error('it is there');
  assertParsed(file, ['agent', 'bottle'], read, new TextDecoder().decode(bytes), (user + system) / 1000);
}

function assertConfig(text: string): void {
  const file = path.join(folder, 'config.yaml');
  let read: YamlText | undefined;
  const before = cpuMs(() => {
    read = readYaml(file, text);
  });
  assertParsed(file, ['config'], read as unknown as YamlText, text, before);
}

describe('a manifest that something has happened to', () => {
  const fixtures = fileURLToPath(new URL('../../fixtures/manifests/', import.meta.url));
  const originals = readdirSync(fixtures, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.txt'))
    .flatMap((name) => [...readTxtar(readFileSync(path.join(fixtures, name), 'utf8'))])
    .filter(([name]) => name.endsWith('.md'))
    .map(([, text]) => text);

  /** Bytes, nearly. More is not read within a second yet, if it is wrong from top to bottom. */
  const LONGEST = 32 * 1024;
  const MOST_REPEATS = 300;
  const DEEPEST = 5000;
  const nest = (opening: string, closing: string) =>
    fc.integer({ min: 1, max: DEEPEST }).map((depth) => `a: ${opening.repeat(depth)}x${closing.repeat(depth)}\n`);
  const indented = (line: string) =>
    fc
      .integer({ min: 1, max: 300 })
      .map((depth) => Array.from({ length: depth }, (_, at) => ' '.repeat(at) + line).join(''));
  const words =
    '& * ! ? : - # | > @ ` % " \' , [ ] { } --- ... << <<: *a &a\u0020 *a !!binary !!str !!set !tag %TAG\u0020 ? {a: [ ' +
    '~ null true yes .inf .nan 1e999 -0 0x1F 0o17 1_000 12345678901234567890 constructor __proto__ toString hasOwnProperty';
  const odd =
    '\0 \ufeff \u2028 \u2029 \u0085 \u009b \x1b[31m \u202e \u200b \r \t \v \uffff \u{1f600} \u0301 \u00df \u0130 \ufffd \ud800';
  const scalar = fc
    .tuple(
      fc.constantFrom('x', '/', '.', 'a.', '-', '"', '\\', ' ', ' a', '\u00fc', '*.', '${', '[', '@', 'a: ', '%', '#'),
      fc.nat(2000),
    )
    .map(([text, count]) => text.repeat(count));
  const deep = fc.oneof(
    nest('[', ']'),
    nest('{a: ', '}'),
    nest('- ', ''),
    nest('? ', ''),
    nest('[', ''),
    nest('"', ''),
    indented('a:\n'),
    indented('-\n'),
  );
  const inserted = fc.oneof(
    fc.constantFrom(...words.split(' '), ...odd.split(' '), ' ', '\n', '\n\n', ': ', '\n---\n'),
    fc.string({ unit: 'binary', maxLength: 10 }),
    secret,
    secret.map((text) => `"${text}" ${text}`),
    secret.map((text) => `|${text}\n`),
    scalar,
    deep,
    fc.constant('a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nallow: *c\n'),
  );

  type Change = (text: string, where: (length: number) => number) => string;
  const lines = (change: (lines: string[], at: number) => string[]): Change => {
    return (text, where) => {
      const all = text.split('\n');
      return change(all, where(all.length)).join('\n');
    };
  };
  const cut: Change = (text, where) => text.slice(0, where(text.length));
  const change: fc.Arbitrary<Change> = fc.oneof(
    inserted.map(
      (what): Change =>
        (text, where) => {
          const at = where(text.length);
          return text.slice(0, at) + what + text.slice(at);
        },
    ),
    // In the place of a value.
    inserted.map((what) =>
      lines((all, at) => all.with(at, (all[at] ?? '').replace(/: ?.*/, `: ${what.replaceAll('$', '$$$$')}`))),
    ),
    inserted.map((what) => lines((all, at) => all.toSpliced(at, 0, what))),
    fc
      .integer({ min: 1, max: MOST_REPEATS })
      .map((times) => lines((all, at) => all.toSpliced(at, 0, ...Array<string>(times).fill(all[at] ?? '')))),
    fc.nat(5).map((count) => lines((all, at) => all.toSpliced(at, count))),
    fc
      .integer({ min: -4, max: 4 })
      .map((by) =>
        lines((all, at) => all.with(at, by < 0 ? (all[at] ?? '').slice(-by) : ' '.repeat(by) + (all[at] ?? ''))),
      ),
    fc.constant(cut),
    fc.constantFrom(...originals).map(
      (other): Change =>
        (text, where) =>
          cut(text, where) + other.slice(where(other.length)),
    ),
    fc.constant((text: string) => text.replaceAll('\n', '\r\n')),
  );
  const changed = fc
    .tuple(
      fc.constantFrom(...originals),
      fc.array(fc.tuple(change, fc.double({ min: 0, max: 0.999_999, noNaN: true })), { maxLength: 6 }),
    )
    .map(([original, changes]) =>
      changes
        .reduce((text, [apply, at]) => apply(text, (length) => Math.floor(at * length)), original)
        .slice(0, LONGEST),
    );
  const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 });

  test(
    'is read or told what is wrong, in plain lines',
    async () => {
      await tryLong(
        fc.asyncProperty(changed, flips, async (text, bytes) => {
          const file = Buffer.from(text);
          if (file.length > 0) for (const [at, byte] of bytes) file[at % file.length] = byte;
          await assertFile(file);
          assertConfig(text.replaceAll(/^---$/gm, ''));
        }),
      );
    },
    timeout,
  );

  test(
    'or that never was one',
    async () => {
      const token = fc.oneof(
        inserted,
        fc.constantFrom('bottle', 'env', 'egress', 'routes', 'host', 'allow', '  ', '\n- '),
      );
      const anything = fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.string({ unit: 'binary', maxLength: 200 }).map((text) => Buffer.from(text)),
        fc.array(token, { maxLength: 30 }).map((tokens) => Buffer.from(`---\n${tokens.join('')}\n---\n`)),
        fc.string({ unit: 'binary', maxLength: 200 }).map((text) => Buffer.from(`---\n${text}\n---\n`)),
      );
      await tryLong(
        fc.asyncProperty(anything, async (bytes) => {
          await assertFile(bytes);
          assertConfig(Buffer.from(bytes).toString('utf8'));
        }),
      );
    },
    timeout,
  );
});

interface Node {
  type?: string;
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Node>;
  additionalProperties?: Node | boolean;
  items?: Node;
  anyOf?: Node[];
  oneOf?: Node[];
}

const names = fc.constantFrom(
  'a',
  'PATH',
  'my-app',
  '__proto__',
  'constructor',
  'toString',
  'a b',
  '',
  '\u2028',
  'x'.repeat(300),
);
const scraps = fc.oneof(
  secret,
  fc.constantFrom(
    'env:A',
    'file:/a',
    'a.test',
    '*.a.test',
    'https://a.test/b',
    'ssh://git@a.test/b.git',
    '${A}',
    '?ask',
    '/p',
  ),
  fc.constantFrom(
    'yes',
    'no',
    'constructor',
    '__proto__',
    'valueOf',
    '30m',
    'docker',
    'claude',
    'static',
    'Bearer',
    'regex',
    '(',
  ),
  secret.map((text) => `https://${text}@a.test/?${text}#${text}`),
  secret.map((text) => `\${${text}}`),
  secret.map((text) => `file:${text}`),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('\x1b[31m', 'a\u009b31m', 'a\u2028b', 'a\u202eb', 'a\nb', '\ud800'),
  fc.constantFrom<unknown>(null, true, false, 0, -1, 1.5, 1e300, Number.NaN, Number.POSITIVE_INFINITY, -0, 2 ** 53),
);
const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  { depthSize: 'small', withCrossShrink: true },
  scraps,
  fc.array(scraps, { maxLength: 3 }),
  fc.dictionary(fc.oneof(names, secret), scraps, { maxKeys: 3 }),
  fc.jsonValue({ maxDepth: 3 }),
);

/** Values that have the keys of a schema, and much else. */
function near(node: Node | boolean | undefined): fc.Arbitrary<unknown> {
  if (typeof node !== 'object') return anyValue;
  const within = inside(node);
  return within === undefined
    ? anyValue
    : fc.oneof({ arbitrary: within, weight: 6 }, { arbitrary: anyValue, weight: 1 });
}

function inside({
  properties,
  additionalProperties,
  items,
  anyOf,
  oneOf,
  ...node
}: Node): fc.Arbitrary<unknown> | undefined {
  const alternatives = anyOf ?? oneOf;
  if (alternatives !== undefined) return fc.oneof(...alternatives.map(near));
  if (node.enum !== undefined) return fc.constantFrom(...node.enum);
  if ('const' in node) return fc.constant(node.const);
  if (items !== undefined) return fc.array(near(items), { maxLength: 3 });
  if (node.type !== 'object') return undefined;
  const own = fc.record(Object.fromEntries(Object.entries(properties ?? {}).map(([key, each]) => [key, near(each)])), {
    requiredKeys: [],
  });
  const more = fc.dictionary(fc.oneof(names, secret), near(additionalProperties), {
    maxKeys: properties === undefined ? 4 : 1,
  });
  return fc
    .tuple(own, fc.oneof({ arbitrary: fc.constant({}), weight: 3 }, { arbitrary: more, weight: 1 }))
    .map(([known, others]) => Object.assign(Object.create(null) as object, known, others));
}

test.each(KINDS)(
  'values near to those of the schema of %s are right or told what is wrong, without a word of theirs',
  async (kind) => {
    const schema = SCHEMAS[kind];
    await tryLong(
      fc.property(near(jsonSchema(kind) as Node), (value) => {
        const result = schema.safeParse(value);
        if (result.success) return;
        const found = findings(kind, schema, value, result.error);
        expect(found.length).toBeGreaterThan(0);
        const problems = found.map(({ path: at, message }): Problem => {
          return { severity: 'error', file: 'f', position: null, key: pathText(at), message };
        });
        assertPlain(problems, 'f', '');
      }),
      (SECONDS * 1000) / PROPERTIES / KINDS.length,
    );
  },
  timeout,
);

describe('layers', () => {
  const secretRef = fc.constantFrom('env:A', 'file:/a#b', 'command:["a"]', 'keychain:a/b');
  const some = <Value>(fields: { [Key in keyof Value]: fc.Arbitrary<Value[Key]> }) =>
    fc.record(fields, { requiredKeys: [] }) as fc.Arbitrary<Partial<Value>>;
  const host = fc.constantFrom(
    'a.test',
    'A.test',
    'b.test:8443',
    '10.0.0.1',
    'api.anthropic.com',
    'xn--bcher-kva.test',
  );
  const route = fc.record(
    {
      host,
      auth: fc.record({ scheme: fc.constantFrom('Bearer', 'token'), token_ref: secretRef }),
      matches: fc.array(
        some({
          methods: fc.array(fc.constantFrom('get', 'POST')),
          paths: fc.array(fc.constant({ type: 'prefix', value: '/' })),
        }),
        { maxLength: 2 },
      ),
      private: fc.boolean(),
      pipelock: some({ tls_passthrough: fc.boolean(), ssrf_ip_allowlist: fc.array(fc.constant('10.0.0.0/8')) }),
      dlp: fc.constant({ inbound_detectors: false }),
    },
    { requiredKeys: ['host'] },
  );
  // Each with its key: of two, one public, what is made key by key need not be one that could have been written.
  const repo = fc.oneof(
    fc.record({
      url: fc.constant('https://a.test/b.git'),
      key: fc.record({ provider: fc.constant('token'), token_ref: secretRef }),
    }),
    fc.constant({ url: 'ssh://git@a.test/b', key: { provider: 'static', path: '~/k' }, host_key: 'ssh-ed25519 AAAA' }),
  );
  const text = fc.constantFrom('a', '', '${A}', '?', '?ask');
  const named = <Value>(value: fc.Arbitrary<Value>, ...keys: string[]) =>
    fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 3 });
  const variableNames = ['A', 'constructor', 'toString', '_', 'PATH'];
  const machine = {
    env: named(text, ...variableNames),
    driver: fc.constantFrom('docker', 'smolvm'),
    image: fc.oneof(
      fc.constant('a:1'),
      fc.constant({ dockerfile: 'D' }),
      fc.constant({ smolmachine: 'g.smolmachine' }),
    ),
    resources: some({ cpus: fc.constant(1), memoryMiB: fc.constant(512), pids: fc.constant(64) }),
  };
  const user = some({ name: fc.constant('n'), email: fc.constant('e') });
  const bottle = some({
    ...machine,
    agent_provider: some({
      template: fc.constantFrom('claude', 'codex'),
      auth_token: secretRef,
      base_url: fc.constant('https://m.test'),
    }),
    'git-gate': some({ user, repos: named(repo, 'a', 'b', 'constructor') }),
    egress: some({ routes: fc.array(route, { maxLength: 3 }), log: fc.constantFrom('debug', 1, true) }),
    supervise: fc.boolean(),
    intercept: fc.boolean(),
    allow: fc.array(fc.constantFrom('a.test', '*.b.test', 'c.test:1 private'), { maxLength: 3 }),
    limits: some({ lifetime: fc.constant('1h'), idle: fc.constant('5m') }),
  }).map((value) => bottleSchema.parse(value));
  const agent = some({
    ...machine,
    bottle: fc.constant('a'),
    skills: fc.constant(['a']),
    'git-gate': some({ user }),
  }).map((value) => agentSchema.parse(value));
  const layer = fc
    .tuple(bottle, fc.constantFrom('a.md', 'b.md', 'c.md'))
    .map(([value, file]) => layerOf({ value, origin: () => ({ file, position: { line: 1, column: 1 } }) }));
  const grown = fc
    .array(fc.tuple(layer, fc.constantFrom(above, beside)), { maxLength: 6 })
    .map((layers) => layers.reduce<Layer>((under, [over, put]) => put(under, over), EMPTY_LAYER));

  const at = (value: unknown, keys: readonly PropertyKey[]): unknown =>
    keys.reduce((within, key) => (within as Record<PropertyKey, unknown>)[key], value);

  test(
    'on top of and beside each other make a bottle file that could have been written',
    async () => {
      await tryLong(
        fc.property(grown, grown, agent, (one, other, inIt) => {
          const layers = [
            one,
            beside(one, other),
            above(one, other),
            withAgent(one, { value: inIt, origin: () => ({ file: 'agent.md', position: null }) }),
          ];
          for (const each of layers) {
            const whole = merged(each);
            expect(bottleSchema.safeParse(whole)).toEqual({ success: true, data: whole });
            for (const { path: keys } of originsOf(each)) expect(at(whole, keys)).toBeDefined();
            assertPlain(
              clashes(each, routeIdOf, new Map([['a.test', 'x']])).map((problem) => ({ ...problem, file: '' })),
              '',
              'x',
            );
            for (const { message } of notesOn(whole)) expect(message).toMatch(/^.+$/);
            assertPlanned(whole);
          }
          expect(merged(beside(one, one))).toEqual(merged(one));
          expect(merged(above(EMPTY_LAYER, one))).toEqual(merged(one));
          expect(merged(beside(EMPTY_LAYER, one))).toEqual(merged(one));
          expect(merged(beside(one, EMPTY_LAYER))).toEqual(merged(one));
        }),
      );
    },
    timeout,
  );

  function assertPlanned(bottleFile: BottleManifest): void {
    const plans = innerPlans(bottleFile, (file) => file);
    expect(JSON.parse(JSON.stringify(plans))).toEqual(plans);
    const { env, privateEnv } = variables(bottleFile.env);
    expect(Object.keys({ ...env, ...privateEnv }).sort()).toEqual(Object.keys(bottleFile.env ?? {}).sort());
    expect(Object.values(resourcesOf(bottleFile.resources)).every(Number.isFinite)).toBe(true);
    expect(Object.values(limitsOf(bottleFile.limits)).every((limit) => limit === null || limit > 0)).toBe(true);
  }
});

test(
  'bottle files that extend each other in any way, broken ones too, are read or told what is wrong',
  async () => {
    const file = fc.tuple(
      fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'missing'), { maxLength: 4 }),
      fc.constantFrom(
        '',
        'supervise: 1',
        'egress: {routes: [{host: a.test}]}',
        'allow: [a.test]',
        'a: [',
        'unknown: x',
      ),
    );
    await tryLong(
      fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 5 }), async (files) => {
        const home = mkdtempSync(path.join(folder, 'home-'));
        const texts = files.map(([parents, text]) => `---\nextends: [${parents.join(', ')}]\n${text}\n---\n`);
        writeFiles(
          home,
          texts.map((text, index): [string, string] => [`bottles/${'abcde'[index]}.md`, text]),
        );
        const problems = await inspectBottle({ home }, 'a');
        for (const [index, text] of texts.entries()) {
          const file = path.join(home, `bottles/${'abcde'[index]}.md`);
          assertPlain(
            problems.filter((problem) => problem.file === file),
            file,
            text,
          );
        }
        expect(new Set(problems.map(problemText)).size).toBe(problems.length);
        rmSync(home, { recursive: true });
      }),
    );
  },
  timeout,
);
