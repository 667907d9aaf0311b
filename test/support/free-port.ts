import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';

/** Who has been given which port: a file each, with a process id in it. */
const GIVEN = path.join(os.tmpdir(), 'bottle-test-ports');
const mine: string[] = [];
process.once('exit', () => {
  for (const file of mine) rmSync(file, { force: true });
});

/**
 * A port of 127.0.0.1 that is free now, with the one 1000 above it, and not one that the system hands out by itself. No
 * other test process is given it while this one lives.
 */
export async function freePort(): Promise<number> {
  mkdirSync(GIVEN, { recursive: true });
  for (;;) {
    const port = 20_000 + 2000 * Math.floor(Math.random() * 6) + Math.floor(Math.random() * 1000);
    if (take(port) && (await isFree(port)) && (await isFree(port + 1000))) return port;
  }
}

function take(port: number): boolean {
  const file = path.join(GIVEN, String(port));
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    mine.push(file);
    return true;
  } catch {
    if (!isAlive(file)) rmSync(file, { force: true });
    return false;
  }
}

function isAlive(file: string): boolean {
  try {
    process.kill(Number(readFileSync(file, 'utf8')), 0);
    return true;
  } catch (error) {
    // Empty or gone: it is just being written, or given back.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = net.createServer();
  server.listen(port, '127.0.0.1');
  // `once` rejects with whatever error comes instead.
  const free = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  if (free) {
    server.close();
    await once(server, 'close');
  }
  return free;
}
