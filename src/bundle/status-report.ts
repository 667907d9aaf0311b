/** How a bundle tells the states of its daemons: a socket for whoever looks into the container, a log line for the host. */
import { mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname } from 'node:path';
import { type DaemonState, statusLine } from '../core/daemons.ts';

export interface DaemonStatus {
  state: DaemonState;
  /** The process now running, if any. */
  pid: number | null;
  /** How often it was started again. */
  restarts: number;
  /** When `state` was entered, ISO 8601. */
  since: string;
}

export type Statuses = Readonly<Record<string, DaemonStatus>>;

export interface StatusReporter {
  report(daemons: Statuses): void;
  /** Tells the line once more, for whoever began to follow the log only now. */
  retell(): void;
}

/**
 * Takes the whole picture after each change. A `GET` on the socket answers `{"daemons": ...}`, with 200 while every
 * daemon is ready and 503 otherwise: the container's health. The line is told only when a state is another than before.
 */
export function statusReporter(options: {
  /** Path of a Unix socket. */
  socket: string;
  tell: (line: string) => void;
  complain: (line: string) => void;
}): StatusReporter {
  const { socket, tell, complain } = options;
  let lastLine = '';
  let daemons: Statuses = {};
  answerAt(socket, () => daemons, complain);
  const retell = (): void => {
    lastLine = lineOf(daemons);
    tell(`${lastLine}\n`);
  };
  return {
    report: (now) => {
      daemons = now;
      if (lineOf(now) !== lastLine) retell();
    },
    retell,
  };
}

const lineOf = (daemons: Statuses): string =>
  statusLine(Object.fromEntries(Object.entries(daemons).map(([name, { state }]) => [name, state])));

function answerAt(socket: string, statuses: () => Statuses, complain: (line: string) => void): void {
  const server = createServer((_request, response) => {
    const daemons = statuses();
    const ready = Object.values(daemons).every(({ state }) => state === 'ready');
    response.writeHead(ready ? 200 : 503, { 'content-type': 'application/json', connection: 'close' });
    response.end(`${JSON.stringify({ daemons })}\n`);
  });
  // The host follows the log, so a read-only file system costs the socket, not the bundle.
  const failed = (error: Error): void => complain(`[init] error: no status socket: ${error.message}\n`);
  server.once('error', failed);
  try {
    mkdirSync(dirname(socket), { recursive: true });
    // Left behind by init's own predecessor in a container that was started again.
    rmSync(socket, { force: true });
    // Nobody but init's own user asks, whatever the directory allows.
    const before = process.umask(0o177);
    server.listen(socket);
    process.umask(before);
  } catch (error) {
    failed(error as Error);
  }
}
