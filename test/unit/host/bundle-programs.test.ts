import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { chooseProgram, findProgram } from '../../../src/host/bundle-programs.ts';
import { readPins } from '../../../src/host/pins.ts';

let directory: string;
let env: NodeJS.ProcessEnv;
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-programs-'));
  const at = (name: string): string => path.join(directory, name);
  env = {
    PATH: `${at('path')}:relative`,
    BOTTLE_TOOLS: at('tools'),
    BOTTLE_CACHE: at('cache'),
    BOTTLE_STATE: at('state'),
  };
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

/** As an image build of this installation does it. */
const choose = (file: string, arch: 'x64' | 'arm64' = 'x64', of = env) => chooseProgram('pipelock', arch, file, of);

test('the folder of tools comes before PATH, and that before what was chosen earlier', async () => {
  await choose(write('earlier'));
  expect(await find()).toMatchObject({ source: 'chosen' });
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

test('the earlier folder of PATH wins', async () => {
  const second = write('path2/pipelock');
  env['PATH'] = [path.join(directory, 'path'), path.join(directory, 'path2')].join(path.delimiter);
  expect(await find()).toMatchObject({ path: second, source: 'PATH' });
  const first = write('path/pipelock');
  expect(await find()).toMatchObject({ path: first });
});

test('a gitleaks that was got for anybody comes last, and counts for everybody; a scanner does not', async () => {
  const { pipelock, gitleaks } = (await readPins()).programs;
  const got = write(`cache/tools/gitleaks-${gitleaks.version}/gitleaks`);
  write(`cache/tools/pipelock-${pipelock.version}/pipelock`);
  expect(await findProgram('gitleaks', 'x64', env)).toMatchObject({ path: got, source: 'cache' });
  expect(await find()).toBeUndefined();
});

test('what was chosen counts for the architecture it was chosen for', async () => {
  await choose(write('earlier', { machine: 0xb7 }), 'arm64');
  expect(await find('x64')).toBeUndefined();
  expect(await find('arm64')).toMatchObject({ source: 'chosen' });
});

test('what one installation chooses, no other one with the same cache launches', async () => {
  const other = { ...env, BOTTLE_TOOLS: '', BOTTLE_STATE: path.join(directory, 'other') };
  await choose(write('one', { content: 'one' }));
  expect(await findProgram('pipelock', 'x64', other)).toBeUndefined();
  const before = await find();
  await choose(write('two', { content: 'two' }), 'x64', other);
  expect(await find()).toEqual(before);
  expect((await findProgram('pipelock', 'x64', other))?.digest).not.toBe(before?.digest);
});

test('what was chosen is a copy: the folder that it came from may change or go', async () => {
  const tools = write('tools/pipelock', { content: 'one' });
  const before = await find();
  await choose(tools);
  write('tools/pipelock', { content: 'two' });
  env['BOTTLE_TOOLS'] = '';
  expect((await find())?.digest).toBe(before?.digest);
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
  write('path/pipelock', { content: 'one' });
  env['BOTTLE_TOOLS'] = '';
  expect((await find())?.digest).toBe(first);
  write('path/pipelock', { content: 'two' });
  expect((await find())?.digest).not.toBe(first);
  expect(first).toMatch(/^[0-9a-f]{12}$/);
  write('path/pipelock', { content: 'one!' });
  expect((await find())?.digest).not.toBe(first);
});
