/**
 * The embedded Temporal server: the CLI's development server on a SQLite file in BOTTLE_STATE, on loopback only.
 * It runs in a session of its own, so that Ctrl-C reaches bottle and not the server under it.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { BottleError } from '../core/errors.ts';
import { chooseDatabase, databaseDirectory } from './embedded-database.ts';
import { withLock } from './file-lock.ts';
import { portBlocker, portOwner } from './port-owner.ts';
import { commandLine, readLivePid, stopByPidFile, writePidFile } from './process-file.ts';
import { openServerLog, serverLogFile, serverLogTail } from './server-log.ts';
import { type Settings, stateDirectory } from './settings.ts';
import { clearStopped } from './stopped-mark.ts';
import { ensureNamespace, ensureSearchAttributes } from './temporal-cluster.ts';
import { connectClient } from './temporal-connection.ts';
import { DYNAMIC_CONFIG, SEARCH_ATTRIBUTES } from './temporal-defaults.ts';
import { embeddedTarget } from './temporal-target.ts';
import { findTool, TOOLS } from './tools.ts';

const IP = '127.0.0.1';
const START_TIMEOUT_MS = 60_000;
/** The server answers 0.3 to 0.4 s after its start; a refused connection on loopback costs microseconds. */
const POLL_MS = 10;
const DEATH_POLL_MS = 50;

export interface StartOptions {
  /** true: the server outlives this process and does not keep it alive. false: {@link StartedServer.exited} tells its end. */
  detached: boolean;
  /** Made if it is missing. @default 'default' */
  namespace?: string;
  /** Path of the Temporal CLI. @default what {@link findTool} finds */
  program?: string;
  /** Whoever only starts again what has died takes no person's word back that it is to stay stopped. @default false */
  revives?: boolean;
}

export interface StartedServer {
  pid: number;
  /** `127.0.0.1:<port>` */
  address: string;
  uiUrl: string;
  /** It ran before and was left as it is. */
  alreadyRunning: boolean;
  /** Something to tell the user, where there is something. */
  notice?: string;
  /** Only if started here and not detached: resolves with a line that says how the server ended. */
  exited?: Promise<string>;
}

export interface ServerStatus {
  /** null: not running, or not ours. */
  pid: number | null;
  address: string;
  uiUrl: string;
  /** Whether anything accepts connections there. */
  answers: boolean;
}

/**
 * Starts the embedded server unless it runs, and returns when it answers and has namespace and search attributes.
 * Safe to call from several processes at once.
 * @throws BottleError `TOOL_MISSING` without a Temporal CLI; `SERVER_FAILED` when it ends early (with the last lines of
 *   its log), does not answer within a minute, or one of its ports is taken (by whom)
 */
export async function startServer(settings: Settings, options: StartOptions): Promise<StartedServer> {
  const run = stateDirectory(settings, 'run');
  if (options.revives !== true) clearStopped(settings);
  return withLock(path.join(run, 'server.lock'), async () => {
    const pid = await runningServer(settings);
    const joined = pid === null ? undefined : await joinRunning(settings, options, pid);
    if (joined !== undefined) return joined;
    return launch(settings, options);
  });
}

/** Makes sure of a server that runs already; undefined when it dies of it: a killed one lives some milliseconds more. */
async function joinRunning(settings: Settings, options: StartOptions, pid: number): Promise<StartedServer | undefined> {
  await assertSamePort(settings, pid);
  const died = async (): Promise<boolean> => (await runningServer(settings)) !== pid;
  const joined = new AbortController();
  const death = async (): Promise<undefined> => {
    while (!joined.signal.aborted && !(await died())) await sleep(DEATH_POLL_MS);
  };
  const ready = async (): Promise<StartedServer> => {
    await untilPrepared(settings, options.namespace, async () => {
      if (await died()) throw failed(settings, 0, 'ended');
    });
    return { ...whereabouts(settings), pid, alreadyRunning: true };
  };
  const answer = ready();
  // Whichever loses the race still ends, unheard.
  answer.catch(() => undefined);
  try {
    return await Promise.race([answer, death()]);
  } catch (error) {
    if (await died()) return undefined;
    throw error;
  } finally {
    joined.abort();
  }
}

/** Stops the embedded server and returns when it is gone. What it stored stays. */
export async function stopServer(settings: Settings): Promise<'stopped' | 'killed' | 'not-running'> {
  await runningServer(settings);
  return stopByPidFile(pidFile(settings), isOurs(settings));
}

