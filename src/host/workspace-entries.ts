/** What of a working folder is to be copied, and whether that is within bounds. Reads names only, no content. */
import { isUtf8 } from 'node:buffer';
import type { Stats } from 'node:fs';
import { lstat, opendir, readlink, realpath } from 'node:fs/promises';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { gitListing } from './git-listing.ts';

export interface WorkspaceEntry {
  /** Relative to the folder. */
  path: string;
  kind: 'directory' | 'file' | 'link';
  /** Permission bits. */
  mode: number;
  mtime: Date;
  /** Of a file's content in bytes; 0 for what has none. */
  size: number;
  /** Of a link, as it is written. */
  target?: string;
}

export interface WorkspaceEntries {
  /** Absolute, without links. */
  root: string;
  /** Each directory before what is in it; without the folder itself. */
  entries: WorkspaceEntry[];
  /** Content of all files. */
  bytes: number;
  /** Sockets, fifos and devices, which are left out. */
  skipped: number;
}

export interface Selection {
  /** Leaves out what git ignores. The repository itself (`.git`) is always taken along. */
  gitignore: boolean;
}

export const MOST = { bytes: 2 * 1024 ** 3, entries: 200_000 };

const TOGETHER = 64;

/**
 * Links are taken as links, never followed. With `gitignore`, a folder in which there is nothing for git to see is left
 * out, and a submodule or a repository within is read by its own rules.
 * @param folder absolute path
 * @throws BottleError `PROVISION_FAILED` for more than 2 GiB or 200,000 entries, for what cannot be read, for a name
 * that is not UTF-8; what {@link gitListing} throws; the signal's reason
 */
export async function workspaceEntries(
  folder: string,
  { gitignore }: Selection,
  signal: AbortSignal,
  most: typeof MOST = MOST,
): Promise<WorkspaceEntries> {
  const root = await realpath(folder);
  const found: WorkspaceEntries = { root, entries: [], bytes: 0, skipped: 0 };
  for await (const entry of gitignore ? unignored(root, signal) : everything(root, '.')) {
    signal.throwIfAborted();
    if (entry.kind === 'special') {
      found.skipped += 1;
      continue;
    }
    found.entries.push({ ...entry, kind: entry.kind });
    found.bytes += entry.size;
    if (found.entries.length > most.entries)
      throw tooMuch(folder, `${most.entries.toLocaleString('en')} files and folders`, gitignore);
    if (found.bytes > most.bytes) throw tooMuch(folder, '2 GiB', gitignore);
  }
  return found;
}

type Found = Omit<WorkspaceEntry, 'kind'> & { kind: WorkspaceEntry['kind'] | 'special' };

/** All that is below `top`, itself not included. */
async function* everything(root: string, top: string): AsyncGenerator<Found> {
  const waiting = [top];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    for await (const names of namesIn(root, at)) {
      for (const entry of await lookAll(root, names)) {
        if (entry.kind === 'directory') waiting.push(entry.path);
        yield entry;
      }
    }
  }
}

async function* unignored(root: string, signal: AbortSignal): AsyncGenerator<Found> {
  const seen: Seen = new Map([['.', true]]);
  const repositories = ['.'];
  for (let at = repositories.pop(); at !== undefined; at = repositories.pop()) {
    const repository = at;
    const listing = await gitListing(path.join(root, repository), signal);
    const names = listing.map((name) => path.join(repository, name.replace(/\/$/, '')));
    for (let from = 0; from < names.length; from += TOGETHER) {
      for await (const { isListed, ...entry } of lookOnce(root, names.slice(from, from + TOGETHER), seen)) {
        yield entry;
        // A directory that git lists is a submodule or a repository of its own; without `.git` it is an empty one.
        if (entry.kind === 'directory' && isListed && (await look(root, path.join(entry.path, '.git'))))
          repositories.push(entry.path);
      }
    }
    const git = await look(root, path.join(repository, '.git'));
    if (git === undefined) continue;
    yield git;
    if (git.kind === 'directory') yield* everything(root, git.path);
  }
}

/** By path, whether it is a directory that can be gone into. */
type Seen = Map<string, boolean>;

