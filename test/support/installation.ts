/**
 * A whole installation of its own for a test: BOTTLE_HOME, BOTTLE_STATE, free ports, the real embedded server, the
 * real worker as a process that can be killed. Everything it made goes with `dispose`, Docker objects by owner label.
 */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { stopWorker } from '../../src/client/worker-process.ts';
import { LABEL, taskQueueOf } from '../../src/core/names.ts';
import type { StatusDocument } from '../../src/core/status.ts';
import { connectDocker } from '../../src/host/docker.ts';
import { startServer, stopServer } from '../../src/host/embedded-server.ts';
import { settings as readSettings, type Settings } from '../../src/host/settings.ts';
import { clusterOwner, connectClient, temporalTarget } from '../../src/host/temporal-connection.ts';
import { findTool } from '../../src/host/tools.ts';
import { statusQuery } from '../../src/workflows/messages.ts';
import { freePort } from './free-port.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const docker = connectDocker();

/** Where a worker stands still, so that a test can kill it there, or cancel what it does. */
export interface Pause {
  /** Name of an activity: a step's, or a compensation's. */
  at: string;
  /** `before` it did anything, or `after` it did everything but its result is not reported. */
  when: 'before' | 'after';
}

export interface WorkerProcess {
  readonly pid: number;
  /** When it began to poll, in milliseconds since the epoch. */
  readonly pollingSince: number;
  /** Names the activity to stand still in from now on. Only for a worker that was started with a pause. */
  pauseAt(pause: Pause): void;
  /** Resolves when the worker stands in the activity it was told to pause at. */
  paused(): Promise<void>;
  /** Lets the activity go on, and pauses in no other. */
  resume(): void;
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** SIGTERM, and waits; the exit code. */
  stop(): Promise<number | null>;
  /** What it logged so far. */
  log(): string;
}

export interface Installation {
  readonly settings: Settings;
  /** For child processes: this installation and nothing of the caller's. */
  readonly env: NodeJS.ProcessEnv;
  readonly client: Client;
  readonly owner: string;
  writeAgent(name: string, frontMatter: string, prompt?: string): void;
  writeBottle(name: string, frontMatter: string): void;
  writeSkill(name: string, text?: string): void;
  writeConfig(yaml: string): void;
  /** Starts a worker process and waits until it polls: the built one, or another program below the checkout. */
  startWorker(pause?: Pause, program?: string): Promise<WorkerProcess>;
  /** SIGKILLs the embedded server. */
  killServer(): Promise<void>;
  startServer(): Promise<void>;
  launch(id: string, input: unknown): Promise<WorkflowHandle>;
  status(id: string): Promise<StatusDocument>;
  /** Polls the status until `until` holds; fails with the last document after `seconds`. */
  waitFor(id: string, until: (status: StatusDocument) => boolean, seconds?: number): Promise<StatusDocument>;
  /** Names of this owner's containers and networks, of one bottle or of all. */
  objects(id?: string): Promise<string[]>;
  /** Whatever is left of a bottle: Docker objects, and its state directory. */
  leftovers(id: string): Promise<string[]>;
  /** Waits until a launch is closed, in whatever way; fails with the last document after `seconds`. */
  closed(id: string, seconds?: number): Promise<void>;
  /** Stops a bottle by its update and waits until it is closed; whatever is left of it. */
  down(id: string): Promise<string[]>;
  /** Runs the plain Temporal CLI against this installation's server; its standard output. Rejects when it fails. */
  temporal(...args: string[]): Promise<string>;
  dispose(): Promise<void>;
}

export const isReady = ({ phase }: StatusDocument): boolean => phase === 'ready';
/** Held, and nothing else is under way. */
export const isHeld = ({ phase, steps }: StatusDocument): boolean =>
  phase === 'held' && steps.every(({ state }) => state !== 'running' && state !== 'undoing');

let count = 0;

/** An id no other test uses, on this computer or in this run. */
export function uniqueId(prefix: string): string {
  count += 1;
  return `${prefix}-${process.pid.toString(36)}${count}${Math.random().toString(36).slice(2, 5)}`;
}

/** Processes that outlive a test run which was itself cut short would keep ports and memory. */
const processes = new Set<number>();
process.once('exit', () => {
  for (const pid of processes) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
});

