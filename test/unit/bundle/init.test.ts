import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { DaemonStatus } from '../../../src/bundle/status-report.ts';
import { EXIT_CONFIG, PIPELOCK_PORT, parseStatusLine } from '../../../src/core/daemons.ts';

/** As in the image: one file, CommonJS. */
let directory: string;
let initFile: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'bottle-init-'));
  initFile = join(directory, 'init.js');
  await build({
    entryPoints: [new URL('../../../src/bundle/init.ts', import.meta.url).pathname],
    outfile: initFile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    logLevel: 'error',
  });
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

let init: ChildProcess | undefined;
let statusSocket: string;
let host: string;
let log: string;
let wake: () => void;

beforeEach(() => {
  init = undefined;
  log = '';
  wake = () => {};
  statusSocket = join(mkdtempSync(join(directory, 'run-')), 'bottle', 'init.sock');
  // Any address of 127/8 is ours, so the fixed port is free on one picked at random.
  const part = () => 1 + Math.floor(Math.random() * 250);
  host = `127.${part()}.${part()}.${part()}`;
});

afterEach(async () => {
  if (init === undefined || init.exitCode !== null || init.signalCode !== null) return;
  const exited = once(init, 'exit');
  init.kill('SIGKILL');
  await exited;
});

function start(env: Record<string, string>): ChildProcess {
  init = spawn(process.execPath, [initFile], {
    env: { PATH: '/usr/bin:/bin', BOTTLE_STATUS_SOCKET: statusSocket, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  init.stdout?.setEncoding('utf8').on('data', (data: string) => {
    log += data;
    wake();
  });
  return init;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

/** What a follower of the log knows. */
const told = () =>
  log
    .split('\n')
    .map(parseStatusLine)
    .filter((states) => states !== undefined);
/** What a look at the socket tells. */
async function states(): Promise<Record<string, DaemonStatus>> {
  const request = http.get({ socketPath: statusSocket, path: '/', agent: false });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return JSON.parse(await text(response)).daemons;
}

/** Hands init a delivery as the host does. */
function deliver(child: ChildProcess, config: unknown, revision = 'one'): void {
  child.stdin?.write(`${JSON.stringify({ revision, config })}\n`);
}
const listing = (...allow: string[]) => ({
  pipelock: { kind: 'allow-list', listen: { host, port: PIPELOCK_PORT }, allow, egress: null },
});
const proxyAnswers = (path: string) =>
  fetch(`http://${host}:${PIPELOCK_PORT}${path}`).then((response) => response.json());

async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null) await once(child, 'exit');
  return child.exitCode;
}

describe('with the allow-list proxy', () => {
  const env = { BOTTLE_DAEMONS: 'pipelock', SECRET_OF_OTHERS: 'x' };
  const isReady = () => told().at(-1)?.['pipelock'] === 'ready';
  async function startReady(): Promise<ChildProcess> {
    const child = start(env);
    deliver(child, listing('ok.test'));
    await until(() => log.includes('[init] applied one\n[init] status {"pipelock":"ready"}\n'));
    return child;
  }

  test('it waits for its configuration, and says ready once the proxy answers', async () => {
    const child = start(env);
    await until(() => told().length === 1);
    deliver(child, listing('ok.test'));
    await until(() => log.includes('[init] applied one\n'));
    await until(() => told().length === 3);
    expect(told()).toEqual([{ pipelock: 'starting' }, { pipelock: 'ready' }, { pipelock: 'ready' }]);
    expect(await proxyAnswers('/verdict?host=ok.test')).toEqual({ host: 'ok.test', verdict: 'allow' });
    expect(await proxyAnswers('/verdict?host=evil.test')).toEqual({ host: 'evil.test', verdict: 'deny' });
    expect(await states()).toEqual({
      pipelock: { state: 'ready', pid: expect.any(Number), restarts: 0, since: expect.any(String) },
    });
  });

  test('another list counts once it is told as applied, in the same process', async () => {
    const child = await startReady();
    const before = (await states())['pipelock']?.pid;
    deliver(child, listing('new.test'), 'two');
    await until(() => log.includes('[init] applied two\n'));
    expect(await proxyAnswers('/verdict?host=new.test')).toMatchObject({ verdict: 'allow' });
    expect(await proxyAnswers('/verdict?host=ok.test')).toMatchObject({ verdict: 'deny' });
    expect((await states())['pipelock']?.pid).toBe(before);
  });

  test('a delivery that cannot be read is complained of without a word of it, and changes nothing', async () => {
    const child = await startReady();
    const complaints = text(child.stderr as NodeJS.ReadableStream);
    child.stdin?.write('{"revision":"x","config":"secret\n');
    child.stdin?.write('{"revision":"x y","config":{"pipelock":"secret"}}\n');
    child.stdin?.write('{"revision":"x","config":{"egress":"secret"}}\n');
    deliver(child, listing('ok.test'), 'two');
    await until(() => log.includes('[init] applied two\n'));
    child.kill('SIGTERM');
    expect(await complaints).toBe('[init] error: a delivery that cannot be read\n'.repeat(3));
    expect(log).not.toContain('secret');
  });

  test('a delivery may hold any text, and come in any pieces', async () => {
    const child = await startReady();
    // Line ends for some readers, but not in JSON.
    const config = {
      ...listing('new.test'),
      others: `an operator's note\u2028over two lines\u2029${'é'.repeat(100_000)}`,
    };
    const bytes = Buffer.from(`\n${JSON.stringify({ revision: 'two', config })}\n`);
    for (let at = 0; at < bytes.length; at += 7777) child.stdin?.write(bytes.subarray(at, at + 7777));
    await until(() => log.includes('[init] applied two\n'));
    expect(await proxyAnswers('/verdict?host=new.test')).toMatchObject({ verdict: 'allow' });
  });

  test('goes on when its input ends', async () => {
    const child = await startReady();
    child.stdin?.end();
    expect(await proxyAnswers('/health')).toEqual({ status: 'ok' });
  });

  test('the proxy refuses what is not listed', async () => {
    await startReady();
    const request = http.get({ host, port: PIPELOCK_PORT, path: 'http://evil.test/', agent: false });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    expect(response.statusCode).toBe(403);
    expect(await text(response)).toBe('blocked: domain not in allowlist: evil.test\n');
    await until(() => log.includes('[pipelock] {"method":"GET","host":"evil.test","port":80,"verdict":"deny"'));
  });

  test('a proxy that cannot listen says why in one line, and is tried again', async () => {
    host = '192.0.2.1'; // an address nobody has
    deliver(start(env), listing());
    await until(() => told().filter((each) => each['pipelock'] === 'backoff').length === 2);
    expect(
      told()
        .slice(0, 4)
        .map((each) => each['pipelock']),
    ).toEqual(['starting', 'backoff', 'starting', 'backoff']);
    const words = log.split('\n').filter((line) => line.startsWith('[pipelock]'));
    expect(words.slice(0, 2)).toEqual(
      Array(2).fill('[pipelock] error: listen EADDRNOTAVAIL: address not available 192.0.2.1:8888'),
    );
    expect(log).not.toContain('applied');
  });

  test('the daemon has only the variables it needs', async () => {
    await startReady();
    const environment = readFileSync(`/proc/${(await states())['pipelock']?.pid}/environ`, 'utf8');
    const names = environment.split('\0').flatMap((pair) => pair.split('=')[0] || []);
    expect(names.filter((name) => !name.startsWith('NODE_CHANNEL_')).sort()).toEqual(['PATH']);
  });

  test('a killed proxy is ready again in another process, with what it was given', async () => {
    await startReady();
    const pid = (await states())['pipelock']?.pid as number;
    process.kill(pid, 'SIGKILL');
    await until(() => told().at(-1)?.['pipelock'] === 'backoff');
    await until(isReady);
    expect((await states())['pipelock']).toMatchObject({ restarts: 1 });
    expect((await states())['pipelock']?.pid).not.toBe(pid);
    expect(await proxyAnswers('/verdict?host=ok.test')).toMatchObject({ verdict: 'allow' });
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('%s ends it with 0, and the proxy with it', async (signal) => {
    const child = await startReady();
    const pid = (await states())['pipelock']?.pid as number;
    child.kill(signal);
    expect(await exitOf(child)).toBe(0);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(told().at(-1)).toEqual({ pipelock: 'stopped' });
  });

  test('SIGHUP ends neither', async () => {
    const child = await startReady();
    child.kill('SIGHUP');
    expect(await proxyAnswers('/health')).toEqual({ status: 'ok' });
    child.kill('SIGTERM');
    expect(await exitOf(child)).toBe(0);
    expect(told().at(-1)).toEqual({ pipelock: 'stopped' });
  });

  test('killed outright, it leaves no proxy behind', async () => {
    const child = await startReady();
    child.kill('SIGKILL');
    const asked = () => proxyAnswers('/health').catch((error: Error) => (error.cause as NodeJS.ErrnoException).code);
    await expect.poll(asked).toBe('ECONNREFUSED');
  });

  test('where the status socket cannot be made, the log still tells', async () => {
    const child = start({ ...env, BOTTLE_STATUS_SOCKET: join(initFile, 'init.sock') });
    const complaint = text(child.stderr as NodeJS.ReadableStream);
    deliver(child, listing());
    await until(isReady);
    child.kill('SIGTERM');
    expect(await complaint).toMatch(/^\[init\] error: no status socket: [^\n]*\n$/);
  });
});

test.each(['', ' , '])('with the daemons %j it idles until SIGTERM', async (BOTTLE_DAEMONS) => {
  const child = start({ BOTTLE_DAEMONS });
  await until(() => log.includes('\n'));
  expect(log).toBe('[init] status {}\n');
  expect(await states()).toEqual({});
  child.kill('SIGTERM');
  expect(await exitOf(child)).toBe(0);
  // It was still there to be told.
  expect(log).toBe('[init] status {}\n[init] stopping\n');
});

describe('an environment that makes no sense ends it at once with one line', () => {
  test.each<[string, Record<string, string>]>([
    ['unknown daemon "nope" (known: pipelock, egress, git-gate, supervise)', { BOTTLE_DAEMONS: 'pipelock,nope' }],
    [
      'BOTTLE_SCANNER is "magic" (known: pipelock, allow-list)',
      { BOTTLE_DAEMONS: 'pipelock', BOTTLE_SCANNER: 'magic' },
    ],
  ])('%s', async (message, env) => {
    const child = start(env);
    expect(await text(child.stderr as NodeJS.ReadableStream)).toBe(`[init] error: ${message}\n`);
    expect(await exitOf(child)).toBe(EXIT_CONFIG);
    expect(log).toBe('');
  });
});
