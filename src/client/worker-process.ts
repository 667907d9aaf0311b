/** Starts and stops this host's worker process: a file each for its id, its readiness and its log, all in BOTTLE_STATE. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { BottleError, ERROR_CODES, type ErrorCode } from '../core/errors.ts';
import { programFile } from '../host/package-root.ts';
import { readLivePid, stopByPidFile } from '../host/process-file.ts';
import { type Settings, stateDirectory } from '../host/settings.ts';
import { clearStopped } from '../host/stopped-mark.ts';
import { workerIsAlive } from '../host/worker-lock.ts';
import {
  assertServes,
  localWorkerServes,
  readWorkerRecord,
  type ServedTarget,
  type WorkerRecord,
} from './worker-presence.ts';

const START_TIMEOUT_MS = 60_000;
const POLL_MS = 20;
const DYING_MS = 100;
/** A worker lets its running steps come to an end; longer than that it is not waited for. */
const STOP_GRACE_MS = 60_000;
const LOG_LIMIT_BYTES = 10 * 1024 * 1024;

const WORKER = programFile('worker');

export interface StartedWorker {
  pid: number;
  alreadyRunning: boolean;
  log: string;
  /** Only if started here: resolves with a line that says how it ended. */
  exited?: Promise<string>;
}

export const workerLog = (settings: Settings): string => path.join(settings.state, 'log', 'worker.log');
const pidFile = (settings: Settings): string => path.join(settings.state, 'run', 'worker.pid');
const isWorker = (commandLine: string): boolean => /worker\.(js|ts)( |$)/.test(commandLine);

/**
 * Starts the worker unless one is alive, and returns when it polls.
 * @param target what is meant to be served: one that serves another server is nobody's worker here, also when it only begins to
 * @param detached it outlives this process and does not keep it alive; `revives`: whoever only starts again what has died takes
 *   no person's word back that it is to stay stopped
 * @throws BottleError `WORKER_UNREACHABLE` when one runs that serves another server; what the worker itself said on its way out,
 *   else `WORKER_FAILED`
 */
export async function startWorker(
  settings: Settings,
  target: ServedTarget,
  { detached, revives = false }: { detached: boolean; revives?: boolean },
): Promise<StartedWorker> {
  const log = workerLog(settings);
  const lives = await localWorkerServes(settings, target);
  if (!revives) clearStopped(settings);
  if (lives) {
    const record = await untilPolling(settings, async () => !(await workerIsAlive(settings)));
    // One that was killed a moment ago holds its lock for some milliseconds more.
    await sleep(DYING_MS);
    if (record !== undefined && (await workerIsAlive(settings))) {
      assertServes(record, target);
      return { pid: record.pid, alreadyRunning: true, log };
    }
  }
  stateDirectory(settings, 'run');
  const { descriptor, start } = openLog(settings);
  // A session of its own: Ctrl-C is for the one who started it, and a worker stops in its own way.
  const child = spawn(process.execPath, [WORKER], { detached: true, stdio: ['ignore', descriptor, descriptor] });
  closeSync(descriptor);
  const exited = endOf(child);
  let ended: number | string | undefined;
  void exited.then((how) => (ended = how));
  // Beaten by another worker of this host, which will poll soon, or just failed.
  const record = await untilPolling(settings, async () => ended !== undefined && !(await workerIsAlive(settings)));
  if (record === undefined) throw failure(settings, start, ended ?? 'nothing');
  if (record.pid !== child.pid) assertServes(record, target);
  if (detached) child.unref();
  return {
    pid: record.pid,
    log,
    alreadyRunning: record.pid !== child.pid,
    ...(detached || record.pid !== child.pid ? {} : { exited: exited.then((code) => `ended with ${code}`) }),
  };
}

/** Asks the worker to stop and waits; running steps may end first, and nothing is undone. */
export async function stopWorker(settings: Settings): Promise<'stopped' | 'killed' | 'not-running'> {
  // Without a worker, whatever has the id that a dead one left is somebody else's.
  if ((await workerPid(settings)) === null) return 'not-running';
  return stopByPidFile(pidFile(settings), isWorker, { graceMs: STOP_GRACE_MS });
}

/** The id of this host's worker process; null when there is none. */
export async function workerPid(settings: Settings): Promise<number | null> {
  // The lock dies with its holder, at a reboot too; a number may be taken by another program, whose command line may fit.
  return (await workerIsAlive(settings)) ? readLivePid(pidFile(settings), isWorker) : null;
}

/** @returns undefined when whoever is waited for has ended */
async function untilPolling(settings: Settings, hasEnded: () => Promise<boolean>): Promise<WorkerRecord | undefined> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const record = await readWorkerRecord(settings);
    // A killed worker leaves its record; the one that lives now has written its own id.
    if (record !== undefined && record.pid === (await workerPid(settings))) return record;
    if (await hasEnded()) return undefined;
    await sleep(POLL_MS);
  }
  throw new BottleError('WORKER_FAILED', 'the worker does not begin to poll', { hint: `see ${workerLog(settings)}` });
}

const endOf = (child: ChildProcess): Promise<number | string> =>
  new Promise((resolve) => {
    child.once('error', (error) => resolve((error as NodeJS.ErrnoException).code ?? error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`));
  });

function failure(settings: Settings, logStart: number, ended: number | string): BottleError {
  const log = workerLog(settings);
  const written = readFileSync(log).subarray(logStart).toString('utf8');
  const said = /^error\[([A-Z_]+)\]: (.*)(?:\nhint: (.*))?/m.exec(written);
  // The one that it left the host to has died since.
  const beaten = said?.[1] === 'WORKER_LOCKED';
  if (said !== null && !beaten && (said[1] as string) in ERROR_CODES) {
    return new BottleError(said[1] as ErrorCode, said[2] as string, { hint: said[3] ?? `see ${log}` });
  }
  // One that was killed may well live the next time.
  const retryable = beaten || String(ended).startsWith('SIG');
  return new BottleError('WORKER_FAILED', `the worker ended with ${ended}`, { hint: `see ${log}`, retryable });
}

function openLog(settings: Settings): { descriptor: number; start: number } {
  stateDirectory(settings, 'log');
  const file = workerLog(settings);
  const size = existsSync(file) ? statSync(file).size : 0;
  if (size > LOG_LIMIT_BYTES) renameSync(file, `${file}.1`);
  return { descriptor: openSync(file, 'a', 0o600), start: size > LOG_LIMIT_BYTES ? 0 : size };
}
