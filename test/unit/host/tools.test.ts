import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readPins } from '../../../src/host/pins.ts';
import { cacheDirectory, findTool, TOOLS, toolsDirectory } from '../../../src/host/tools.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bottle-tools-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A program that answers `--version` with `says`. */
async function program(path: string, says: string, mode = 0o755): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho '${says}'\n`);
  await chmod(path, mode);
}

const environment = (): NodeJS.ProcessEnv => ({ PATH: join(folder, 'bin'), BOTTLE_CACHE: join(folder, 'cache') });

async function cachedTemporal(): Promise<{ path: string; version: string }> {
  const { version } = (await readPins()).tools.temporal;
  return { path: join(folder, 'cache/tools', `temporal-${version}`, 'temporal'), version };
}

describe('finding a tool', () => {
  test('one on PATH is found with the version it says', async () => {
    await program(join(folder, 'bin/temporal'), 'temporal version 1.7.3 (Server 1.31.0)');
    expect(await findTool('temporal', environment())).toEqual({
      path: join(folder, 'bin/temporal'),
      version: '1.7.3',
      source: 'path',
    });
  });

  test('one in the cache has the pinned version, whatever it says', async () => {
    const { path, version } = await cachedTemporal();
    await program(path, 'temporal version 0.0.0-DEV');
    expect(await findTool('temporal', environment())).toEqual({ path, version, source: 'cache' });
  });

  test('PATH goes before the cache', async () => {
    await program((await cachedTemporal()).path, 'x');
    await program(join(folder, 'bin/temporal'), '1.6.0');
    expect((await findTool('temporal', environment()))?.source).toBe('path');
  });

  test('another version in the cache is not taken', async () => {
    await program(join(folder, 'cache/tools/temporal-0.1.0/temporal'), '0.1.0');
    expect(await findTool('temporal', environment())).toBeUndefined();
  });

  test('a file that may not be run, or a folder of that name, is not a tool', async () => {
    await program(join(folder, 'bin/temporal'), '1.6.0', 0o644);
    await mkdir(join(folder, 'more/temporal'), { recursive: true });
    const env = { ...environment(), PATH: `${join(folder, 'bin')}:${join(folder, 'more')}` };
    expect(await findTool('temporal', env)).toBeUndefined();
  });

  test('a tool that says no version is still found', async () => {
    await program(join(folder, 'bin/docker'), 'hello');
    expect((await findTool('docker', environment()))?.version).toBe('unknown');
  });

  test('each tool says what it is for and what to do without it', () => {
    for (const tool of Object.values(TOOLS)) expect(tool).toMatchObject({ purpose: /\w/, hint: /\w/ });
  });
});

describe('the cache', () => {
  test('BOTTLE_CACHE names it, else it lies in the XDG cache', () => {
    expect(cacheDirectory({ BOTTLE_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
    expect(cacheDirectory({ XDG_CACHE_HOME: '/b' })).toBe('/b/bottle');
    expect(cacheDirectory({})).toMatch(/\/\.cache\/bottle$/);
    expect(toolsDirectory({ BOTTLE_CACHE: '/a' })).toBe('/a/tools');
  });
});