/** Of `names` what is there and was not seen yet, behind the directories that it lies in. */
async function* lookOnce(
  root: string,
  names: readonly string[],
  seen: Seen,
): AsyncGenerator<Found & { isListed: boolean }> {
  for (const parent of names.flatMap((name) => parentsOf(name, seen))) {
    if (seen.has(parent)) continue;
    // What git tracks may be gone, with a link in the place of its folder: what that leads to is not git's.
    const entry = seen.get(path.dirname(parent)) === true ? await look(root, parent) : undefined;
    seen.set(parent, entry?.kind === 'directory');
    if (entry !== undefined) yield { ...entry, isListed: false };
  }
  const unseen = new Set(names.filter((name) => !seen.has(name) && seen.get(path.dirname(name)) === true));
  for (const entry of await lookAll(root, [...unseen])) {
    seen.set(entry.path, entry.kind === 'directory');
    yield { ...entry, isListed: true };
  }
}

/** The directories above `name` that were not seen yet, from the top. */
function parentsOf(name: string, seen: Seen): string[] {
  const parents = [];
  for (let at = path.dirname(name); !seen.has(at); at = path.dirname(at)) parents.unshift(at);
  return parents;
}

/** Paths of what is in a directory, some at a time: there may be more than memory should hold. */
async function* namesIn(root: string, at: string): AsyncGenerator<string[]> {
  let some: string[] = [];
  try {
    // As bytes: a name that is not UTF-8 would come as another one, of a file that is not there.
    const directory = await opendir(path.join(root, at), {
      encoding: 'buffer' as BufferEncoding,
      bufferSize: TOGETHER,
    });
    for await (const { name } of directory) {
      some.push(path.join(at, text(root, at, name as unknown as Buffer)));
      if (some.length < TOGETHER) continue;
      yield some;
      some = [];
    }
  } catch (error) {
    if (!isGone(error)) throw unreadable(root, at, error);
  }
  yield some;
}

async function lookAll(root: string, names: readonly string[]): Promise<Found[]> {
  const found = await Promise.all(names.map((name) => look(root, name)));
  return found.filter((entry) => entry !== undefined);
}

/** @returns undefined when it is not there (any more) */
async function look(root: string, at: string): Promise<Found | undefined> {
  const file = path.join(root, at);
  try {
    const stats = await lstat(file);
    const kind = kindOf(stats);
    const found = {
      path: at,
      kind,
      mode: stats.mode & 0o777,
      // `stats.mtime` is rounded: the last half of a millisecond of a second would become the next second.
      mtime: new Date(Math.floor(stats.mtimeMs)),
      size: kind === 'file' ? stats.size : 0,
    };
    return kind === 'link' ? { ...found, target: text(root, at, await readlink(file, 'buffer')) } : found;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw unreadable(root, at, error);
  }
}

function kindOf(stats: Stats): Found['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'link' : 'special';
}

/** Names in the archive are UTF-8; what is not would arrive under another name. */
function text(root: string, at: string, bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString();
  throw refused(`${path.join(root, at)} holds a name that is not UTF-8: ${bytes}`, 'rename it, then retry');
}

/** Whether it is no longer what it was: removed, or made anew as something else. */
export function isGone(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'EINVAL', 'ELOOP', 'ENXIO'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** What a person is told of a file or directory that cannot be read; an error that says so already as it is. */
export function unreadable(root: string, at: string, error: unknown): unknown {
  if (BottleError.is(error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  const hint = 'let the user whom bottle runs as read it, or leave out what git ignores with --gitignore';
  return refused(`cannot read ${path.join(root, at)}: ${code}`, hint);
}

export function tooMuch(folder: string, most: string, gitignore: boolean): BottleError {
  const smaller = 'start in a smaller folder';
  const hint = gitignore ? smaller : `leave out what git ignores with --gitignore, or ${smaller}`;
  return refused(`the working folder ${folder} holds more than ${most}`, hint);
}

function refused(message: string, hint: string): BottleError {
  return new BottleError('PROVISION_FAILED', message, { hint, retryable: false });
}
