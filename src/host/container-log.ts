/** A container's log as lines. */

import readline from 'node:readline';
import { PassThrough, type Readable } from 'node:stream';
import type Dockerode from 'dockerode';
import { engine } from './docker.ts';

export interface LogRequest {
  /** Go on with each new line until the container stops; otherwise end after what is there. */
  follow: boolean;
  /** How many of the lines that are there already; all by default. */
  tail?: number;
  /** Ends the lines, without an error. */
  signal: AbortSignal;
}

/**
 * What a container printed on both streams since its last start.
 * @throws BottleError `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function* containerLines(container: Dockerode.Container, request: LogRequest): AsyncGenerator<string> {
  const { State } = await engine('inspect container', () => container.inspect());
  yield* linesSince(container, { ...request, since: State.StartedAt });
}

/** One line, and when the Engine took it down: RFC 3339 with nanoseconds. */
export interface TimedLine {
  at: string;
  line: string;
}

/**
 * What a container printed after a time, in this life and earlier ones, and each new line until it stops.
 * @param after the `at` of the last line that is known already; null: everything there is
 * @throws BottleError `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function* linesAfter(
  container: Dockerode.Container,
  after: string | null,
  signal: AbortSignal,
): AsyncGenerator<TimedLine> {
  const since = after === null ? {} : { since: after };
  for await (const text of linesSince(container, { follow: true, timestamps: true, signal, ...since })) {
    const space = text.indexOf(' ');
    const at = text.slice(0, space);
    // The Engine takes "since" as "from".
    if (at !== after) yield { at, line: text.slice(space + 1) };
  }
}

async function* linesSince(
  container: Dockerode.Container,
  request: LogRequest & { since?: string; timestamps?: boolean },
): AsyncGenerator<string> {
  const { follow, tail, signal, since, timestamps = false } = request;
  const options = {
    stdout: true,
    stderr: true,
    timestamps,
    ...(since === undefined ? {} : { since: unixTime(since) }),
    ...(tail === undefined ? {} : { tail }),
  };
  // The Engine answers a follower with the first line only, which may never come.
  const raw = await engine('read the log', () => rawLog(container, { ...options, abortSignal: signal }, follow)).catch(
    (error: unknown) => {
      if (!signal.aborted) throw error;
    },
  );
  if (raw === undefined) return;
  const text = new PassThrough();
  container.modem.demuxStream(raw, text, text);
  const stop = (): void => {
    raw.destroy();
    text.end();
  };
  raw.once('end', stop).once('error', stop);
  signal.addEventListener('abort', stop, { once: true });
  try {
    yield* readline.createInterface({ input: text });
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}

async function rawLog(container: Dockerode.Container, options: object, follow: boolean): Promise<Readable> {
  if (follow) return (await container.logs({ ...options, follow: true })) as Readable;
  const all = new PassThrough();
  all.end(await container.logs({ ...options, follow: false }));
  return all;
}

/** The Engine takes seconds and nanoseconds: whole seconds alone would bring lines of an earlier start back. */
function unixTime(startedAt: string): number {
  const seconds = Math.floor(Date.parse(startedAt) / 1000);
  const fraction = /\.(\d+)/.exec(startedAt)?.[1] ?? '0';
  return `${seconds}.${fraction.padEnd(9, '0').slice(0, 9)}` as unknown as number;
}
