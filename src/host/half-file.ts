/**
 * A file that is written beside its place until it is whole. Its name tells which process writes it: what one leaves that was
 * killed meanwhile is nobody's, and no later writer would come upon it.
 */
import { randomUUID } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { isRunning } from './process-running.ts';

const HALF = /\.(?:(\d+)-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.new$/;
/** Nothing of the state takes that long to be written; the number of a dead writer may be another process's by then. */
const LONGEST_MS = 60 * 60 * 1000;

/** Its own for each call: an attempt that timed out may still be writing. */
export const halfOf = (file: string): string => `${file}.${process.pid}-${randomUUID()}.new`;

/**
 * Removes what processes that are dead have left half written below a directory.
 * @returns its files
 * @throws Error of the disk, unless something is gone already
 */
export async function removeHalves(directory: string): Promise<string[]> {
  const removed: string[] = [];
  const entries = await readdir(directory, { withFileTypes: true }).catch(goneAs([]));
  for (const entry of entries) {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) removed.push(...(await removeHalves(file)));
    else if (entry.isFile() && (await isAbandoned(file))) {
      await rm(file, { force: true });
      removed.push(file);
    }
  }
  return removed;
}

async function isAbandoned(file: string): Promise<boolean> {
  const name = HALF.exec(file);
  if (name === null) return false;
  if (name[1] !== undefined && !isRunning(Number(name[1]))) return true;
  // A name without a number is of an older version.
  const found = await stat(file).catch(goneAs(undefined));
  return found !== undefined && Date.now() - found.mtimeMs > LONGEST_MS;
}

const goneAs =
  <T>(value: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return value;
    throw error;
  };
