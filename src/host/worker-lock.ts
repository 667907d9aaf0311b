/** One worker a host: an exclusive lock that dies with its holder, so that "it is free" means "its worker is dead". */
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { type FileLock, isHeld, lockWithin } from './file-lock.ts';
import { type Settings, stateDirectory } from './settings.ts';

const lockFile = ({ state }: Settings): string => path.join(state, 'run', 'worker.lock');

/** Whoever only looks whether a worker lives shares the lock for an instant; a starting worker must outlast that. */
const PATIENCE_MS = 1000;

/** @throws BottleError `WORKER_LOCKED` when another worker lives */
export async function takeWorkerLock(settings: Settings): Promise<FileLock> {
  stateDirectory(settings, 'run');
  const lock = await lockWithin(lockFile(settings), PATIENCE_MS);
  if (lock !== null) return lock;
  throw new BottleError('WORKER_LOCKED', `another worker already serves ${settings.host} from ${settings.state}`, {
    hint: 'bottle serve --stop ends it',
  });
}

/** Whether a worker of this state directory lives, starting or polling. */
export const workerIsAlive = async (settings: Settings): Promise<boolean> => isHeld(lockFile(settings));
