/** A `bottle` that is started with too old a Node: who runs in its place, and that nobody can tell. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const OLD_NODE = fileURLToPath(new URL('../../fixtures/old-node.ts', import.meta.url));
/** Runs what would be the command of bottle. */
const NEWER = `#!/bin/sh
if [ "$1" = --version ]; then echo v99.1.0; exit; fi
eval "$2"
`;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bottle-node-'));
  await mkdir(join(folder, 'bin'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const environment = () => ({ BOTTLE_CACHE: join(folder, 'cache'), HOME: folder, PATH: `${folder}/bin:/usr/bin:/bin` });

function bottle(way: string, ...args: string[]) {
  return execa(process.execPath, [OLD_NODE, way, ...args], { reject: false, extendEnv: false, env: environment() });
}

async function newerNode(): Promise<void> {
  await writeFile(join(folder, 'bin/node'), NEWER);
  await chmod(join(folder, 'bin/node'), 0o755);
}

describe.each(['execve', 'spawn'])('by %s', (way) => {
  beforeEach(newerNode);

  test('its exit code is the one', async () => {
    expect(await bottle(way, 'exit 7')).toMatchObject({ exitCode: 7, stdout: '', stderr: '' });
  });

  test('it has the input, and both outputs are its own', async () => {
    const running = bottle(way, 'cat; echo problem >&2');
    running.stdin?.end('asked');
    expect(await running).toMatchObject({ exitCode: 0, stdout: 'asked', stderr: 'problem' });
  });

  test('a signal reaches it', async () => {
    const running = bottle(way, 'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done');
    for await (const line of running.iterable()) if (line === 'up') running.kill('SIGTERM');
    expect((await running).exitCode).toBe(9);
  });

  test('when a signal ends it, that ends the whole', async () => {
    expect(await bottle(way, 'kill -KILL $$')).toMatchObject({ signal: 'SIGKILL' });
  });
});

describe('where there is none', () => {
  test('one line says so, and what to do', async () => {
    const { exitCode, stdout, stderr } = await bottle('spawn', 'ls');
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toMatch(/^error\[TOOL_MISSING\]: bottle needs Node 99, this is v[\d.]+\nhint: run: bottle setup /);
  });

  test('help and version are told by the old one', async () => {
    for (const words of [['--help'], ['up', '--help'], ['help', 'up'], ['--version'], []]) {
      const { stdout, stderr } = await bottle('spawn', ...words);
      expect(words.length === 0 ? stdout + stderr : stdout, stderr).toMatch(/^(Usage: bottle |\d+\.\d+\.\d+$)/);
      expect(stderr).not.toContain('TOOL_MISSING');
    }
  });

  test('what is asked of a command in the machine is no question to bottle', async () => {
    for (const words of [
      ['exec', 'demo', '--', 'ls', '--help'],
      ['claude', 'demo', '--', '--version'],
      ['exec', 'demo', 'ls', '--help'],
    ])
      expect((await bottle('spawn', ...words)).stderr).toContain('error[TOOL_MISSING]');
  });

  test('with --json it is one document', async () => {
    const { exitCode, stdout, stderr } = await bottle('spawn', 'ls', '--json');
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'TOOL_MISSING' } });
  });
});
