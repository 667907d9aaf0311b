import { appendFile, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findNode, nodePin, ownNode } from '../../../src/host/node-program.ts';

let folder: string;
let env: NodeJS.ProcessEnv;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bottle-node-'));
  env = { HOME: folder, BOTTLE_CACHE: join(folder, 'cache'), PATH: join(folder, 'bin') };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A program that says this version, and leaves a line each time that it is asked. */
async function node(path: string, version: string): Promise<string> {
  const file = join(folder, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `#!/bin/sh\necho asked >>'${folder}/log'\necho ${version}\n`);
  await chmod(file, 0o755);
  return file;
}

const timesAsked = async () => (await readFile(join(folder, 'log'), 'utf8').catch(() => '')).split('asked').length - 1;

test('one on PATH is asked for its version once, however often bottle is called', async () => {
  const file = await node('bin/node', 'v99.0.0');
  for (let call = 0; call < 3; call++) expect(await findNode(99, env)).toBe(file);
  expect(await timesAsked()).toBe(1);
});

test('one that was replaced is asked again', async () => {
  const file = await node('bin/node', 'v99.0.0');
  await findNode(99, env);
  await appendFile(file, '# changed\n');
  expect(await findNode(99, env)).toBe(file);
  expect(await timesAsked()).toBe(2);
});

test('an older one, and one that is no program, are passed over', async () => {
  await node('bin/node', 'v98.9.0');
  await mkdir(join(folder, '.nvm/versions/node/v99.0.0/bin/node'), { recursive: true });
  expect(await findNode(99, env)).toBeUndefined();
});

test.each([
  ['what another version of bottle has got', 'cache/tools/node-99.2.0/node'],
  ['nvm', '.nvm/versions/node/v99.2.0/bin/node'],
  ['fnm', '.local/share/fnm/node-versions/v99.2.0/installation/bin/node'],
  ['fnm on a Mac', 'Library/Application Support/fnm/node-versions/v99.2.0/installation/bin/node'],
  ['volta', '.volta/tools/image/node/99.2.0/bin/node'],
  ['mise', '.local/share/mise/installs/node/99.2.0/bin/node'],
  ['asdf', '.asdf/installs/nodejs/99.2.0/bin/node'],
  ['nodenv', '.nodenv/versions/99.2.0/bin/node'],
])('%s: the newest is taken by the name of its folder, and never asked', async (_, place) => {
  await node(place.replace('99.2.0', '99.1.0'), 'v99.1.0');
  await node(place.replace('99.2.0', '9.3.0'), 'v9.3.0');
  const newest = await node(place, 'v99.2.0');
  expect(await findNode(99, env)).toBe(newest);
  expect(await timesAsked()).toBe(0);
});

test('our own comes first', async () => {
  await node('bin/node', 'v99.0.0');
  const own = await node(ownNode(env).slice(folder.length + 1), 'v99.0.0');
  expect(await findNode(99, env)).toBe(own);
});

test('there is a pinned Node for each computer that bottle runs on', () => {
  for (const [platform, arch] of [
    ['linux', 'x64'],
    ['linux', 'arm64'],
    ['darwin', 'x64'],
    ['darwin', 'arm64'],
  ] as const) {
    const { package: name, version, integrity } = nodePin(platform, arch);
    expect(name).toContain(`${platform}-${arch}`);
    expect(Number.parseInt(version, 10)).toBeGreaterThanOrEqual(24);
    expect(integrity).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/);
  }
});
