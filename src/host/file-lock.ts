/**
 * An exclusive lock between processes that the operating system releases when its holder dies, however it dies:
 * the write lock of an empty SQLite database. (A file that merely exists would outlive a `kill -9`.)
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 25;
const SQLITE_BUSY = 5;

export interface FileLock {
  release(): void;
}

/** Takes the lock on `file` (made if missing), or gives null when another holder has it. */
export function tryLock(file: string): FileLock | null {
  makePrivate(file);
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null;
    throw error;
  }
  return { release: () => database.close() };
}

/**
 * SQLite itself would make the file readable for all. Only a missing file is opened here: POSIX drops every lock
 * that a process has on a file when that process closes any descriptor of it.
 */
function makePrivate(file: string): void {
  try {
    closeSync(openSync(file, 'ax', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Runs `act` while holding the lock on `file`; waits for it as long as another holder needs. */
export async function withLock<T>(file: string, act: () => Promise<T>): Promise<T> {
  let lock = tryLock(file);
  while (lock === null) {
    await sleep(POLL_MS);
    lock = tryLock(file);
  }
  try {
    return await act();
  } finally {
    lock.release();
  }
}
