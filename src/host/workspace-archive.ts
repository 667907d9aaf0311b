/** The entries of a working folder as one tar stream that is read no faster than it is taken. */
import { once } from 'node:events';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { type Header, type Pack, pack } from 'tar-stream';
import { BottleError } from '../core/errors.ts';
import { GUEST } from '../core/plan.ts';
import { isGone, MOST, tooMuch, unreadable, type WorkspaceEntries, type WorkspaceEntry } from './workspace-entries.ts';

export interface WorkspaceArchive {
  stream: Readable;
  /** Grows while the stream is read. */
  sent: { entries: number; bytes: number };
}

/** What the archive holds: the folder's content, and a last entry that says that it is whole. */
export const ARCHIVED = { content: 'content', end: 'end' } as const;

/** A file up to this size is read at once, so whatever happens to it meanwhile, its entry fits what was read. */
const AT_ONCE_BYTES = 256 * 1024;
const READ_AHEAD = 8;
const CHUNK_BYTES = 256 * 1024;
/** What tar-stream can write: it makes a signed 32-bit number of a time. */
const LATEST_MS = (2 ** 31 - 1) * 1000;

/**
 * A file that has vanished since it was looked at is left out, as if it had been gone before. One that grows ends where
 * it ended when it was opened. A large one that shrinks ends the stream with a retryable error, since its entry has
 * promised more: filling it up would give the agent a file that nobody wrote. Owner of everything is the agent.
 *
 * Ends with `error`: BottleError `PROVISION_FAILED`. Destroy it to leave off.
 */
export function workspaceArchive({ root, entries }: WorkspaceEntries, gitignore: boolean): WorkspaceArchive {
  const stream = new PassThrough();
  const writing: Writing = { archive: pack(), stream, root, sent: { entries: 0, bytes: 0 }, gitignore };
  const { archive, sent } = writing;
  const fail = (error: unknown): void => void stream.destroy(error as Error);
  archive.on('error', fail);
  stream.once('close', () => archive.destroy());
  archive.pipe(stream);
  writeAll(writing, entries).then(() => archive.finalize(), fail);
  return { stream, sent };
}

interface Writing {
  archive: Pack;
  stream: PassThrough;
  root: string;
  sent: WorkspaceArchive['sent'];
  gitignore: boolean;
}

async function writeAll(writing: Writing, entries: readonly WorkspaceEntry[]): Promise<void> {
  const { archive, stream, root } = writing;
  const closed = new AbortController();
  stream.once('close', () => closed.abort());
  await put(archive, { name: ARCHIVED.content, type: 'directory', mode: 0o755, ...AGENT });
  const ahead = Readable.from(entries).map((entry: WorkspaceEntry) => readAhead(root, entry), {
    concurrency: READ_AHEAD,
  });
  for await (const { entry, content } of ahead as AsyncIterable<Ahead>) {
    // tar-stream itself takes any number of entries that have no content.
    if (stream.writableNeedDrain) await once(stream, 'drain', { signal: closed.signal });
    closed.signal.throwIfAborted();
    if (content === GONE) continue;
    if (content !== LATER) await putEntry(writing, entry, content);
    else await withFile(root, entry.path, (file, size) => streamEntry(writing, entry, file, size));
  }
  await put(archive, { name: ARCHIVED.end, type: 'file', mode: 0o600, ...AGENT }, EMPTY);
}

const EMPTY = Buffer.alloc(0);
const AGENT = { uid: GUEST.uid, gid: GUEST.uid };

/** Was there when it was looked at. */
const GONE = Symbol('gone');
/** Too large to be held in memory. */
const LATER = Symbol('later');

interface Ahead {
  entry: WorkspaceEntry;
  content: Buffer | typeof GONE | typeof LATER;
}

async function readAhead(root: string, entry: WorkspaceEntry): Promise<Ahead> {
  if (entry.kind !== 'file') return { entry, content: EMPTY };
  if (entry.size > AT_ONCE_BYTES) return { entry, content: LATER };
  const content = await withFile(root, entry.path, async (file, size) =>
    size > AT_ONCE_BYTES ? LATER : await buffer(chunksOf(file, size)),
  );
  return { entry, content: content ?? GONE };
}

async function putEntry(writing: Writing, entry: WorkspaceEntry, content: Buffer): Promise<void> {
  count(writing, content.length);
  await put(writing.archive, headerOf(entry, content.length), entry.kind === 'file' ? content : undefined);
}

async function streamEntry(writing: Writing, entry: WorkspaceEntry, file: FileHandle, size: number): Promise<void> {
  count(writing, size);
  const whole = async function* (): AsyncGenerator<Buffer> {
    let read = 0;
    for await (const chunk of chunksOf(file, size)) {
      read += chunk.length;
      yield chunk;
    }
    if (read < size) throw shrunk(path.join(writing.root, entry.path));
  };
  await pipeline(whole, writing.archive.entry(headerOf(entry, size)));
}

/** Also while it is written: files grow after they have been looked at. */
function count({ root, sent, gitignore }: Writing, bytes: number): void {
  sent.entries += 1;
  sent.bytes += bytes;
  if (sent.bytes > MOST.bytes) throw tooMuch(root, '2 GiB', gitignore);
}

function headerOf({ path: below, kind, mode, mtime, target }: WorkspaceEntry, size: number): EntryHeader {
  return {
    name: `${ARCHIVED.content}/${below}`,
    type: kind === 'link' ? 'symlink' : kind,
    mode,
    size,
    mtime: new Date(Math.min(Math.max(mtime.getTime(), 0), LATEST_MS)),
    ...(target === undefined ? {} : { linkname: target }),
    ...AGENT,
  };
}

type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

function put(archive: Pack, header: EntryHeader, content?: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const done = (error?: Error | null): void => (error ? reject(error) : resolve());
  if (content === undefined) archive.entry(header, done);
  else archive.entry(header, content, done);
  return promise;
}

/**
 * @param use gets the file and its size as it is now
 * @returns undefined when it is gone, or is no file any more
 */
async function withFile<T>(
  root: string,
  at: string,
  use: (file: FileHandle, size: number) => Promise<T>,
): Promise<T | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let file: FileHandle | undefined;
  try {
    file = await open(path.join(root, at), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const stats = await file.stat();
    return stats.isFile() ? await use(file, stats.size) : undefined;
  } catch (error) {
    if (file === undefined && isGone(error)) return undefined;
    throw unreadable(root, at, error);
  } finally {
    await file?.close();
  }
}

/** At most `size` bytes: fewer when the file is shorter by now. */
async function* chunksOf(file: FileHandle, size: number): AsyncGenerator<Buffer> {
  for (let position = 0; position < size; ) {
    const length = Math.min(CHUNK_BYTES, size - position);
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, position);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    position += bytesRead;
  }
}

function shrunk(file: string): BottleError {
  return new BottleError('PROVISION_FAILED', `${file} became shorter while it was copied`, {
    hint: 'let what writes there come to an end, then retry',
  });
}
