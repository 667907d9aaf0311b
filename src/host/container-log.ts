/** A container's log as lines, read as it comes: however long it is, only some of it is in memory. */
import type { Readable } from 'node:stream';
import type Dockerode from 'dockerode';
import { engine } from './docker.ts';
import { logReader, type TimedLine } from './log-lines.ts';

export type { TimedLine };

export interface LogRequest {
  /** Go on with each new line until the container stops; otherwise end after what is there. */
  follow: boolean;
  /** How many of the lines that are there already; all by default. */
  tail?: number;
  /** Ends the lines, without an error. */
  signal: AbortSignal;
}

/** What the Engine is asked for, whichever life of the container it is of. */
export interface LogRange extends LogRequest {
  /** From when on: RFC 3339; from the beginning by default. */
  since?: string;
  /** Whether each line comes with its time. */
  timestamps?: boolean;
}

/**
 * What a container printed on both streams since its last start.
 * @throws BottleError `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function* containerLines(container: Dockerode.Container, request: LogRequest): AsyncGenerator<string> {
  const { State } = await engine('inspect container', () => container.inspect());
  for await (const lines of logLines(container, { ...request, since: State.StartedAt })) {
    for (const { line } of lines) yield line;
  }
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
  for await (const lines of logLines(container, { follow: true, timestamps: true, signal, ...since })) {
    // The Engine takes "since" as "from".
    for (const each of lines) if (each.at !== after) yield each;
  }
}

/**
 * A container's log, as many lines at a time as the Engine sends at once; it is asked for more only when those are taken.
 * @throws BottleError `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function* logLines(container: Dockerode.Container, range: LogRange): AsyncGenerator<TimedLine[]> {
  const { signal } = range;
  const raw = await engine('read the log', () => openLog(container, range)).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  if (raw === undefined) return;
  const read = logReader(range.timestamps === true);
  const stop = (): void => void raw.destroy();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    for await (const chunk of raw as AsyncIterable<Buffer>) {
      const lines = read(chunk);
      if (lines.length > 0) yield lines;
    }
  } catch (error) {
    // A follower's connection ends with the container or the Engine, in whatever way; half a log is no log.
    if (!signal.aborted && !range.follow) throw await engineFault(error);
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
  const rest = read(undefined);
  if (rest.length > 0) yield rest;
}

const engineFault = (error: unknown): Promise<unknown> =>
  engine('read the log', () => Promise.reject(error)).catch((fault: unknown) => fault);

/** Past dockerode's own `logs`, which gathers the whole of a log that is not followed before it returns. */
function openLog(container: Dockerode.Container, range: LogRange): Promise<Readable> {
  const { follow, tail, signal, since, timestamps = false } = range;
  const options = {
    follow,
    stdout: true,
    stderr: true,
    timestamps,
    ...(since === undefined ? {} : { since: unixTime(since) }),
    ...(tail === undefined ? {} : { tail }),
  };
  const request = {
    path: `/containers/${container.id}/logs?`,
    method: 'GET',
    options,
    abortSignal: signal,
    isStream: true,
    statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
  };
  return new Promise((resolve, reject) => {
    container.modem.dial(request, (error: unknown, stream: Readable) => (error ? reject(error) : resolve(stream)));
  });
}

/** The Engine takes seconds and nanoseconds: whole seconds alone would bring lines of an earlier start back. */
function unixTime(at: string): string {
  const seconds = Math.floor(Date.parse(at) / 1000);
  const fraction = /\.(\d+)/.exec(at)?.[1] ?? '0';
  return `${seconds}.${fraction.padEnd(9, '0').slice(0, 9)}`;
}
