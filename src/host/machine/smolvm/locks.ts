/**
 * Who may change a machine, and how many may start at once, across the processes of one installation. smolvm itself is
 * not safe here: of two starts of one machine each kills the other's, and a stop beside a delete can bring its record back.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FileLock, tryLock } from '../../file-lock.ts';
import { type Settings, stateDirectory } from '../../settings.ts';

const FOLDER = 'vm-locks';
const POLL_MS = 25;

/** The lock's file stays, empty: removing it would let two in that wait for it. */
export const machineLock = (settings: Pick<Settings, 'state'>, name: string): string =>
  path.join(stateDirectory(settings, FOLDER), `${name}.lock`);

/** Shared by every create, whose record comes after the archive it needs; held alone by whoever removes archives. */
export const createsLock = (settings: Pick<Settings, 'state'>): string =>
  path.join(stateDirectory(settings, FOLDER), 'creates.lock');

/** Many boots at once starve each other until smolvm's 30 s are over. */
export const startSlots = (settings: Pick<Settings, 'state'>, count: number): string[] =>
  Array.from({ length: count }, (_, index) => path.join(stateDirectory(settings, FOLDER), `start-${index}.slot`));

/** Where it is kept that a machine has started on this host once. */
export const bootedFile = (settings: Pick<Settings, 'state'>): string =>
  path.join(stateDirectory(settings, FOLDER), 'has-booted');

/**
 * Runs `act` while holding the lock on one of the files, whichever is free first.
 * @throws the signal's reason when it aborts while waiting
 */
export async function withOneOf<T>(
  files: readonly string[],
  act: () => Promise<T>,
  signal?: AbortSignal | undefined,
): Promise<T> {
  const lock = await takeOneOf(files, signal);
  try {
    return await act();
  } finally {
    lock.release();
  }
}

async function takeOneOf(files: readonly string[], signal: AbortSignal | undefined): Promise<FileLock> {
  for (;;) {
    signal?.throwIfAborted();
    for (const file of files) {
      const lock = tryLock(file);
      if (lock !== null) return lock;
    }
    await sleep(POLL_MS);
  }
}
