/**
 * Keeps the chosen daemons running: starts each as a child process, gives it its configuration and learns when that is
 * in force, starts it again with a growing delay when it ends, and ends them all in time. One daemon's trouble never
 * touches another.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import type { DaemonState } from '../core/daemons.ts';
import { type BackoffPolicy, backoffDelay, countEnd, DEFAULT_BACKOFF } from './backoff.ts';
import type { Feed } from './feed.ts';
import { prefixLines } from './prefix-lines.ts';
import type { DaemonStatus, Statuses } from './status-report.ts';

export interface DaemonSpec {
  name: string;
  command: string;
  args: readonly string[];
  /** All of its environment: nothing is inherited. */
  env: Readonly<Record<string, string>>;
  /** User and group it runs as; init's own when absent. */
  uid?: number;
  /** Daemons that must be ready, or have failed, before this one is started for the first time. */
  after?: readonly string[];
  /** The daemon whose helper it is: nobody is told of it by itself, and that daemon is not ready without it. */
  partOf?: string;
  feed: Feed;
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
  /**
   * Gives each daemon its slice, to those whose slice has changed. Resolves when every daemon has taken the newest one;
   * a daemon that keeps failing holds it up for as long.
   */
  apply(configs: Readonly<Record<string, unknown>>): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Ends every daemon: SIGTERM, and SIGKILL after the grace. Resolves when all are gone. */
  stop(): Promise<void>;
}

interface Daemon {
  spec: DaemonSpec;
  status: DaemonStatus;
  child: ChildProcess | undefined;
  /** Started and not gone yet, the replaced ones too; each settles when its last line was read. */
  processes: Map<ChildProcess, Promise<void>>;
  begun: boolean;
  readyAt: number | undefined;
  endsInARow: number;
  restartTimer: NodeJS.Timeout | undefined;
  /** Undefined until there is one. */
  config: unknown;
  /** Counts the configurations it was given, and which of them is in force. */
  given: number;
  taken: number;
}