/** Whether the embedded server runs and accepts connections. */
export async function serverStatus(settings: Settings): Promise<ServerStatus> {
  const pid = await runningServer(settings);
  return { ...whereabouts(settings), pid, answers: await accepts(settings.port) };
}

/** The arguments of the Temporal CLI for a server on this database. */
export function serverArguments(
  settings: Pick<Settings, 'port' | 'uiPort'>,
  database: string,
  namespace = 'default',
): string[] {
  const each = (flag: string, values: readonly string[]): string[] => values.flatMap((value) => [flag, value]);
  return [
    ...['server', 'start-dev', '--ip', IP, '--port', String(settings.port), '--ui-port', String(settings.uiPort)],
    ...['--db-filename', database, '--namespace', namespace, '--log-level', 'warn'],
    ...each('--sqlite-pragma', ['journal_mode=WAL', 'synchronous=NORMAL']),
    ...each(
      '--dynamic-config-value',
      Object.entries(DYNAMIC_CONFIG).map(([key, value]) => `${key}=${JSON.stringify(value)}`),
    ),
    ...each(
      '--search-attribute',
      SEARCH_ATTRIBUTES.map((name) => `${name}=Keyword`),
    ),
  ];
}

async function launch(settings: Settings, options: StartOptions): Promise<StartedServer> {
  const program = options.program ?? (await temporalProgram());
  const [version] = await Promise.all([serverMinorVersion(program), assertPortsFree(settings)]);
  const { database, notice } = chooseDatabase(settings, version);
  const { descriptor, start: logStart } = openServerLog(settings);
  // By way of a shell that replaces itself: the database's files are for their owner only, and a umask has no spawn option.
  const child = spawn(
    '/bin/sh',
    ['-c', 'umask 077; exec "$0" "$@"', program, ...serverArguments(settings, database, options.namespace)],
    {
      detached: true,
      stdio: ['ignore', descriptor, descriptor],
      cwd: settings.state,
      env: serverEnvironment(),
    },
  );
  closeSync(descriptor);
  const exited = endOf(child);
  try {
    await Promise.race([
      exited.then((how) => {
        throw failed(settings, logStart, how);
      }),
      becomeReady(settings, options.namespace, child),
    ]);
  } catch (error) {
    await abandon(child, exited, settings);
    throw error;
  }
  if (options.detached) child.unref();
  return {
    ...whereabouts(settings),
    pid: child.pid as number,
    alreadyRunning: false,
    ...(notice === undefined ? {} : { notice }),
    ...(options.detached ? {} : { exited }),
  };
}

async function becomeReady(settings: Settings, namespace: string | undefined, child: ChildProcess): Promise<void> {
  if (child.pid !== undefined) writePidFile(pidFile(settings), child.pid);
  // Loading the client takes about as long as the server's start: at the same time, then.
  const client = import('@temporalio/client');
  await Promise.all([
    client,
    untilPrepared(settings, namespace, async () => {
      // Why is told by whoever awaits the child's end.
      if (child.exitCode !== null || child.signalCode !== null) throw failed(settings, 0, 'ended');
    }),
  ]);
}

/** Once is not always enough: the CLI tries its ports first, and whoever meets that listener is cut off when it goes. */
async function untilPrepared(
  settings: Settings,
  namespace: string | undefined,
  assertAlive: () => Promise<void>,
): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    await untilAnswering(settings, assertAlive);
    try {
      return await prepareNamespace(settings, namespace);
    } catch (error) {
      const tooEarly = BottleError.is(error) && error.code === 'TEMPORAL_UNREACHABLE' && Date.now() < deadline;
      if (!tooEarly) throw error;
      await assertAlive();
      await sleep(POLL_MS);
    }
  }
}

async function prepareNamespace(settings: Settings, namespace: string | undefined): Promise<void> {
  const client = await connectClient(embeddedTarget(settings, namespace));
  try {
    await ensureNamespace(client);
    // Also on a database made before these attributes were: the flags count only for a new one.
    await ensureSearchAttributes(client);
  } finally {
    await client.connection.close();
  }
}

/** Ends a server that did not become ready, so that nothing half-started stays behind. */
async function abandon(child: ChildProcess, exited: Promise<string>, settings: Settings): Promise<void> {
  if (child.pid === undefined) return;
  child.kill('SIGKILL');
  await exited;
  rmSync(pidFile(settings), { force: true });
}

