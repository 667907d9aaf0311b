/** What every machine driver does, whatever a machine is made of. One contract test suite runs against each. */
import type { Readable, Writable } from 'node:stream';
import type { Link } from '../../core/machine-link.ts';
import type { Resources } from '../../core/plan.ts';
import type { MachineStatus } from '../../core/status.ts';
import type { BottleRef, NetworkFacts } from '../../core/step-io.ts';

export interface MachineSpec {
  network: NetworkFacts;
  /** How it reaches the bundle; by its address where nothing is said. */
  link?: Link | undefined;
  /** Tag of the guest image; for smolvm also a packed machine, as smolmachine.ts writes it. */
  image: string;
  /** What every process in the machine starts with. No secrets: it can be read from outside. */
  env: Record<string, string>;
  resources: Resources;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

export interface ExecRequest {
  argv: readonly string[];
  /** Default: the agent's user. */
  user?: string;
  /**
   * With user root: it may do to the files and processes of the machine whatever root may, such as install packages, where
   * the image has Debian's `setpriv`. For the operator's own commands only.
   */
  administers?: boolean;
  /** Absolute path; default: the workspace. */
  workdir?: string;
  env?: Record<string, string>;
  /** Absent: the command's standard input is empty. */
  stdin?: Readable;
  stdout: Writable;
  /** Never written to with a terminal, which has one stream only. */
  stderr: Writable;
  /** Present: the command gets a terminal of this size. `onResize` calls back whenever it changes. */
  terminal?: TerminalSize & { onResize?: (callback: (size: TerminalSize) => void) => void };
  /** Aborting ends the command and everything it started. */
  signal?: AbortSignal;
}

/** A file, or an empty directory when `content` is absent, to be written into a machine. */
export interface GuestFile {
  /** Absolute path in the machine. */
  path: string;
  content?: Buffer;
  /** Permission bits. */
  mode: number;
  /** `agent` unless said otherwise. */
  owner?: 'agent' | 'root';
}

export type MachineState = MachineStatus['state'];

export interface MachineDriver {
  /** Ensures a machine made from `spec`, not started. Adopts the same, replaces what differs. */
  create(bottle: BottleRef, spec: MachineSpec, signal?: AbortSignal): Promise<void>;
  /**
   * Ensures it runs.
   * @param signal breaks the start off, and stops what it has begun
   * @throws BottleError `MACHINE_NOT_RUNNING` when there is no such machine, `MACHINE_START_FAILED`; the signal's reason
   */
  start(bottle: BottleRef, signal?: AbortSignal): Promise<void>;
  /**
   * Ensures it does not run; no machine at all is fine.
   * @param run that of this launch only; else that of whichever had the id
   */
  stop(id: string, run?: string): Promise<void>;
  /** Ensures it is gone. @param run as for {@link stop} */
  delete(id: string, run?: string): Promise<void>;
  status(id: string): Promise<MachineState>;
  /**
   * Waits until the machine does not run: at once when it does not now.
   * @throws BottleError when it cannot be told any more; the signal's reason when aborted
   */
  untilStopped(id: string, signal: AbortSignal): Promise<void>;
  /**
   * Runs a command to its end.
   * @throws BottleError `MACHINE_NOT_RUNNING`; the signal's reason when aborted
   */
  exec(id: string, request: ExecRequest): Promise<{ exitCode: number }>;
  /** Writes all files as one archive; missing parent directories become root's, so list those that matter first. */
  putFiles(id: string, files: readonly GuestFile[]): Promise<void>;
}
