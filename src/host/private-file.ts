/** Files of the state: whole or not at all, also on a disk that gets full, and readable by the owner alone. */
import { linkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { halfOf } from './half-file.ts';

/** @throws Error of the disk; what was there before is there still, and nothing beside it */
export async function writePrivate(file: string, content: string | Buffer): Promise<void> {
  const fresh = halfOf(file);
  try {
    await writeFile(fresh, content, { mode: 0o600 });
    await rename(fresh, file);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

/** The same for who cannot wait. @throws Error of the disk */
export function writePrivateSync(file: string, content: string | Buffer): void {
  const fresh = halfOf(file);
  try {
    writeFileSync(fresh, content, { mode: 0o600 });
    renameSync(fresh, file);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
}

/** Makes a file unless it is there: of several at once, all find the same content in it. @throws Error of the disk */
export function ensurePrivateSync(file: string, content: string | Buffer): void {
  const fresh = halfOf(file);
  try {
    writeFileSync(fresh, content, { mode: 0o600 });
    // Unlike a rename it leaves what another process has put there meanwhile.
    linkSync(fresh, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
}
