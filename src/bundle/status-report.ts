/** How a bundle tells the states of its daemons: a file for whoever looks into the container, a log line for the host. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
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

/**
 * Takes the whole picture after each change. The file is written each time, before the line is told, so that whoever
 * follows the log finds the file up to date; the line is told only when a state is another than before.
 */
export function statusReporter(options: {
  path: string;
  tell: (line: string) => void;
  complain: (line: string) => void;
}): (daemons: Statuses) => void {
  const { path, tell, complain } = options;
  let lastLine = '';
  let complained = false;
  return (daemons) => {
    try {
      writeStatusFile(path, daemons);
    } catch (error) {
      // The host follows the log, so a read-only file system costs the file, not the bundle.
      if (!complained) complain(`[init] error: no status file: ${(error as Error).message}\n`);
      complained = true;
    }
    const line = statusLine(Object.fromEntries(Object.entries(daemons).map(([name, { state }]) => [name, state])));
    if (line !== lastLine) tell(`${line}\n`);
    lastLine = line;
  };
}

/** Replaces the file in one move, so that a reader never sees half of it. Synchronous: writes keep their order. */
function writeStatusFile(path: string, daemons: Statuses): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify({ daemons })}\n`);
  renameSync(temporary, path);
}