/** Starts the daemons that need no configuration to start with; the others once they have one. */
export function startSupervisor(options: SupervisorOptions): Supervisor {
  const { write, onChange, backoff = DEFAULT_BACKOFF, graceMs = 5000 } = options;
  const daemons = options.daemons.map(newDaemon);
  let waiting: { until: () => boolean; resolve: () => void }[] = [];
  let stopping = false;

  function publish(): void {
    onChange(statusesOf(daemons));
    for (const each of waiting.filter(({ until }) => until())) each.resolve();
    waiting = waiting.filter(({ until }) => !until());
  }

  function set(daemon: Daemon, change: Partial<DaemonStatus>): void {
    const entered = change.state !== undefined && change.state !== daemon.status.state;
    daemon.status = { ...daemon.status, ...change, ...(entered ? { since: new Date().toISOString() } : {}) };
    publish();
  }

  /** Starts what may start now, for the first time. */
  function begin(): void {
    for (const daemon of daemons) {
      const before = daemons.filter(({ spec }) => daemon.spec.after?.includes(spec.name));
      const held = before.some(({ status }) => status.state !== 'ready' && status.state !== 'failed');
      const needsConfig = daemon.spec.feed.prepare !== undefined && daemon.config === undefined;
      if (daemon.begun || held || needsConfig || stopping) continue;
      daemon.begun = true;
      start(daemon);
    }
  }

  function start(daemon: Daemon): void {
    if (daemon.spec.feed.prepare === undefined) {
      launch(daemon);
      return;
    }
    prepare(daemon).then(
      () => launch(daemon),
      (error: Error) => notStarted(daemon, error),
    );
  }

  function notStarted(daemon: Daemon, error: Error): void {
    write(`[init] ${daemon.spec.name}: ${error.message}\n`);
    ended(daemon, 'not started');
  }

  function launch(daemon: Daemon): void {
    if (stopping) return;
    const { spec } = daemon;
    let child: ChildProcess;
    try {
      child = spawn(spec.command, spec.args, {
        env: spec.env,
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        ...(spec.uid === undefined ? {} : { uid: spec.uid, gid: spec.uid }),
      });
    } catch (error) {
      // What the system refuses outright is thrown, what it fails at is an event.
      notStarted(daemon, error as Error);
      return;
    }
    const gone = Promise.withResolvers<void>();
    daemon.child = child;
    daemon.processes.set(child, gone.promise);
    daemon.readyAt = undefined;
    // Without descriptors to spare, a child that cannot be started has no streams at all.
    for (const output of [child.stdout, child.stderr]) if (output) prefixLines(output, spec.name, write);
    const over = (how: string): void => {
      afterLastLine(child, () => {
        daemon.processes.delete(child);
        gone.resolve();
      });
      if (daemon.child === child) ended(daemon, how);
    };
    child.once('error', (error) => {
      write(`[init] ${spec.name}: ${error.message}\n`);
      if (child.pid === undefined) over('not started');
    });
    child.once('exit', (code, signal) => over(signal ?? `exit code ${code}`));
    set(daemon, { pid: child.pid ?? null });
    if (daemon.config !== undefined && child.pid !== undefined)
      spec.feed.first(child, daemon.config, takenBy(daemon, child));
  }

  /** What is prepared must be what the process is then given: a newer configuration may come in meanwhile. */
  async function prepare(daemon: Daemon): Promise<void> {
    const { config, spec } = daemon;
    await spec.feed.prepare?.(config);
    if (daemon.config !== config) await prepare(daemon);
  }

  function takenBy(daemon: Daemon, child: ChildProcess): () => void {
    const given = daemon.given;
    return () => {
      if (stopping || daemon.child !== child) return;
      daemon.taken = Math.max(daemon.taken, given);
      daemon.readyAt ??= Date.now();
      set(daemon, { state: 'ready' });
      begin();
    };
  }

  function ended(daemon: Daemon, how: string): void {
    daemon.child = undefined;
    if (stopping) {
      set(daemon, { state: 'stopped', pid: null });
      return;
    }
    const readyMs = daemon.readyAt === undefined ? undefined : Date.now() - daemon.readyAt;
    // The next one may not even come to be started.
    daemon.readyAt = undefined;
    daemon.endsInARow = countEnd(backoff, daemon.endsInARow, readyMs);
    const delayMs = backoffDelay(backoff, daemon.endsInARow);
    write(`[init] ${daemon.spec.name} ended (${how}), starting it again in ${delayMs} ms\n`);
    set(daemon, { state: daemon.endsInARow >= backoff.failedAfter ? 'failed' : 'backoff', pid: null });
    daemon.restartTimer = setTimeout(() => restart(daemon), delayMs);
    begin();
  }

  function restart(daemon: Daemon): void {
    daemon.restartTimer = undefined;
    // A daemon that keeps dying stays `failed` until it is ready: the state would only flicker otherwise.
    const state: DaemonState = daemon.status.state === 'failed' ? 'failed' : 'starting';
    set(daemon, { state, restarts: daemon.status.restarts + 1 });
    start(daemon);
  }

  /** A new process for a configuration that the running one cannot take; what that one still does, it may end. */
  function replace(daemon: Daemon): void {
    const old = daemon.child;
    daemon.child = undefined;
    old?.kill('SIGTERM');
    set(daemon, { state: 'starting', pid: null });
    start(daemon);
  }

  function give(daemon: Daemon, config: unknown): void {
    if (isDeepStrictEqual(config, daemon.config)) return;
    const first = daemon.config === undefined;
    daemon.config = config;
    daemon.given += 1;
    const { child, spec } = daemon;
    // Not running: whoever starts it takes the newest.
    if (child?.pid === undefined) return;
    const taken = takenBy(daemon, child);
    const again = (): void => {
      if (!stopping && daemon.child === child) replace(daemon);
    };
    if (first) spec.feed.first(child, config, taken);
    else if (!spec.feed.next(child, config, taken, again)) again();
  }

  begin();
  publish();

  return {
    apply(configs) {
      for (const daemon of daemons) give(daemon, configs[daemon.spec.name]);
      begin();
      const wanted = daemons.map((daemon) => ({ daemon, given: daemon.given }));
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ until: () => wanted.every(({ daemon, given }) => daemon.taken >= given), resolve });
      publish();
      return promise;
    },
    signal(signal) {
      for (const { child } of daemons) child?.kill(signal);
    },
    async stop() {
      stopping = true;
      for (const daemon of daemons) {
        clearTimeout(daemon.restartTimer);
        if (daemon.child === undefined) set(daemon, { state: 'stopped' });
        for (const child of daemon.processes.keys()) child.kill('SIGTERM');
      }
      const killTimer = setTimeout(() => {
        for (const { processes, spec } of daemons) {
          if (processes.size === 0) continue;
          write(`[init] ${spec.name} did not end in ${graceMs} ms, killing it\n`);
          for (const child of processes.keys()) child.kill('SIGKILL');
        }
      }, graceMs);
      await Promise.all(daemons.flatMap(({ processes }) => [...processes.values()]));
      clearTimeout(killTimer);
    },
  };
}

function statusesOf(daemons: readonly Daemon[]): Statuses {
  const shown = daemons.filter(({ spec }) => spec.partOf === undefined);
  return Object.fromEntries(
    shown.map(({ spec: { name }, status }) => {
      const helper = daemons.find(({ spec, status: { state } }) => spec.partOf === name && state !== 'ready');
      if (status.state !== 'ready' || helper === undefined) return [name, status];
      const { state, since } = helper.status;
      return [name, { ...status, state, since }];
    }),
  );
}

function newDaemon(spec: DaemonSpec): Daemon {
  return {
    spec,
    status: { state: 'starting', pid: null, restarts: 0, since: new Date().toISOString() },
    child: undefined,
    processes: new Map(),
    begun: false,
    readyAt: undefined,
    endsInARow: 0,
    restartTimer: undefined,
    config: undefined,
    given: 0,
    taken: 0,
  };
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
