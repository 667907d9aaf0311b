/** Whether a TCP port of this computer is free, and if not, whose it is: for an error message that helps. */
import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { commandLine } from './process-file.ts';

export interface PortOwner {
  pid: number;
  /** The first word of its command line, without the folder. */
  program: string;
}

const RELEASE_MS = 2_000;
const POLL_MS = 10;

/** Whether `port` of 127.0.0.1 can be listened on. One below 1024 that we may not take is as good as taken. */
function isPortFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = net.createServer();
  server.once('error', () => resolve(false));
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  return promise;
}

/**
 * Who keeps us from listening on `port` of 127.0.0.1: undefined if nobody, null if somebody unknown. A process that
 * was killed just now may hold its port for a moment without a name, so a nameless one gets some time to go.
 */
export async function portBlocker(port: number): Promise<PortOwner | null | undefined> {
  const deadline = Date.now() + RELEASE_MS;
  while (!(await isPortFree(port))) {
    const owner = await portOwner(port);
    if (owner !== null || Date.now() > deadline) return owner;
    await sleep(POLL_MS);
  }
  return undefined;
}

/** The process that listens on `port`; null when none does or it belongs to someone whose processes we cannot see. */
export async function portOwner(port: number): Promise<PortOwner | null> {
  const pid = process.platform === 'linux' ? await fromProc(port) : await fromLsof(port);
  const line = pid === null ? null : await commandLine(pid);
  if (pid === null || line === null) return null;
  return { pid, program: line.split(' ', 1)[0]?.split('/').pop() || 'unknown' };
}

/** proc(5): /proc/net/tcp has the socket's inode, and its owner a file descriptor that links to it. */
async function fromProc(port: number): Promise<number | null> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (await readFile(table, 'utf8').catch(() => '')).split('\n')) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === '0A' && local?.endsWith(suffix)) sockets.add(`socket:[${inode}]`);
    }
  }
  if (sockets.size === 0) return null;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      if (sockets.has(await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => ''))) return Number(pid);
    }
  }
  return null;
}

async function fromLsof(port: number): Promise<number | null> {
  try {
    const { stdout } = await promisify(execFile)('lsof', ['-nP', '-t', `-iTCP:${port}`, '-sTCP:LISTEN']);
    return Number(stdout.split('\n', 1)[0]) || null;
  } catch {
    return null;
  }
}
