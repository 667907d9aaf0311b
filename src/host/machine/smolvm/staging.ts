/**
 * Puts an archive where smolvm keeps those that machines were made from, before smolvm does. It would look whether it has it,
 * remove what is there, and link it; and copy it where it may not link. So of two creates at once the second, to whom the link
 * of the first is in the way, copies the file onto itself, which empties it (traced with 1.32.2: EEXIST, then O_TRUNC). What
 * it finds there it leaves as it is.
 */
import { link, mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileDigest } from '../../file-digest.ts';
import type { Smolvm } from './cli.ts';
import { archiveIn, archivesDirectory } from './state-directory.ts';

/**
 * To be called with a share of the lock on creates: nobody removes archives then.
 * @param file the archive; where it is on another file system than the state directory, smolvm makes a copy, which harms nobody
 */
export async function stageArchive({ state }: Smolvm, file: string): Promise<void> {
  const folder = archivesDirectory(state);
  // A link to it tells that it is there, without reading all of it.
  if (await holdsLinkTo(folder, file)) return;
  const target = archiveIn(folder, (await fileDigest(file)).toString('hex'));
  await mkdir(path.dirname(target), { recursive: true });
  if ((await stat(target).catch(() => undefined))?.size === 0) await rm(target, { force: true });
  await link(file, target).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST' && error.code !== 'EXDEV') throw error;
  });
}

async function holdsLinkTo(folder: string, file: string): Promise<boolean> {
  const { dev, ino } = await stat(file);
  const names = await readdir(folder).catch(() => []);
  const found = await Promise.all(names.map((name) => stat(archiveIn(folder, name)).catch(() => undefined)));
  return found.some((each) => each?.ino === ino && each.dev === dev);
}
