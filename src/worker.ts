/**
 * The worker of a host: runs the workflow code and the host-touching activities of `bottle@<host>`.
 * As a program: `node worker.js`; settings come from the environment, logs go to stderr as JSON lines.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { Client } from '@temporalio/client';
import { DefaultLogger, type LogLevel, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import { type Logger, pino, stdSerializers } from 'pino';
import type { ActivityHost } from './activities/activity-host.ts';
import { createActivities, createWaitingActivities } from './activities/index.ts';
import { BottleError, errorView } from './core/errors.ts';
import { taskQueueOf, waitingQueueOf } from './core/names.ts';
import { admissionOf } from './host/admission.ts';
import { dockerAt } from './host/docker-connection.ts';
import { endpointEnvironment } from './host/docker-endpoint.ts';
import { removeHalves } from './host/half-file.ts';
import { bottlesHere, pinHost } from './host/host-pin.ts';
import { writePrivate } from './host/private-file.ts';
import { writePidFile } from './host/process-file.ts';
import { type ReapPlace, reap, reapAnswers } from './host/reap.ts';
import { scrub } from './host/scrub.ts';
import { settings as readSettings, type Settings, stateDirectory } from './host/settings.ts';
import { wereStoppedSince } from './host/stopped-mark.ts';
import { openLaunchesOn, takeOver } from './host/takeover.ts';
import {
  clusterOwner,
  connectClient,
  connectWorker,
  ensureSearchAttributes,
  temporalTarget,
} from './host/temporal-connection.ts';
import { takeWorkerLock } from './host/worker-lock.ts';
import { workerPlace } from './host/worker-place.ts';

const SHUTDOWN_SIGNALS: NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP'];
const REAP_MS = 10 * 60_000;

export interface WorkerRun {
  settings?: Settings;
  /** Wrapped around activities: a test stops the worker inside a chosen one. */
  interceptors?: WorkerOptions['interceptors'];
  /** How many steps may run at a time; a test has few. */
  stepSlots?: number;
}

/** Steps at a time. Each is work for the Engine, which is no quicker for more of it. */
const STEP_SLOTS = 32;
/** More than a launch has steps that can begin together. */
const EAGER_STEPS = 16;
/** More than any host has bottles: what only waits takes no room from anything. */
const WAITING_SLOTS = 10_000;

/**
 * Runs until SIGTERM, SIGINT or SIGHUP. A stop undoes nothing: what runs gets some seconds to end, and whatever
 * does not is done again by the next worker.
 * @throws BottleError `WORKER_LOCKED`, `TEMPORAL_UNREACHABLE`, `WORKER_FAILED`
 */
