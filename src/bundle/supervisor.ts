/**
 * Keeps the chosen daemons running: starts each as a child process, learns when it is ready, starts it again with a
 * growing delay when it ends, and ends them all in time. One daemon's trouble never touches another.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { DaemonState } from '../core/daemons.ts';
import { type BackoffPolicy, backoffDelay, countEnd, DEFAULT_BACKOFF } from './backoff.ts';
import { prefixLines } from './prefix-lines.ts';
import type { DaemonStatus, Statuses } from './status-report.ts';

/** How a daemon shows that it is ready: call `ready` once. */
export type Readiness = (child: ChildProcess, ready: () => void) => void;

/** For our own daemons: they send the message `ready` over the IPC channel once they listen. */
export const readyByMessage: Readiness = (child, ready) => {
  child.on('message', (message) => {
    if (message === 'ready') ready();
  });
};

export interface DaemonSpec {
  name: string;
  command: string;
  args: readonly string[];
  /** All of its environment: nothing is inherited. */
  env: Readonly<Record<string, string>>;
  readiness: Readiness;
}

export interface SupervisorOptions {
  daemons: readonly DaemonSpec[];
  /** Takes whole lines of output, the daemons' with their `[name] `. */
  write: (lines: string) => void;
  /** Told the whole picture after each change. */
  onChange: (daemons: Statuses) => void;
  backoff?: BackoffPolicy;
  /** How long a daemon may take to end after SIGTERM before it is killed, in milliseconds. @default 5000 */
  graceMs?: number;
}

export interface Supervisor {
  signal(signal: NodeJS.Signals): void;
  /** Ends every daemon: SIGTERM, and SIGKILL after the grace. Resolves when all are gone. */
  stop(): Promise<void>;
}

interface Daemon {
  spec: DaemonSpec;
  status: DaemonStatus;
  child: ChildProcess | undefined;
  /** Settles when the running child is gone and its last line was read. */
  gone: Promise<void>;
  readyAt: number | undefined;
  endsInARow: number;
  restartTimer: NodeJS.Timeout | undefined;
}

/** Starts the daemons, all at once. */
export function startSupervisor(options: SupervisorOptions): Supervisor {
  const { write, onChange, backoff = DEFAULT_BACKOFF, graceMs = 5000 } = options;
  const daemons = options.daemons.map(newDaemon);
  let stopping = false;

  const publish = () => onChange(Object.fromEntries(daemons.map(({ spec, status }) => [spec.name, status])));

  function set(daemon: Daemon, change: Partial<DaemonStatus>): void {
    const entered = change.state !== undefined && change.state !== daemon.status.state;
    daemon.status = { ...daemon.status, ...change, ...(entered ? { since: new Date().toISOString() } : {}) };
    publish();
  }

  function start(daemon: Daemon): void {
    const { spec } = daemon;
    const child = spawn(spec.command, spec.args, { env: spec.env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    const gone = Promise.withResolvers<void>();
    daemon.child = child;
    daemon.gone = gone.promise;
    daemon.readyAt = undefined;
    if (child.stdout !== null) prefixLines(child.stdout, spec.name, write);
    if (child.stderr !== null) prefixLines(child.stderr, spec.name, write);
    spec.readiness(child, () => {
      if (stopping || daemon.child !== child || daemon.readyAt !== undefined) return;
      daemon.readyAt = Date.now();
      set(daemon, { state: 'ready' });
    });
    child.once('error', (error) => {
      write(`[init] ${spec.name}: ${error.message}\n`);
      if (child.pid === undefined) ended(daemon, child, 'not started', gone.resolve);
    });
    child.once('exit', (code, signal) => ended(daemon, child, signal ?? `exit code ${code}`, gone.resolve));
  }

  function ended(daemon: Daemon, child: ChildProcess, how: string, gone: () => void): void {
    if (daemon.child !== child) return;
    daemon.child = undefined;
    afterLastLine(child, gone);
    if (stopping) {
      set(daemon, { state: 'stopped', pid: null });
      return;
    }
    const readyMs = daemon.readyAt === undefined ? undefined : Date.now() - daemon.readyAt;
    daemon.endsInARow = countEnd(backoff, daemon.endsInARow, readyMs);
    const delayMs = backoffDelay(backoff, daemon.endsInARow);
    write(`[init] ${daemon.spec.name} ended (${how}), starting it again in ${delayMs} ms\n`);
    set(daemon, { state: daemon.endsInARow >= backoff.failedAfter ? 'failed' : 'backoff', pid: null });
    daemon.restartTimer = setTimeout(() => restart(daemon), delayMs);
  }

  function restart(daemon: Daemon): void {
    start(daemon);
    // A daemon that keeps dying stays `failed` until it is ready: the state would only flicker otherwise.
    const state: DaemonState = daemon.status.state === 'failed' ? 'failed' : 'starting';
    set(daemon, { state, pid: daemon.child?.pid ?? null, restarts: daemon.status.restarts + 1 });
  }

  for (const daemon of daemons) {
    start(daemon);
    daemon.status = { ...daemon.status, pid: daemon.child?.pid ?? null };
  }
  publish();

  return {
    signal(signal) {
      for (const { child } of daemons) child?.kill(signal);
    },
    async stop() {
      stopping = true;
      for (const daemon of daemons) {
        clearTimeout(daemon.restartTimer);
        if (daemon.child === undefined) set(daemon, { state: 'stopped' });
        else daemon.child.kill('SIGTERM');
      }
      const killTimer = setTimeout(() => {
        for (const { child, spec } of daemons) {
          if (child === undefined) continue;
          write(`[init] ${spec.name} did not end in ${graceMs} ms, killing it\n`);
          child.kill('SIGKILL');
        }
      }, graceMs);
      await Promise.all(daemons.map(({ gone }) => gone));
      clearTimeout(killTimer);
    },
  };
}

function newDaemon(spec: DaemonSpec): Daemon {
  const status: DaemonStatus = { state: 'starting', pid: null, restarts: 0, since: new Date().toISOString() };
  const gone = Promise.resolve();
  return { spec, status, child: undefined, gone, readyAt: undefined, endsInARow: 0, restartTimer: undefined };
}

/** A grandchild may hold the pipe open for ever, so the last line is waited for only this long, in milliseconds. */
const LAST_LINE_MS = 200;

function afterLastLine(child: ChildProcess, then: () => void): void {
  const timer = setTimeout(then, LAST_LINE_MS);
  child.once('close', () => {
    clearTimeout(timer);
    then();
  });
}
