/** The status file of a bundle: every daemon's state, for whoever looks into the container. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DaemonState } from './daemons.ts';

export interface DaemonStatus {
  state: DaemonState;
  /** The process now running, if any. */
  pid: number | null;
  /** How often it was started again. */
  restarts: number;
  /** When `state` was entered, ISO 8601. */
  since: string;
}

/** Replaces the file in one move, so that a reader never sees half of it. Synchronous: writes keep their order. */
export function writeStatusFile(path: string, daemons: Readonly<Record<string, DaemonStatus>>): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify({ daemons })}\n`);
  renameSync(temporary, path);
}
