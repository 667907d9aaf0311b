/**
 * `node sweep.ts DIRECTORY`: waits until the run that started it is over, however it ends, and takes away all that it
 * left: processes, Docker objects, mounts, files. Its standard input is a pipe of the run's, which ends with it.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { removeGroups } from '../engines/engine.ts';
import { removeObjects } from '../support/installation.ts';

/** In the run's directory: the owner of its Docker objects, as soon as that is known. */
export const OWNER_FILE = 'owner';
/** In the run's directory: an Engine of its own. */
export const ENGINE_FOLDER = 'engine';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Ids of the processes whose environment names this BOTTLE_STATE, but for this one. */
export function processesOf(state: string): number[] {
  return processIds().filter((pid) => environmentOf(pid).includes(`BOTTLE_STATE=${state}`));
}

/** Of all there are, but for this one. */
export const processIds = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number);

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch {
    // It has just ended, or is not ours to look at.
    return [];
  }
}

/** The command line of a process; empty for one that is over and only waits to be counted. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

async function sweep(directory: string): Promise<void> {
  const state = path.join(directory, 'state');
  const place = path.join(directory, ENGINE_FOLDER);
  // A server keeps nothing of our environment but its database's place, an Engine of the run's own nothing but its own.
  const isEngine = (pid: number): boolean => commandOf(pid).includes(place);
  const ours = (): number[] => [...processesOf(state), ...serversOf(state), ...processIds().filter(isEngine)];
  const left = (): number[] => ours().filter((pid) => commandOf(pid) !== '');
  for (let pids = left(); pids.length > 0; pids = left()) {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone by itself.
      }
    }
    await sleep(50);
  }
  const ownerFile = path.join(directory, OWNER_FILE);
  if (existsSync(ownerFile)) await removeObjects(readFileSync(ownerFile, 'utf8').trim());
  await removeGroups(path.basename(directory));
  if (readFileSync('/proc/mounts', 'utf8').includes(` ${state} `)) execFileSync('umount', ['-l', state]);
  rmSync(directory, { recursive: true, force: true });
}

/** Ids of embedded servers on a database of this BOTTLE_STATE. */
export function serversOf(state: string): number[] {
  return processIds().filter((pid) => commandOf(pid).includes(` --db-filename ${state}/`));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Ctrl-C reaches the whole group; this is what tidies up after it.
  for (const name of SIGNALS) process.on(name, () => undefined);
  const directory = process.argv[2] as string;
  process.stdin.resume();
  process.stdin.once('close', () => {
    sweep(directory).catch((error: unknown) => {
      process.stderr.write(`could not tidy up ${directory}: ${String(error)}\n`);
      process.exitCode = 1;
    });
  });
}