export async function runWorker({
  settings = readSettings(),
  interceptors = {},
  stepSlots = STEP_SLOTS,
}: WorkerRun = {}): Promise<void> {
  const log = openLog(settings);
  const lock = await takeWorkerLock(settings);
  const files = runFiles(settings);
  writePidFile(files.pid, process.pid);
  rmSync(files.record, { force: true });
  const connections: { close(): Promise<void> }[] = [];
  try {
    // It may have waited for the lock. Whoever stops a worker finds this one from now on; who did so before has left the mark.
    if (wereStoppedSince(settings, performance.timeOrigin)) {
      throw new BottleError('WORKER_FAILED', 'the worker was stopped before it began to poll', {
        hint: 'bottle serve --detach starts it',
      });
    }
    pinHost(settings);
    const place = workerPlace(settings);
    // Whatever context is chosen later: what is asked again and what is started here stay with this Engine.
    Object.assign(process.env, endpointEnvironment(place.engine));
    installRuntime(log);
    const target = await temporalTarget(settings);
    const [client, connection] = await Promise.all([connectClient(target), connectWorker(target)]);
    connections.push(connection, client.connection);
    await ensureSearchAttributes(client);
    const owner = await clusterOwner(client);
    const identity = `bottle@${settings.host}/${process.pid}/${randomUUID()}`;
    const stopping = new AbortController();
    for (const name of SHUTDOWN_SIGNALS) process.once(name, () => stopping.abort());
    const { kind, address, namespace } = target;
    const host = {
      docker: dockerAt(place.engine),
      owner,
      server: { kind, address },
      settings,
      stopping: stopping.signal,
      uiUrl: target.uiUrl,
    };
    // At once, while the worker is being made: when it polls, what its predecessor left is there to be taken. The newest bottles may
    // not be listed by Temporal's visibility yet, so those that this host keeps something of are named.
    takeOver(client, settings.host, identity, bottlesHere(settings)).then(
      ({ attempts }) => attempts.length > 0 && log.info({ attempts }, 'took over the attempts of a dead worker'),
      (error: unknown) =>
        log.error({ error: errorView(error) }, 'could not take over from a dead worker; its attempts will time out'),
    );
    const queued = expectQueued(host, client, log);
    const common = {
      connection,
      namespace: target.namespace,
      identity,
      interceptors,
      shutdownGraceTime: '10 seconds',
      shutdownForceTime: '20 seconds',
    } as const;
    const workers = await Promise.all([
      Worker.create({
        ...common,
        taskQueue: taskQueueOf(settings.host),
        ...workflowSource(),
        activities: createActivities(host),
        maxHeartbeatThrottleInterval: '1 second',
        // A workflow task on a dead worker's own queue waits this long before anybody may take it.
        stickyQueueScheduleToStartTimeout: '1 second',
        workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
        activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
        // All that a turn of a workflow begins comes with the answer to it. By default three do, and the others come by the queue:
        // too late to be carried into the machine with the first (deliver.ts).
        maxEagerActivityReservationsPerWorkflowTask: EAGER_STEPS,
        maxConcurrentActivityTaskExecutions: stepSlots,
      }),
      Worker.create({
        ...common,
        taskQueue: waitingQueueOf(taskQueueOf(settings.host)),
        activities: createWaitingActivities(host),
        // What a launch waits for is told by its heartbeats.
        maxHeartbeatThrottleInterval: '1 second',
        activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
        maxConcurrentActivityTaskExecutions: WAITING_SLOTS,
      }),
    ]);
    await queued;
    const readyAt = new Date().toISOString();
    const record = { pid: process.pid, identity, address, namespace, owner, readyAt, ...place };
    await runTogether(workers, async () => {
      await writePrivate(files.record, `${JSON.stringify(record)}\n`);
      await writePrivate(files.last, `${JSON.stringify(record)}\n`);
      log.info({ address, namespace, identity }, 'polling');
      const reaping = reapNowAndThen({ host, client }, log);
      return () => clearInterval(reaping);
    });
    log.info('stopped; every bottle stays as it is');
  } finally {
    // One that is open keeps the process alive, whatever has become of its work.
    await Promise.allSettled(connections.map((each) => each.close()));
    rmSync(files.record, { force: true });
    rmSync(files.pid, { force: true });
    lock.release();
  }
}

/** Before anybody is let in: who waited when the last worker ended has been asked for before whoever asks now. */
async function expectQueued(host: ActivityHost, client: Client, log: Logger): Promise<void> {
  const query = `${openLaunchesOn(host.settings.host)} AND BottlePhase = 'queued'`;
  try {
    const waiting = [];
    for await (const { workflowId, startTime } of client.workflow.list({ query }))
      waiting.push({ id: workflowId, askedAt: startTime.toISOString(), cpus: 0 });
    admissionOf(host).expect(waiting);
  } catch (error) {
    log.warn({ error: errorView(error) }, 'could not tell which launches wait; one that asks now may be let in first');
  }
}

/**
 * Until all have stopped, and never before: whoever holds the lock of a host is the only one who works there. When one stops, for
 * whatever reason, the others follow: half a worker is none, and neither is one that nobody can know of.
 * @param polling told once they run; what it gives is called at the end. They stop when it fails
 */
