import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serverArguments, serverStatus, startServer, stopServer } from '../../../src/host/embedded-server.ts';
import { lockWithin, tryLock, withLock } from '../../../src/host/file-lock.ts';
import { portOwner } from '../../../src/host/port-owner.ts';
import { commandLine, readLivePid, stopByPidFile, writePidFile } from '../../../src/host/process-file.ts';
import { settings } from '../../../src/host/settings.ts';
import { SEARCH_ATTRIBUTES } from '../../../src/host/temporal-defaults.ts';
import { agentAttribute, hostAttribute, phaseAttribute, stepAttribute } from '../../../src/workflows/messages.ts';

let root: string;
let children: ChildProcess[];
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'bottle-embedded-'));
  children = [];
});
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  rmSync(root, { recursive: true, force: true });
});

/** A process with `mark` in its command line; resolves when it runs its script. */
async function start(mark: string, script = ''): Promise<ChildProcess & { pid: number; firstLine: string }> {
  const child = spawn(process.execPath, ['-e', `${script}; console.log('up'); setInterval(() => {}, 1000)`, mark], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [output] = (await once(child.stdout, 'data')) as [Buffer];
  return Object.assign(child as ChildProcess & { pid: number }, {
    firstLine: output.toString().split('\n', 1)[0] ?? '',
  });
}

const marked = (mark: string) => (line: string) => line.includes(mark);

describe('a pid file', () => {
  it('stands for a live process whose command line matches', async () => {
    const file = path.join(root, 'x.pid');
    const child = await start('mark-a');
    writePidFile(file, child.pid);
    expect(readFileSync(file, 'utf8')).toBe(`${child.pid}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await commandLine(child.pid)).toContain('mark-a');
    expect(await readLivePid(file, marked('mark-a'))).toBe(child.pid);
  });

  it('is stale, and removed, when the process is another one', async () => {
    const file = path.join(root, 'x.pid');
    writePidFile(file, (await start('mark-b')).pid);
    expect(await readLivePid(file, marked('mark-a'))).toBeNull();
    expect(existsSync(file)).toBe(false);
  });

  it('is stale when the process is gone, or the file holds no number', async () => {
    const file = path.join(root, 'x.pid');
    const child = await start('mark-a');
    child.kill('SIGKILL');
    await once(child, 'exit');
    writePidFile(file, child.pid);
    expect(await readLivePid(file, () => true)).toBeNull();
    writeFileSync(file, 'no number');
    expect(await readLivePid(file, () => true)).toBeNull();
    expect(existsSync(file)).toBe(false);
    expect(await readLivePid(file, () => true)).toBeNull();
  });

  it('stops its process by SIGTERM', async () => {
    const file = path.join(root, 'x.pid');
    const child = await start('mark-a');
    writePidFile(file, child.pid);
    expect(await stopByPidFile(file, marked('mark-a'))).toBe('stopped');
    expect(await commandLine(child.pid)).toBeNull();
    expect(existsSync(file)).toBe(false);
    expect(await stopByPidFile(file, marked('mark-a'))).toBe('not-running');
  });

  it('kills a process that ignores SIGTERM', async () => {
    const file = path.join(root, 'x.pid');
    const child = await start('mark-a', "process.on('SIGTERM', () => {})");
    writePidFile(file, child.pid);
    expect(await stopByPidFile(file, marked('mark-a'), { graceMs: 200 })).toBe('killed');
    expect(child.signalCode ?? (await once(child, 'exit'))[1]).toBe('SIGKILL');
  });

  it("never touches somebody else's process", async () => {
    const file = path.join(root, 'x.pid');
    const child = await start('mark-b');
    writePidFile(file, child.pid);
    expect(await stopByPidFile(file, marked('mark-a'))).toBe('not-running');
    expect(await commandLine(child.pid)).toContain('mark-b');
  });
});

describe('a file lock', () => {
  it('has one holder', async () => {
    const file = path.join(root, 'lock');
    const lock = tryLock(file);
    expect(tryLock(file)).toBeNull();
    lock?.release();
    const next = tryLock(file);
    expect(next).not.toBeNull();
    next?.release();
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('lets one act after the other, and goes on after one that fails', async () => {
    const file = path.join(root, 'lock');
    let inside = 0;
    const act = (index: number) =>
      withLock(file, async () => {
        inside += 1;
        expect(inside).toBe(1);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inside -= 1;
        if (index === 1) throw new Error('failed');
        return index;
      });
    const results = await Promise.allSettled([0, 1, 2, 3].map(act));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  });

  it('stays with its holder when that tries once more', async () => {
    const file = path.join(root, 'lock');
    const lock = tryLock(file);
    expect(tryLock(file)).toBeNull();
    const module = new URL('../../../src/host/file-lock.ts', import.meta.url).href;
    const other = await start(
      'other',
      `const { tryLock } = await import('${module}'); console.log(tryLock('${file}') === null)`,
    );
    expect(other.firstLine).toBe('true');
    lock?.release();
  });

  it('is shared by those who share it, and by nobody with one who is alone', async () => {
    const file = path.join(root, 'lock');
    const shared = [tryLock(file, 'shared'), tryLock(file, 'shared')];
    expect(shared).not.toContain(null);
    expect(tryLock(file)).toBeNull();
    shared[0]?.release();
    expect(tryLock(file)).toBeNull();
    expect(await lockWithin(file, 60)).toBeNull();
    const waited = lockWithin(file, 5000);
    setTimeout(() => shared[1]?.release(), 50);
    const alone = await waited;
    expect(alone).not.toBeNull();
    expect(tryLock(file, 'shared')).toBeNull();
    alone?.release();
  });

  it('that is shared keeps another process from being alone, until its holder is killed', async () => {
    const file = path.join(root, 'lock');
    const module = new URL('../../../src/host/file-lock.ts', import.meta.url).href;
    const holder = await start(
      'holder',
      `const { tryLock } = await import('${module}'); globalThis.lock = tryLock('${file}', 'shared')`,
    );
    const beside = tryLock(file, 'shared');
    expect(beside).not.toBeNull();
    beside?.release();
    expect(tryLock(file)).toBeNull();
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    const alone = tryLock(file);
    expect(alone).not.toBeNull();
    alone?.release();
  });

  it('is free again when its holder is killed', async () => {
    const file = path.join(root, 'lock');
    const module = new URL('../../../src/host/file-lock.ts', import.meta.url).href;
    const holder = await start(
      'holder',
      `const { tryLock } = await import('${module}'); globalThis.lock = tryLock('${file}')`,
    );
    expect(tryLock(file)).toBeNull();
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    const lock = tryLock(file);
    expect(lock).not.toBeNull();
    lock?.release();
  });
});

describe('portOwner', () => {
  it('is the process that listens, and null when none does', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    expect(await portOwner(port)).toMatchObject({ pid: process.pid });
    server.close();
    await once(server, 'close');
    expect(await portOwner(port)).toBeNull();
  });
});

describe('the embedded server', () => {
  it('listens on loopback, keeps its database, and has our search attributes and settings', () => {
    const line = serverArguments({ port: 7300, uiPort: 8300 }, '/state/temporal/1.29.db').join(' ');
    expect(line).toMatch(
      /^server start-dev --ip 127\.0\.0\.1 --port 7300 --ui-port 8300 --db-filename \/state\/temporal\/1\.29\.db /,
    );
    expect(line).toContain('--sqlite-pragma journal_mode=WAL --sqlite-pragma synchronous=NORMAL');
    expect(line).toContain('--dynamic-config-value history.transferProcessorMaxPollRPS=2000');
    expect(line).toContain('--dynamic-config-value system.enableActivityEagerExecution=true');
    expect(line).toContain('--search-attribute BottlePhase=Keyword --search-attribute BottleAgent=Keyword');
  });

  it('registers exactly the search attributes that the workflow sets', () => {
    const set = [phaseAttribute, agentAttribute, hostAttribute, stepAttribute];
    expect(set.map(({ name }) => name)).toEqual([...SEARCH_ATTRIBUTES]);
    expect(set.every(({ type }) => type === 'KEYWORD')).toBe(true);
  });

  /** A stand-in for the Temporal CLI: says its version, then does `body`. */
  function program(body: string): string {
    const file = path.join(root, 'temporal');
    const version = 'temporal version 0.0.0-DEV (Server 1.29.1, UI 2.42.1)';
    writeFileSync(file, `#!/bin/sh\n[ "$1" = --version ] && { echo "${version}"; exit; }\n${body}\n`, { mode: 0o755 });
    return file;
  }

  async function freeSettings() {
    for (;;) {
      const server = net.createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as net.AddressInfo;
      server.close();
      await once(server, 'close');
      if (port <= 64_535) return settings({ BOTTLE_STATE: path.join(root, 'state'), BOTTLE_PORT: String(port) });
    }
  }

  it('that ends early is an error with the last lines of its log, and leaves no pid file', async () => {
    const here = await freeSettings();
    const starting = startServer(here, { detached: true, program: program('echo "unable to open database"; exit 3') });
    await expect(starting).rejects.toMatchObject({
      code: 'SERVER_FAILED',
      message: expect.stringMatching(/ended with code 3: unable to open database/),
      hint: `see ${path.join(here.state, 'log', 'server.log')}`,
    });
    expect(await serverStatus(here)).toMatchObject({ pid: null, answers: false });
    expect(await stopServer(here)).toBe('not-running');
  });

  it('that is killed while it starts is an error that may pass', async () => {
    const starting = startServer(await freeSettings(), { detached: true, program: program('kill -9 $$') });
    await expect(starting).rejects.toMatchObject({
      code: 'SERVER_FAILED',
      message: expect.stringContaining('was ended by SIGKILL'),
      retryable: true,
    });
  });

  it('that cannot be run at all is an error', async () => {
    const starting = startServer(await freeSettings(), { detached: true, program: path.join(root, 'none') });
    await expect(starting).rejects.toMatchObject({
      code: 'SERVER_FAILED',
      message: expect.stringContaining('cannot be run'),
    });
  });

  it.each(['port', 'uiPort'] as const)('does not start when its %s is taken, and says by whom', async (which) => {
    const here = await freeSettings();
    const blocker = net.createServer().listen(here[which], '127.0.0.1');
    await once(blocker, 'listening');
    const error = await startServer(here, { detached: true, program: program('exit 9') }).catch(
      (thrown: unknown) => thrown,
    );
    blocker.close();
    await once(blocker, 'close');
    expect(error).toMatchObject({
      code: 'SERVER_FAILED',
      message: expect.stringMatching(
        new RegExp(`^port ${here[which]}, .* is taken by .*\\(process ${process.pid}\\)$`),
      ),
      hint: expect.stringContaining('BOTTLE_PORT'),
    });
  });
});
