/**
 * A lock between processes that the operating system releases when its holder dies, however it dies:
 * the lock of an empty SQLite database. (A file that merely exists would outlive a `kill -9`.)
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 25;
const SQLITE_BUSY = 5;

export interface FileLock {
  release(): void;
}

/** `alone`: while nobody else holds it in any way; `shared`: beside others who share it. */
export type LockKind = 'alone' | 'shared';

/** Nothing is ever written, also not a journal: on a full disk there would be no locks any more. */
const NO_FILES = 'PRAGMA journal_mode=MEMORY';
/** A transaction that has read holds SQLite's shared lock until its end. */
const TAKE: Record<LockKind, string> = { alone: 'BEGIN EXCLUSIVE', shared: 'BEGIN; SELECT 1 FROM sqlite_schema' };

/** Takes the lock on `file` (made if missing), or gives null when another holder has it. */
export function tryLock(file: string, kind: LockKind = 'alone'): FileLock | null {
  makePrivate(file);
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec(`${NO_FILES}; ${TAKE[kind]}`);
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

/** Whether somebody holds the lock alone. Looking makes no file, and two who look at the same instant see no holder in each other. */
export function isHeld(file: string): boolean {
  if (!existsSync(file)) return false;
  const lock = tryLock(file, 'shared');
  lock?.release();
  return lock === null;
}

/** Takes the lock as soon as it is free; null when that is not within the time. */
export async function lockWithin(file: string, withinMs: number, kind: LockKind = 'alone'): Promise<FileLock | null> {
  for (const end = Date.now() + withinMs; ; await sleep(POLL_MS)) {
    const lock = tryLock(file, kind);
    if (lock !== null || Date.now() >= end) return lock;
  }
}

/** Runs `act` while holding the lock on `file`; waits for it as long as another holder needs. */
export async function withLock<T>(file: string, act: () => Promise<T>, kind: LockKind = 'alone'): Promise<T> {
  const lock = (await lockWithin(file, Number.POSITIVE_INFINITY, kind)) as FileLock;
  try {
    return await act();
  } finally {
    lock.release();
  }
}