const endOf = (child: ChildProcess): Promise<string> =>
  new Promise((resolve) => {
    child.once('error', (error) => resolve(`could not be run (${(error as NodeJS.ErrnoException).code})`));
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `ended with code ${code}` : `was ended by ${signal}`),
    );
  });

async function untilAnswering(settings: Settings, assertAlive: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await accepts(settings.port))) {
    if (Date.now() > deadline) {
      throw new BottleError('SERVER_FAILED', `the embedded server does not answer on port ${settings.port}`, {
        hint: `see ${serverLogFile(settings)}`,
      });
    }
    await assertAlive();
    await sleep(POLL_MS);
  }
}

function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect({ host: IP, port });
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

const pidFile = (settings: Settings): string => path.join(settings.state, 'run', 'server.pid');

/** Our server's command line names a database in our state directory; no other process's does. */
const isOurs =
  (settings: Settings) =>
  (commandLine: string): boolean =>
    commandLine.includes(' server start-dev ') &&
    commandLine.includes(` --db-filename ${databaseDirectory(settings)}${path.sep}`);

/** Our server's id, or null. One whose pid file got lost is known by its port, and gets a new file. */
async function runningServer(settings: Settings): Promise<number | null> {
  const pid = await readLivePid(pidFile(settings), isOurs(settings));
  if (pid !== null || !(await accepts(settings.port))) return pid;
  const owner = await portOwner(settings.port);
  if (owner === null || !isOurs(settings)((await commandLine(owner.pid)) ?? '')) return null;
  stateDirectory(settings, 'run');
  writePidFile(pidFile(settings), owner.pid);
  return owner.pid;
}

async function assertSamePort(settings: Settings, pid: number): Promise<void> {
  const port = / --port (\d+)/.exec((await commandLine(pid)) ?? '')?.[1];
  if (port === undefined || Number(port) === settings.port) return;
  throw new BottleError('SERVER_FAILED', `the embedded server of this state directory already runs, on port ${port}`, {
    hint: `set BOTTLE_PORT=${port}, or stop it first: BOTTLE_PORT=${port} bottle serve --stop`,
  });
}

const whereabouts = (settings: Settings): { address: string; uiUrl: string } => ({
  address: `${IP}:${settings.port}`,
  uiUrl: `http://${IP}:${settings.uiPort}`,
});

async function temporalProgram(): Promise<string> {
  const tool = await findTool('temporal');
  if (tool !== undefined) return tool.path;
  throw new BottleError('TOOL_MISSING', 'the Temporal CLI is not installed', { hint: TOOLS.temporal.hint });
}

/** Asked of the program itself, as `1.29`: a CLI built from source does not know its own version, but its server's. */
async function serverMinorVersion(program: string): Promise<string> {
  const { stdout } = await promisify(execFile)(program, ['--version'], {
    timeout: 10_000,
    env: serverEnvironment(),
  }).catch((error: unknown) => {
    throw new BottleError('SERVER_FAILED', `${program} cannot be run`, { cause: error });
  });
  return /Server (\d+\.\d+)/.exec(stdout)?.[1] ?? 'unknown';
}

/** What the server needs of our environment; our Temporal settings and whatever secrets stand there are not for it. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const names = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'LANG'];
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

async function assertPortsFree(settings: Settings): Promise<void> {
  for (const [port, what] of [
    [settings.port, 'the embedded server'],
    [settings.uiPort, "the embedded server's UI"],
  ] as const) {
    const owner = await portBlocker(port);
    if (owner === undefined) continue;
    const who = owner === null ? 'another process' : `${owner.program} (process ${owner.pid})`;
    throw new BottleError('SERVER_FAILED', `port ${port}, for ${what}, is taken by ${who}`, {
      hint: `set BOTTLE_PORT to another port; or, if that is a Temporal server to be used, TEMPORAL_ADDRESS=${IP}:${settings.port}`,
    });
  }
}

/** The error of a server that did not stay up, with what it last wrote. */
function failed(settings: Settings, logStart: number, how: string): BottleError {
  const tail = serverLogTail(settings, logStart);
  return new BottleError('SERVER_FAILED', `the embedded Temporal server ${how}${tail === '' ? '' : `: ${tail}`}`, {
    hint: `see ${serverLogFile(settings)}`,
    // One that was killed may well live the next time.
    retryable: how.includes(' by SIG'),
  });
}