export interface InstallationOptions {
  /** Default: this computer's name. */
  host?: string;
  /** BOTTLE_STATE; default: a folder of its own, removed at the end. */
  state?: string;
}

export async function installation({ host, state }: InstallationOptions = {}): Promise<Installation> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'bottle-test-'));
  const port = await freePort();
  const env: NodeJS.ProcessEnv = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TEMPORAL|BOTTLE)_/.test(name))),
    BOTTLE_HOME: path.join(directory, 'home'),
    BOTTLE_STATE: state ?? path.join(directory, 'state'),
    BOTTLE_PORT: String(port),
    // What the images were built with; a choice that another installation made does not count here.
    ...(process.env['BOTTLE_TOOLS'] ? { BOTTLE_TOOLS: process.env['BOTTLE_TOOLS'] } : {}),
    ...(host === undefined ? {} : { BOTTLE_HOST: host }),
    // Skills must come from this installation's folders, never from the person's who runs the tests.
    HOME: directory,
    BOTTLE_CACHE: process.env['BOTTLE_CACHE'] ?? path.join(os.homedir(), '.cache', 'bottle'),
    PATH: `${path.join(root, 'node_modules/.bin')}${path.delimiter}${process.env['PATH']}`,
  };
  const settings = readSettings(env);
  for (const folder of ['agents', 'bottles', 'skills'])
    mkdirSync(path.join(settings.home, folder), { recursive: true });
  let server = 0;
  const start = async (): Promise<void> => {
    server = (await startServer(settings, { detached: true })).pid;
    processes.add(server);
  };
  await start();
  const { address, namespace } = await temporalTarget(settings, env);
  const client = await connectClient(await temporalTarget(settings, env));
  const owner = await clusterOwner(client);
  const workers = new Set<WorkerProcess>();

  const self: Installation = {
    settings,
    env,
    client,
    owner,
    writeAgent: (name, frontMatter, prompt = '') => write(settings, `agents/${name}.md`, frontMatter, prompt),
    writeBottle: (name, frontMatter) => write(settings, `bottles/${name}.md`, frontMatter, ''),
    writeSkill: (name, text = `# ${name}\n`) => {
      mkdirSync(path.join(settings.home, 'skills', name), { recursive: true });
      writeFileSync(path.join(settings.home, 'skills', name, 'SKILL.md'), text);
    },
    writeConfig: (yaml) => writeFileSync(path.join(settings.home, 'config.yaml'), yaml),
    startWorker: async (pause, program) => {
      const worker = await startWorker(settings, env, pause, program);
      workers.add(worker);
      return worker;
    },
    startServer: start,
    killServer: async () => {
      const pid = Number(readFileSync(path.join(settings.state, 'run', 'server.pid'), 'utf8'));
      process.kill(pid, 'SIGKILL');
      while (isAlive(pid)) await sleep(10);
      processes.delete(pid);
    },
    launch: (id, input) =>
      client.workflow.start('BottleLaunch', {
        workflowId: id,
        taskQueue: taskQueueOf(settings.host),
        args: [input],
      }),
    // A query waits for a worker as long as it is let; the worker may be dead just now.
    status: (id) => client.withDeadline(Date.now() + QUERY_MS, () => client.workflow.getHandle(id).query(statusQuery)),
    waitFor: async (id, until, seconds = 180) => {
      const end = Date.now() + seconds * 1000;
      for (;;) {
        const status = await self.status(id).catch((error: unknown) => {
          if (Date.now() > end) throw error;
          return undefined;
        });
        if (status !== undefined && until(status)) return status;
        if (Date.now() > end) throw new Error(`not so after ${seconds} s: ${JSON.stringify(status, undefined, 1)}`);
        await sleep(50);
      }
    },
    objects: (id) => objectsOf(owner, id),
    leftovers: async (id) => {
      const state = path.join(settings.state, 'bottles', id);
      return [...(await objectsOf(owner, id)), ...(existsSync(state) ? [state] : [])];
    },
    closed: async (id, seconds = 180) => {
      const handle = client.workflow.getHandle(id);
      const end = Date.now() + seconds * 1000;
      while ((await handle.describe()).status.name === 'RUNNING') {
        if (Date.now() > end)
          throw new Error(`open after ${seconds} s: ${JSON.stringify(await self.status(id), undefined, 1)}`);
        await sleep(50);
      }
    },
    down: async (id) => {
      const handle = client.workflow.getHandle(id);
      await handle.executeUpdate('stop');
      await self.closed(id);
      return self.leftovers(id);
    },
    temporal: async (...args) => {
      const program = (await findTool('temporal', { ...env, HOME: os.homedir() }))?.path ?? 'temporal';
      const where = ['--address', address, '--namespace', namespace];
      return (await promisify(execFile)(program, [...args, ...where], { env })).stdout;
    },
    dispose: async () => {
      try {
        for (const worker of workers) await worker.kill();
        // One that the client has started by itself.
        await stopWorker(settings);
        await client.connection.close();
        await stopServer(settings);
        processes.delete(server);
      } finally {
        await removeObjects(owner);
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
  return self;
}

const QUERY_MS = 20_000;

function write(settings: Settings, file: string, frontMatter: string, body: string): void {
  writeFileSync(path.join(settings.home, file), `---\n${frontMatter.trim()}\n---\n${body}\n`);
}

async function startWorker(
  settings: Settings,
  env: NodeJS.ProcessEnv,
  pause?: Pause,
  program?: string,
): Promise<WorkerProcess> {
  mkdirSync(settings.state, { recursive: true, mode: 0o700 });
  const files = path.join(settings.state, `worker-${Date.now()}-${Math.random()}`);
  const logFile = `${files}.log`;
  const pauseFile = `${files}.pause`;
  const standing = `${pauseFile}.standing`;
  let chosen = pause;
  const pauseAt = (at: Pause | undefined): void => {
    chosen = at;
    writeFileSync(pauseFile, at === undefined ? '' : `${at.at}:${at.when}`);
  };
  if (pause !== undefined) pauseAt(pause);
  const output = openSync(logFile, 'a');
  const file = program ?? (pause === undefined ? 'dist/worker.js' : 'test/fixtures/pausing-worker.ts');
  const child = spawn(process.execPath, [path.join(root, file)], {
    env: { ...env, ...(pause === undefined ? {} : { PAUSE_FILE: pauseFile }) },
    stdio: ['ignore', output, output],
    detached: true,
  });
  closeSync(output);
  const exited = once(child, 'exit');
  const pid = child.pid as number;
  processes.add(pid);
  const log = (): string => readFileSync(logFile, 'utf8');
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    const end = Date.now() + 180_000;
    while (!holds()) {
      const ended = child.exitCode !== null || child.signalCode !== null;
      if (ended || Date.now() > end) throw new Error(`the worker never came to ${what}:\n${log()}`);
      await sleep(10);
    }
  };
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) process.kill(pid, signal);
    const [code] = (await exited) as [number | null];
    processes.delete(pid);
    return code;
  };
  const polling = /^.*"msg":"polling".*$/m;
  await until('polling', () => polling.test(log()));
  return {
    pid,
    pollingSince: (JSON.parse(polling.exec(log())?.[0] ?? '{}') as { time: number }).time,
    log,
    pauseAt,
    paused: () => until(`${chosen?.at}`, () => existsSync(standing)),
    resume: () => {
      pauseAt(undefined);
      rmSync(standing, { force: true });
    },
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function objectsOf(owner: string, id?: string): Promise<string[]> {
  const filters = { label: [`${LABEL.owner}=${owner}`, ...(id === undefined ? [] : [`${LABEL.bottle}=${id}`])] };
  const [containers, networks] = await Promise.all([
    docker.listContainers({ all: true, filters }),
    docker.listNetworks({ filters }),
  ]);
  return [...containers.map(({ Names }) => Names[0] as string), ...networks.map(({ Name }) => Name)].sort();
}

/** For tests that failed half-way; a test that passed has nothing left. */
export async function removeObjects(owner: string): Promise<void> {
  const filters = { label: [`${LABEL.owner}=${owner}`] };
  for (const { Id } of await docker.listContainers({ all: true, filters })) {
    await docker
      .getContainer(Id)
      .remove({ force: true, v: true })
      .catch(() => undefined);
  }
  for (const { Id } of await docker.listNetworks({ filters })) {
    await docker
      .getNetwork(Id)
      .remove()
      .catch(() => undefined);
  }
}
