/** A worker that cannot or must not work ends as a process: one that stays has neither lock nor record, so that nobody could end it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { utimesSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { markStopped } from '../../src/host/stopped-mark.ts';
import { type Installation, installation, root } from '../support/installation.ts';

let it: Installation;

beforeAll(async () => {
  it = await installation();
});
afterAll(() => it?.dispose());

async function endOfWorker(env: NodeJS.ProcessEnv = {}): Promise<{ code: number | null; said: string }> {
  const worker = spawn(process.execPath, [path.join(root, 'dist/worker.js')], { env: { ...it.env, ...env } });
  let said = '';
  worker.stderr.on('data', (chunk) => (said += chunk));
  const timer = setTimeout(() => worker.kill('SIGKILL'), 120_000);
  const [code] = (await once(worker, 'close')) as [number | null];
  clearTimeout(timer);
  return { code, said };
}

test('of whose two connections to the server only one is made says so, and ends', async () => {
  let count = 0;
  const sockets = new Set<net.Socket>();
  const half = net.createServer((from) => {
    count += 1;
    if (count > 1) return void from.destroy();
    const to = net.connect(it.settings.port, '127.0.0.1');
    for (const socket of [from, to]) sockets.add(socket.on('error', () => undefined));
    from.pipe(to).pipe(from);
  });
  await once(half.listen(0, '127.0.0.1'), 'listening');
  const address = `127.0.0.1:${(half.address() as AddressInfo).port}`;
  try {
    const { code, said } = await endOfWorker({ TEMPORAL_ADDRESS: address });
    expect(said).toContain('error[TEMPORAL_UNREACHABLE]: ');
    expect(code).toBe(1);
  } finally {
    for (const socket of sockets) socket.destroy();
    half.close();
  }
});

test('that was stopped while it waited for its predecessor does not begin', async () => {
  markStopped(it.settings);
  const later = new Date(Date.now() + 60_000);
  utimesSync(path.join(it.settings.state, 'run', 'stopped'), later, later);
  const { code, said } = await endOfWorker();
  expect(said).toBe(
    'error[WORKER_FAILED]: the worker was stopped before it began to poll\nhint: bottle serve --detach starts it\n',
  );
  expect(code).toBe(1);
});
