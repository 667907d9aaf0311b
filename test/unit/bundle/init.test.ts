import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
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
let statusFile: string;
let host: string;
let log: string;
let wake: () => void;

beforeEach(() => {
  init = undefined;
  log = '';
  wake = () => {};
  statusFile = join(mkdtempSync(join(directory, 'run-')), 'bottle', 'status.json');
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
    env: { PATH: '/usr/bin:/bin', BOTTLE_LISTEN_HOST: host, BOTTLE_STATUS_FILE: statusFile, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
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
const file = () => JSON.parse(readFileSync(statusFile, 'utf8')) as { daemons: Record<string, DaemonStatus> };
const proxyAnswers = (path: string) =>
  fetch(`http://${host}:${PIPELOCK_PORT}${path}`).then((response) => response.json());

async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null) await once(child, 'exit');
  return child.exitCode;
}

describe('with pipelock', () => {
  const env = { BOTTLE_DAEMONS: 'pipelock', BOTTLE_ALLOW: '["ok.test"]', SECRET_OF_OTHERS: 'x' };

  test('it says starting, then ready once the proxy answers, in the log and in the file', async () => {
    start(env);
    await until(() => told().at(-1)?.['pipelock'] === 'ready');
    expect(told()).toEqual([{ pipelock: 'starting' }, { pipelock: 'ready' }]);
    expect(await proxyAnswers('/verdict?host=ok.test')).toEqual({ host: 'ok.test', verdict: 'allow' });
    expect(await proxyAnswers('/verdict?host=evil.test')).toEqual({ host: 'evil.test', verdict: 'deny' });
    expect(file()).toEqual({
      daemons: { pipelock: { state: 'ready', pid: expect.any(Number), restarts: 0, since: expect.any(String) } },
    });
    expect(readdirSync(join(statusFile, '..'))).toEqual(['status.json']);
  });

  test('the proxy refuses what is not listed', async () => {
    start(env);
    await until(() => told().at(-1)?.['pipelock'] === 'ready');
    const request = http.get({ host, port: PIPELOCK_PORT, path: 'http://evil.test/', agent: false });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    expect(response.statusCode).toBe(403);
    expect(await text(response)).toBe('blocked: domain not in allowlist: evil.test');
    await until(() => log.includes('[pipelock] {"method":"GET","host":"evil.test","port":80,"verdict":"deny"'));
  });

  test('a proxy that cannot listen says why in one line, and is tried again', async () => {
    start({ ...env, BOTTLE_LISTEN_HOST: '192.0.2.1' }); // an address nobody has
    await until(() => told().filter((states) => states['pipelock'] === 'backoff').length === 2);
    expect(
      told()
        .slice(0, 4)
        .map((states) => states['pipelock']),
    ).toEqual(['starting', 'backoff', 'starting', 'backoff']);
    const words = log.split('\n').filter((line) => line.startsWith('[pipelock]'));
    expect(words.slice(0, 2)).toEqual(
      Array(2).fill('[pipelock] error: listen EADDRNOTAVAIL: address not available 192.0.2.1:8888'),
    );
  });

  test('the daemon has only the variables it needs', async () => {
    start(env);
    await until(() => told().at(-1)?.['pipelock'] === 'ready');
    const environment = readFileSync(`/proc/${file().daemons['pipelock']?.pid}/environ`, 'utf8');
    const names = environment.split('\0').flatMap((pair) => pair.split('=')[0] || []);
    expect(names.filter((name) => !name.startsWith('NODE_CHANNEL_')).sort()).toEqual([
      'BOTTLE_ALLOW',
      'BOTTLE_LISTEN_HOST',
      'PATH',
    ]);
  });

  test('a killed proxy is ready again in another process, and its log lines carry its name', async () => {
    start(env);
    await until(() => told().at(-1)?.['pipelock'] === 'ready');
    const pid = file().daemons['pipelock']?.pid as number;
    process.kill(pid, 'SIGKILL');
    await until(() => told().filter((states) => states['pipelock'] === 'ready').length === 2);
    expect(file().daemons['pipelock']).toMatchObject({ restarts: 1 });
    expect(file().daemons['pipelock']?.pid).not.toBe(pid);
    const refusal = await fetch(`http://${host}:${PIPELOCK_PORT}/nothing`);
    expect(refusal.status).toBe(404);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('%s ends it with 0, and the proxy with it', async (signal) => {
    const child = start(env);
    await until(() => told().at(-1)?.['pipelock'] === 'ready');
    const pid = file().daemons['pipelock']?.pid as number;
    child.kill(signal);
    expect(await exitOf(child)).toBe(0);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(told().at(-1)).toEqual({ pipelock: 'stopped' });
  });

  test('SIGHUP ends neither', async () => {
    const child = start(env);
    await until(() => told().at(-1)?.['pipelock'] === 'ready');
    child.kill('SIGHUP');
    expect(await proxyAnswers('/health')).toEqual({ status: 'ok' });
    child.kill('SIGTERM');
    expect(await exitOf(child)).toBe(0);
    expect(told()).toEqual([{ pipelock: 'starting' }, { pipelock: 'ready' }, { pipelock: 'stopped' }]);
  });

  test('killed outright, it leaves no proxy behind', async () => {
    const child = start(env);
    await until(() => told().at(-1)?.['pipelock'] === 'ready');
    child.kill('SIGKILL');
    const asked = () => proxyAnswers('/health').catch((error: Error) => (error.cause as NodeJS.ErrnoException).code);
    await expect.poll(asked, { timeout: 5000 }).toBe('ECONNREFUSED');
  });

  test('where the status file cannot be written, the log still tells', async () => {
    const child = start({ ...env, BOTTLE_STATUS_FILE: join(initFile, 'status.json') });
    const complaint = text(child.stderr as NodeJS.ReadableStream);
    await until(() => told().at(-1)?.['pipelock'] === 'ready');
    child.kill('SIGTERM');
    expect(await complaint).toMatch(/^\[init\] error: no status file: [^\n]*\n$/);
  });
});

test.each(['', ' , '])('with the daemons %j it idles until SIGTERM', async (BOTTLE_DAEMONS) => {
  const child = start({ BOTTLE_DAEMONS });
  await until(() => log.includes('\n'));
  expect(log).toBe('[init] status {}\n');
  expect(file()).toEqual({ daemons: {} });
  child.kill('SIGTERM');
  expect(await exitOf(child)).toBe(0);
  // It was still there to be told.
  expect(log).toBe('[init] status {}\n[init] stopping\n');
});

describe('an environment that makes no sense ends it at once with one line', () => {
  test.each<[string, Record<string, string>]>([
    ['unknown daemon "nope" (known: pipelock, egress, git-gate, supervise)', { BOTTLE_DAEMONS: 'pipelock,nope' }],
    ['daemon "egress" is not built into this bundle', { BOTTLE_DAEMONS: 'egress' }],
    ['BOTTLE_LISTEN_HOST is not an IP address', { BOTTLE_DAEMONS: 'pipelock', BOTTLE_LISTEN_HOST: 'bundle' }],
    ['BOTTLE_LISTEN_HOST must be one address', { BOTTLE_DAEMONS: 'pipelock', BOTTLE_LISTEN_HOST: '0.0.0.0' }],
    ['BOTTLE_LISTEN_HOST must be one address', { BOTTLE_DAEMONS: 'pipelock', BOTTLE_LISTEN_HOST: '::' }],
    ['BOTTLE_ALLOW: not JSON', { BOTTLE_DAEMONS: 'pipelock', BOTTLE_ALLOW: 'a.test' }],
    [
      'BOTTLE_ALLOW: "https://a.test" is not a host (host, *.host or host:port)',
      { BOTTLE_DAEMONS: 'pipelock', BOTTLE_ALLOW: '["https://a.test"]' },
    ],
  ])('%s', async (message, env) => {
    const child = start(env);
    expect(await text(child.stderr as NodeJS.ReadableStream)).toBe(`[init] error: ${message}\n`);
    expect(await exitOf(child)).toBe(EXIT_CONFIG);
    expect(log).toBe('');
  });
});
