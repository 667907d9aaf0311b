import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findProgram } from '../../../src/host/bundle-programs.ts';
import { readPins } from '../../../src/host/pins.ts';

let directory: string;
let env: NodeJS.ProcessEnv;
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-programs-'));
  const at = (name: string): string => path.join(directory, name);
  env = { PATH: `${at('path')}:relative`, BOTTLE_TOOLS: at('tools'), BOTTLE_CACHE: at('cache') };
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** The beginning of an ELF file for that machine, and something of its own. */
function write(file: string, { machine = 0x3e, content = 'x', magic = '\x7fELF' } = {}): string {
  const target = path.join(directory, file);
  mkdirSync(path.dirname(target), { recursive: true });
  const head = Buffer.alloc(64);
  head.write(magic, 'latin1');
  head.writeUInt16LE(machine, 18);
  writeFileSync(target, Buffer.concat([head, Buffer.from(content)]));
  chmodSync(target, 0o755);
  return target;
}
const find = (arch: 'x64' | 'arm64' = 'x64') => findProgram('pipelock', arch, env);

test('the folder of tools comes before PATH, and that before the cache', async () => {
  const cache = write('cache/programs/linux-x64/pipelock');
  expect(await find()).toMatchObject({ path: cache, source: 'cache' });
  const onPath = write('path/pipelock');
  expect(await find()).toMatchObject({ path: onPath, source: 'PATH' });
  const tools = write('tools/pipelock');
  expect(await find()).toMatchObject({ path: tools, source: 'BOTTLE_TOOLS' });
});

test('what is no Linux program of that architecture is passed over', async () => {
  write('tools/pipelock', { magic: '#!/bin/sh' });
  write('path/pipelock', { machine: 0xb7 });
  expect(await find()).toBeUndefined();
  expect(await find('arm64')).toMatchObject({ source: 'PATH' });
  writeFileSync(path.join(directory, 'tools/pipelock'), 'x');
  expect(await find()).toBeUndefined();
});

test('the earlier folder of PATH wins, and what the bootstrap built comes last', async () => {
  const { version } = (await readPins()).programs.pipelock;
  const built = write(`cache/tools/pipelock-${version}/pipelock`);
  expect(await find()).toMatchObject({ path: built, source: 'cache' });
  const kept = write('cache/programs/linux-x64/pipelock');
  expect(await find()).toMatchObject({ path: kept });
  const second = write('path2/pipelock');
  env['PATH'] = [path.join(directory, 'path'), path.join(directory, 'path2')].join(path.delimiter);
  expect(await find()).toMatchObject({ path: second, source: 'PATH' });
  const first = write('path/pipelock');
  expect(await find()).toMatchObject({ path: first });
});

test('of the cache only what was kept for the architecture counts', async () => {
  write('cache/programs/linux-arm64/pipelock', { machine: 0xb7 });
  expect(await find('x64')).toBeUndefined();
  expect(await find('arm64')).toMatchObject({ source: 'cache' });
});

test('each program is looked for by its own name, and a folder of that name is none', async () => {
  write('tools/gitleaks');
  mkdirSync(path.join(directory, 'tools/pipelock'));
  expect(await find()).toBeUndefined();
  expect(await findProgram('gitleaks', 'x64', env)).toMatchObject({ source: 'BOTTLE_TOOLS' });
});

test('the path that is found is absolute, whatever BOTTLE_TOOLS is', async () => {
  const found = write('tools/pipelock');
  env['BOTTLE_TOOLS'] = path.relative(process.cwd(), path.join(directory, 'tools'));
  expect(await find()).toMatchObject({ path: found, source: 'BOTTLE_TOOLS' });
});

test('the digest changes with the program, and with nothing else', async () => {
  write('tools/pipelock', { content: 'one' });
  const first = (await find())?.digest;
  write('cache/programs/linux-x64/pipelock', { content: 'one' });
  env['BOTTLE_TOOLS'] = '';
  expect((await find())?.digest).toBe(first);
  write('cache/programs/linux-x64/pipelock', { content: 'two' });
  expect((await find())?.digest).not.toBe(first);
  expect(first).toMatch(/^[0-9a-f]{12}$/);
  write('cache/programs/linux-x64/pipelock', { content: 'one!' });
  expect((await find())?.digest).not.toBe(first);
});
