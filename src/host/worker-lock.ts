/** One worker a host: an exclusive lock that dies with its holder, so that "it is free" means "its worker is dead". */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BottleError } from '../core/errors.ts';
import { type FileLock, tryLock } from './file-lock.ts';
import { type Settings, stateDirectory } from './settings.ts';

const lockFile = (settings: Settings): string => path.join(stateDirectory(settings, 'run'), 'worker.lock');

/** Whoever only looks whether a worker lives shares the lock for an instant; a starting worker must outlast that. */
const PATIENCE_MS = 1000;
const POLL_MS = 20;

/** @throws BottleError `WORKER_LOCKED` when another worker lives */
export async function takeWorkerLock(settings: Settings): Promise<FileLock> {
  const file = lockFile(settings);
  for (const end = Date.now() + PATIENCE_MS; ; await sleep(POLL_MS)) {
    const lock = tryLock(file);
    if (lock !== null) return lock;
    if (Date.now() > end) {
      throw new BottleError('WORKER_LOCKED', `another worker already serves ${settings.host} from ${settings.state}`, {
        hint: 'bottle serve --stop ends it',
      });
    }
  }
}

/** Whether a worker of this state directory lives, starting or polling. */
export async function workerIsAlive(settings: Settings): Promise<boolean> {
  // Shared: two who look at the same instant must not take each other for a worker.
  const lock = tryLock(lockFile(settings), 'shared');
  lock?.release();
  return lock === null;
}
