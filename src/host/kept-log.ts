/** What a bundle said, kept when it goes: one file a bottle, the last one of that id, for some days. */
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline as pipelineOf, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import type Dockerode from 'dockerode';
import { assertBottleId } from '../core/names.ts';
import { logLines, type TimedLine } from './container-log.ts';
import { halfOf } from './half-file.ts';
import { type Settings, stateDirectory } from './settings.ts';

const FOLDER = path.join('log', 'bottles');
const ENDING = '.log.gz';
const KEPT_MS = 7 * 24 * 60 * 60 * 1000;
/** It must never be what a `down` waits for. */
const LONGEST_MS = 20_000;

export interface KeptLog {
  /** When its bundle went: RFC 3339. */
  until: string;
  lines(): AsyncGenerator<TimedLine[]>;
}

const fileOf = (settings: Pick<Settings, 'state'>, id: string): string => {
  assertBottleId(id);
  return path.join(settings.state, FOLDER, `${id}${ENDING}`);
};

/**
 * Keeps what a container has said, and drops what is older than a week. A log that cannot be kept is no reason to keep its
 * container: what goes wrong is told, not thrown.
 * @returns what went wrong, in one line; undefined when it is kept
 */
export async function keepLog(
  settings: Pick<Settings, 'state'>,
  id: string,
  container: Dockerode.Container,
): Promise<string | undefined> {
  const file = fileOf(settings, id);
  const half = halfOf(file);
  try {
    await dropOld(stateDirectory(settings, FOLDER));
    const signal = AbortSignal.timeout(LONGEST_MS);
    const range = { follow: false, timestamps: true, signal };
    const written = createWriteStream(half, { mode: 0o600 });
    await pipeline(Readable.from(textOf(logLines(container, range))), createGzip(), written);
    await rename(half, file);
    return undefined;
  } catch (error) {
    await rm(half, { force: true });
    return error instanceof Error ? error.message : String(error);
  }
}

async function* textOf(batches: AsyncIterable<TimedLine[]>): AsyncGenerator<string> {
  for await (const lines of batches) yield lines.map(({ at, line }) => `${at} ${line}\n`).join('');
}

/** What is kept of the last bottle of that id; undefined for nothing. */
export async function keptLog(settings: Pick<Settings, 'state'>, id: string): Promise<KeptLog | undefined> {
  const file = fileOf(settings, id);
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return undefined;
  return { until: found.mtime.toISOString(), lines: () => linesOf(file) };
}

async function* linesOf(file: string): AsyncGenerator<TimedLine[]> {
  // Not readline: what goes wrong with its input would be nobody's to catch.
  const input = pipelineOf(createReadStream(file), createGunzip(), () => undefined).setEncoding('utf8');
  let rest = '';
  for await (const text of input as AsyncIterable<string>) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if (lines.length > 0) yield lines.map(timed);
  }
}

function timed(text: string): TimedLine {
  const space = text.indexOf(' ');
  return { at: text.slice(0, space), line: text.slice(space + 1) };
}

async function dropOld(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const file = path.join(directory, name);
    const found = await stat(file).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > KEPT_MS) await rm(file, { force: true });
  }
}