async function runTogether(workers: readonly Worker[], polling: () => Promise<() => void>): Promise<void> {
  const stopAll = (): void => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  const runs = workers.map((worker) => worker.run().finally(stopAll));
  const told = polling();
  told.catch(stopAll);
  const ended = await Promise.allSettled([told, ...runs]);
  await told.then((over) => over());
  for (const each of ended) if (each.status === 'rejected') throw each.reason;
}

/** At once, for what was terminated while no worker was there, and then every ten minutes. */
function reapNowAndThen(place: ReapPlace, log: Logger): NodeJS.Timeout {
  const once = (): void => {
    // Each is told of by itself: what one has removed is gone, whatever the other fails with.
    const tell = <Removed>(what: string, work: Promise<Removed[]>): void => {
      work.then(
        (removed) => removed.length > 0 && log.info({ [what]: removed }, 'removed what no open launch owns'),
        (error: unknown) =>
          log.warn({ error: errorView(error) }, `could not look for leftovers (${what}); nothing more was removed`),
      );
    };
    tell('removed', reap(place));
    tell('answers', reapAnswers(place, true));
    tell('halves', removeHalves(place.host.settings.state));
  };
  once();
  return setInterval(once, REAP_MS);
}

/** `last` stays when the worker goes: bottles that are here are where it made them. */
function runFiles(settings: Settings): { pid: string; record: string; last: string } {
  const [pid, record, last] = ['worker.pid', 'worker.json', 'last-worker.json'].map((name) =>
    path.join(stateDirectory(settings, 'run'), name),
  ) as [string, string, string];
  return { pid, record, last };
}

/** The bundle that the build made; from sources, it is bundled at start (about 2 s). */
function workflowSource(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath' | 'dataConverter'> {
  const at = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
  const codePath = at('workflow-bundle.js');
  if (existsSync(codePath)) return { workflowBundle: { codePath } };
  return {
    workflowsPath: at('workflows/index.ts'),
    dataConverter: { payloadConverterPath: at('workflows/payload-converter.ts') },
  };
}

/** Whatever a line is made of, it holds no secret of this process when it is written. */
function openLog(settings: Settings): Logger {
  const options = {
    base: { pid: process.pid, host: settings.host },
    hooks: { streamWrite: scrub },
    // Under this name Temporal's SDK tells of errors, of which JSON alone would keep nothing.
    serializers: { error: (error: unknown) => (error instanceof Error ? stdSerializers.err(error) : error) },
  };
  const destination = pino.destination({ dest: 2, sync: true });
  // The log may lie on a disk that is full: a line that is lost is no reason to die, and none that is written later fails for it.
  for (const stream of [destination, process.stderr]) stream.on('error', () => undefined);
  return pino(options, destination);
}

function installRuntime(log: Logger): void {
  const level: Record<LogLevel, 'trace' | 'debug' | 'info' | 'warn' | 'error'> = {
    TRACE: 'trace',
    DEBUG: 'debug',
    INFO: 'info',
    WARN: 'warn',
    ERROR: 'error',
  };
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level: of, message, meta }) => log[level[of]](meta ?? {}, message)),
    shutdownSignals: SHUTDOWN_SIGNALS,
    // Otherwise the native core writes to the terminal by itself, past the log.
    telemetryOptions: { logging: { forward: {} } },
  });
}

const startedAs = process.argv[1];
if (startedAs !== undefined && realpathSync(startedAs) === fileURLToPath(import.meta.url)) {
  // In place of Node's own report, which would write whatever is in the error.
  process.on('uncaughtException', (error) => {
    process.stderr.write(scrub(`${inspect(error)}\n`));
    process.exit(1);
  });
  runWorker()
    .catch((error: unknown) => {
      const view = errorView(error);
      const { code, message, hint } = view.code === 'INTERNAL' ? { ...view, code: 'WORKER_FAILED' } : view;
      process.stderr.write(scrub(`error[${code}]: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`));
      process.exitCode = 1;
    })
    // A connection that was being made when another failed, or a native thread, would keep a worker without lock and record for ever.
    .finally(() => process.exit());
}
