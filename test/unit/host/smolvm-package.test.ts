import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { strToU8, zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readPins } from '../../../src/host/pins.ts';
import { hasPip } from '../../../src/host/python-package.ts';
import { findSmolvm, obtainSmolvm } from '../../../src/host/smolvm-package.ts';
import { toolsDirectory } from '../../../src/host/tools.ts';

const { version, package: name, wheels } = (await readPins()).tools.smolvm;
const wheel = wheels[`${process.platform}-${process.arch}`];

const pip = wheel !== undefined && (await hasPip());

let folder: string;
let env: NodeJS.ProcessEnv;
const silent = (): void => undefined;
const at = (...parts: string[]): string => path.join(folder, ...parts);

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-smolvm-'));
  env = { PATH: at('path'), HOME: at('home'), BOTTLE_CACHE: at('cache') };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function program(file: string): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, '#!/bin/sh\necho smolvm 1.31.0\n');
  chmodSync(file, 0o755);
  return file;
}

describe('smolvm is found', () => {
  test('on PATH before the cache', async () => {
    const cached = program(path.join(toolsDirectory(env), `smolvm-${version}`, 'smolvm'));
    expect(await findSmolvm(env)).toEqual({ path: cached, version, source: 'cache' });
    const onPath = program(at('path', 'smolvm'));
    expect(await findSmolvm(env)).toEqual({ path: onPath, version: '1.31.0', source: 'path' });
  });

  test('nowhere', async () => {
    expect(await findSmolvm(env)).toBeUndefined();
  });

  test('with the root filesystem of its own installer, which it does not find with a state directory', async () => {
    const installed = program(at('installed', 'smolvm'));
    mkdirSync(at('path'));
    symlinkSync(installed, at('path', 'smolvm'));
    expect(await findSmolvm(env)).not.toHaveProperty('rootfs');
    const rootfs = at('home/.local/share/smolvm/agent-rootfs');
    mkdirSync(rootfs, { recursive: true });
    expect(await findSmolvm(env)).toMatchObject({ rootfs });
    expect(await findSmolvm({ ...env, SMOLVM_AGENT_ROOTFS_TAR: '/named.tar' })).toMatchObject({ rootfs: '/named.tar' });
    writeFileSync(at('installed', 'agent-rootfs.tar.zst'), '');
    expect(await findSmolvm(env)).not.toHaveProperty('rootfs');
  });
});

describe('smolvm is obtained', () => {
  test('not at all without pip, and that is said', async () => {
    await expect(obtainSmolvm(silent, env)).rejects.toMatchObject({ code: 'TOOL_MISSING', message: /no pip/ });
    expect(readdirSync(toolsDirectory(env))).toEqual([]);
  });

  test('by nothing when it is there', async () => {
    program(at('path', 'smolvm'));
    expect(await obtainSmolvm(silent, env)).toMatchObject({ source: 'path' });
  });

  test.skipIf(!pip)('not when the package is another one than the pinned', async () => {
    const index = at('index');
    mkdirSync(index);
    const information = `${name}-${version}.dist-info`;
    const parts = {
      'smol/smol-vmm': 'another program',
      [`${information}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`,
      [`${information}/WHEEL`]: `Wheel-Version: 1.0\nTag: cp39-abi3-${wheel?.platform}\n`,
      [`${information}/RECORD`]: '',
    };
    const bytes = zipSync(Object.fromEntries(Object.entries(parts).map(([file, text]) => [file, strToU8(text)])));
    writeFileSync(path.join(index, `${name}-${version}-cp39-abi3-${wheel?.platform}.whl`), bytes);
    // pip itself, with a folder for its index.
    const python = path.dirname((await execa('sh', ['-c', 'command -v python3 || command -v pip3'])).stdout);
    const offline = { ...env, PATH: `${python}:/usr/bin:/bin`, PIP_NO_INDEX: '1', PIP_FIND_LINKS: index };
    const lines: string[] = [];
    await expect(obtainSmolvm((line) => void lines.push(line), offline)).rejects.toMatchObject({
      code: 'TOOL_MISSING',
      message: expect.stringContaining('is not what images/pins.json says it is'),
    });
    expect(lines).toEqual([`downloading ${name} ${version}`]);
    expect(readdirSync(toolsDirectory(env))).toEqual([]);
    await expect(obtainSmolvm(silent, { ...offline, PIP_FIND_LINKS: at('nowhere') })).rejects.toMatchObject({
      code: 'TOOL_MISSING',
      message: expect.stringContaining(`pip could not get ${name}==${version}`),
    });
  });

  test('anew where a killed process left it half done, whose remains go', async () => {
    const tools = toolsDirectory(env);
    const { pid } = execa('true');
    await expect.poll(() => isGone(pid as number)).toBe(true);
    for (const owner of [pid, process.pid])
      mkdirSync(path.join(tools, `unfinished-smolvm-${owner}-x`), { recursive: true });
    await expect(obtainSmolvm(silent, env)).rejects.toThrow();
    expect(readdirSync(tools)).toEqual([`unfinished-smolvm-${process.pid}-x`]);
  });
});

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}
