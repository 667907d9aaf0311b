/**
 * Process id files of what runs in the background. A number in a file proves nothing (the process may be gone and the
 * number taken by another), so a process counts as ours only while its command line says so.
 */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { writePrivateSync } from './private-file.ts';

/** Says whether a command line (arguments joined by blanks) is that of the process a file stands for. */
export type Matches = (commandLine: string) => boolean;

const POLL_MS = process.platform === 'linux' ? 20 : 100;

/** Writes the id, 0600 and atomically: a reader never meets half a number. */
export function writePidFile(file: string, pid: number): void {
  writePrivateSync(file, `${pid}\n`);
}

/** The id of the live process that `file` stands for; null when there is none, and then a stale file is removed. */
export async function readLivePid(file: string, matches: Matches): Promise<number | null> {
  const pid = readPid(file);
  if (pid !== null && (await isLive(pid, matches))) return pid;
  // Only what was read is removed: someone may have started anew in between.
  if (readPid(file) === pid) rmSync(file, { force: true });
  return null;
}

/**
 * Stops the process that `file` stands for: SIGTERM, and after `graceMs` SIGKILL. Returns when it is gone.
 * Never signals a process whose command line does not match.
 */
export async function stopByPidFile(
  file: string,
  matches: Matches,
  { graceMs = 10_000 }: { graceMs?: number } = {},
): Promise<'stopped' | 'killed' | 'not-running'> {
  const pid = await readLivePid(file, matches);
  if (pid === null) return 'not-running';
  signal(pid, 'SIGTERM');
  const stopped = await isGone(pid, matches, graceMs);
  if (!stopped) {
    signal(pid, 'SIGKILL');
    await isGone(pid, matches, Number.POSITIVE_INFINITY);
  }
  if (readPid(file) === pid) rmSync(file, { force: true });
  return stopped ? 'stopped' : 'killed';
}

/** The command line of a process; null when there is no such process, or only its zombie is left. */
export async function commandLine(pid: number): Promise<string | null> {
  try {
    if (process.platform === 'linux') {
      const text = await readFile(`/proc/${pid}/cmdline`, 'utf8');
      return text === '' ? null : text.replaceAll('\0', ' ').trimEnd();
    }
    // -ww: the whole line, however long.
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'stat=,command=', '-p', String(pid)]);
    const [state = '', ...words] = stdout.trim().split(/\s+/);
    return state === '' || state.startsWith('Z') ? null : words.join(' ');
  } catch {
    return null;
  }
}

async function isLive(pid: number, matches: Matches): Promise<boolean> {
  const line = await commandLine(pid);
  return line !== null && matches(line);
}

async function isGone(pid: number, matches: Matches, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs;
  while (await isLive(pid, matches)) {
    if (Date.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // Gone already is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function readPid(file: string): number | null {
  try {
    const text = readFileSync(file, 'utf8').trim();
    return /^[1-9]\d*$/.test(text) ? Number(text) : null;
  } catch {
    return null;
  }
}
