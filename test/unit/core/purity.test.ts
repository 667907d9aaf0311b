import { globSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { moduleUse } from './imports.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

interface Layer {
  /** Files and folders of src/ that it may import, besides its own. */
  readonly sources: readonly string[];
  readonly packages: (name: string) => boolean;
}

const oneOf =
  (...names: string[]) =>
  (name: string): boolean =>
    names.includes(name);
const anyBut =
  (...beginnings: string[]) =>
  (name: string): boolean =>
    !beginnings.some((beginning) => name.startsWith(beginning));

/** The order of purity: what a folder of src/ (or a file right in it) may know. */
const LAYERS: Record<string, Layer> = {
  core: { sources: [], packages: oneOf('zod', 'yaml', 'fastest-levenshtein', 'smol-toml', 're2js') },
  workflows: { sources: ['core'], packages: oneOf('@temporalio/workflow', '@temporalio/common') },
  bundle: { sources: ['core'], packages: anyBut('@temporalio/', 'dockerode') },
  host: { sources: ['core'], packages: anyBut('@temporalio/workflow', '@temporalio/activity') },
  // Streams and paths are values that it passes to the host's adapters; files, sockets and processes are theirs alone.
  activities: {
    sources: ['core', 'host'],
    packages: oneOf('@temporalio/activity', '@temporalio/common', 'node:path', 'node:stream'),
  },
  client: {
    sources: ['core', 'host', 'workflows/messages.ts'],
    packages: anyBut('@temporalio/activity', '@temporalio/worker'),
  },
  'tooling.ts': { sources: ['core', 'host'], packages: oneOf() },
  'worker.ts': { sources: ['core', 'host', 'activities', 'workflows'], packages: anyBut('@temporalio/workflow') },
};

/** What makes the same call give another answer, or touch anything: the core gets these through ports. */
const IMPURE = [
  ...['process', 'Buffer', 'globalThis', 'console', 'fetch', 'crypto', 'performance', 'eval', 'Function'],
  ...['setTimeout', 'setInterval', 'setImmediate', 'Date.now', 'new Date', 'Math.random'],
];

/** Everything that `file` (a path in src/) may not do, in words; empty when it keeps to its layer. */
function violations(file: string, source: string): string[] {
  const layerOf = (path: string): string => path.split('/')[0] as string;
  const layer = LAYERS[layerOf(file)];
  if (layer === undefined) return [`${file} is in no layer: add it to LAYERS`];
  const { specifiers, globals } = moduleUse(source, layerOf(file) === 'core' ? IMPURE : []);
  return [
    ...specifiers.flatMap((specifier) => {
      if (specifier === undefined) return [`${file} imports something computed`];
      if (!specifier.startsWith('.')) {
        return layer.packages(packageOf(specifier)) ? [] : [`${file} imports ${specifier}`];
      }
      const target = posix.join(posix.dirname(file), specifier);
      const known = layerOf(target) === layerOf(file) || layer.sources.some((own) => within(target, own));
      return known ? [] : [`${file} imports ${target}`];
    }),
    ...globals.map((name) => `${file} uses ${name}`),
  ];
}

const within = (path: string, folderOrFile: string): boolean =>
  path === folderOrFile || path.startsWith(`${folderOrFile}/`);

/** `node:fs/promises` and `@scope/name/deep` are a part of `node:fs` and `@scope/name`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

const files = globSync('**/*.ts', { cwd: `${ROOT}src` });

describe('each folder of src/ knows only what is purer than itself', () => {
  it.each(Object.keys(LAYERS))('%s', (layer) => {
    const own = files.filter((file) => within(file, layer));
    expect(own, `src/${layer} is there`).not.toEqual([]);
    expect(own.flatMap((file) => violations(file, readFileSync(`${ROOT}src/${file}`, 'utf8')))).toEqual([]);
  });

  it('and there is no other', () => {
    expect(files.filter((file) => !Object.keys(LAYERS).some((layer) => within(file, layer)))).toEqual([]);
  });
});

describe('the check itself finds', () => {
  it.each([
    ['an import', "import { readFile } from 'node:fs/promises';"],
    ['an import for its effect', "import 'node:fs';"],
    ['a default or namespace import over lines', "import\n  * as fs\n  from\n  'fs'"],
    ['a type', "import type { Client } from '@temporalio/client';"],
    ['a type among values', "import { type Client } from '@temporalio/client';"],
    ['a type in place', "type Client = import('@temporalio/client').Client;"],
    ['a re-export', "export { readFile } from 'node:fs';"],
    ['a re-export of all', "export * from '../host/docker.ts';"],
    ['a dynamic import', "const fs = await import('node:fs');"],
    ['a dynamic import in a template without holes, as it cannot be told', 'const fs = await import(`node:fs`);'],
    ['a computed import', "const fs = await import('node:' + 'fs');"],
    ['require', "const fs = require('node:fs');"],
    ['import = require', "import fs = require('node:fs');"],
    ['a way out of its folder', "import { docker } from '../host/docker.ts';"],
    ['a way out and round', "import { docker } from './../../src/host/docker.ts';"],
    ['the clock', 'const now = Date.now();'],
    ['the clock, by a date', 'const now = new Date();'],
    ['chance', 'const n = Math.random();'],
    ['the environment', "const home = process.env['HOME'];"],
    ['the environment, shorthand', 'const all = { process };'],
    ['a timer', 'setTimeout(() => {}, 1);'],
    ['a global handed on', 'const ask = fetch;'],
  ])('%s', (_what, line) => {
    expect(violations('core/planted.ts', `const before: number = 1;\n${line}\n`)).toHaveLength(1);
  });

  it.each([
    [
      'words in a text or a comment',
      "// import fs from 'node:fs'\nexport const text = \"import 'node:fs'; process.exit()\";",
    ],
    [
      'its own folder and the pure packages',
      "import { z } from 'zod';\nimport { parse } from 'yaml';\nimport './names.ts';",
    ],
    ['a date that is given', 'export const at = (ms: number) => new Date(ms).toISOString();'],
    [
      'its own thing of such a name',
      'export const of = (record: { process: string }) => ({ process: record.process });',
    ],
    ['a plain export', 'const own = 1;\nexport { own };'],
  ])('nothing in %s', (_what, source) => {
    expect(violations('core/planted.ts', source)).toEqual([]);
  });

  it.each([
    ['workflows/planted.ts', '../host/docker.ts'],
    ['workflows/planted.ts', '../activities/index.ts'],
    ['workflows/planted.ts', '@temporalio/client'],
    ['workflows/planted.ts', 'zod'],
    ['activities/planted.ts', '../workflows/messages.ts'],
    ['activities/planted.ts', 'dockerode'],
    ['activities/planted.ts', 'node:fs/promises'],
    ['activities/planted.ts', '../client/main.ts'],
    ['bundle/planted.ts', '../host/docker.ts'],
    ['bundle/planted.ts', '@temporalio/activity'],
    ['host/planted.ts', '../activities/index.ts'],
    ['host/machine/planted.ts', '../../client/main.ts'],
    ['client/commands/planted.ts', '../../workflows/bottle-launch.ts'],
    ['client/planted.ts', '../worker.ts'],
    ['worker.ts', './client/main.ts'],
    ['new-folder/planted.ts', '../core/names.ts'],
  ])('%s importing %s', (file, specifier) => {
    expect(violations(file, `import '${specifier}';`)).toHaveLength(1);
  });

  it.each([
    ['client/commands/planted.ts', '../../workflows/messages.ts'],
    ['host/machine/planted.ts', '../docker.ts'],
    ['activities/planted.ts', '../host/docker.ts'],
    ['bundle/planted.ts', 'node:fs/promises'],
  ])('nothing wrong in %s importing %s', (file, specifier) => {
    expect(violations(file, `import '${specifier}';`)).toEqual([]);
  });
});
