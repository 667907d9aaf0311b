/** Whether somebody serves a host's queue: asked first, since a query without a worker only ever times out. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Client } from '@temporalio/client';
import { BottleError } from '../core/errors.ts';
import { taskQueueOf } from '../core/names.ts';
import { bottlesHere } from '../host/host-pin.ts';
import type { Settings } from '../host/settings.ts';
import type { TemporalTarget } from '../host/temporal-target.ts';
import type { WorkerPlace } from '../host/worker-place.ts';
import type { Session } from './session.ts';

/** What a polling worker says of itself in `$BOTTLE_STATE/run/worker.json`. */
/** One of an earlier version does not say all of what it works with. */
export interface WorkerRecord extends Partial<WorkerPlace> {
  pid: number;
  identity: string;
  host: string;
  address: string;
  namespace: string;
  /** ISO 8601, when it began to poll. */
  readyAt: string;
  /** Owner of the Docker objects it makes. */
  owner?: string;
}

export interface Poller {
  identity: string;
  lastSeen: Date;
}

/** A poll lasts up to a minute, and is seen when it begins. */
const RECENT_MS = 90_000;
const WORKFLOW_QUEUE = 1;

export const workerRecordFile = (settings: Settings): string => path.join(settings.state, 'run', 'worker.json');

/** This host's worker, as it described itself when it began to poll; undefined when it does not poll. */
export const readWorkerRecord = (settings: Settings): Promise<WorkerRecord | undefined> =>
  readRecord(workerRecordFile(settings));

/** The one that polled last, whether it still does or not. */
export const readLastWorker = (settings: Settings): Promise<WorkerRecord | undefined> =>
  readRecord(path.join(settings.state, 'run', 'last-worker.json'));

async function readRecord(file: string): Promise<WorkerRecord | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as WorkerRecord;
  } catch {
    return undefined;
  }
}

/** Pollers of a host's queue that the server saw within its memory (some minutes), newest first. */
export async function pollersOf(client: Client, host: string): Promise<Poller[]> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: taskQueueOf(host) },
    taskQueueType: WORKFLOW_QUEUE,
  });
  return (pollers ?? [])
    .map(({ identity, lastAccessTime }) => ({
      identity: identity ?? '',
      lastSeen: new Date(Number(lastAccessTime?.seconds ?? 0) * 1000),
    }))
    .sort((a, b) => b.lastSeen.getTime() - a.lastSeen.getTime());
}

export const isRecent = (poller: Poller | undefined, now: number = Date.now()): boolean =>
  poller !== undefined && now - poller.lastSeen.getTime() < RECENT_MS;

/**
 * @param bottle whose host it is
 * @param ask who polls for another host; whoever asks for many bottles asks once
 * @throws BottleError `WORKER_UNREACHABLE`
 */
export async function assertWorker(
  session: Session,
  settings: Settings,
  host: string,
  bottle?: string,
  ask: (host: string) => Promise<Poller[]> = (of) => pollersOf(session.client, of),
): Promise<void> {
  if (host !== settings.host) {
    // Another name need not be another computer; and what the server remembers of pollers is then older than what we know.
    const launchedHere = bottle !== undefined && bottlesHere(settings).includes(bottle);
    if (launchedHere && (await readWorkerRecord(settings))?.host !== host)
      throw noWorker(
        host,
        `${bottle} was launched here, when this host was called ${host}: BOTTLE_HOST=${host} bottle serve --restart`,
      );
    const [newest] = await ask(host);
    if (!isRecent(newest)) throw noWorker(host, 'on that host: bottle serve --detach');
    return;
  }
  if (!(await localWorkerServes(settings, session.target))) throw noWorker(host, 'start it: bottle serve --detach');
}

/**
 * Whether this host's worker is alive, by its lock, and serves this target.
 * @throws BottleError `WORKER_UNREACHABLE` when it serves another one
 */
export async function localWorkerServes(settings: Settings, target: ServedTarget): Promise<boolean> {
  const { workerIsAlive } = await import('../host/worker-lock.ts');
  if (!(await workerIsAlive(settings))) return false;
  const record = await readWorkerRecord(settings);
  if (record !== undefined) assertServes(record, target);
  return true;
}

/** Which server a worker is to serve. */
export type ServedTarget = Pick<TemporalTarget, 'address' | 'namespace'>;

/** @throws BottleError `WORKER_UNREACHABLE` when a worker serves another server than is meant */
export function assertServes(record: WorkerRecord, target: ServedTarget): void {
  if (record.address === target.address && record.namespace === target.namespace) return;
  throw new BottleError(
    'WORKER_UNREACHABLE',
    `this host's worker serves ${record.address}, namespace ${record.namespace}, not ${target.address}, namespace ${target.namespace}`,
    { hint: 'with the settings you want: bottle serve --restart' },
  );
}

/** Whether a host is this one and its worker lives, however long it takes to answer: it may be busy, or be stopped for a while. */
export async function livesHere(
  { settings, target }: Pick<Session, 'settings' | 'target'>,
  host: string,
): Promise<boolean> {
  return host === settings.host && (await localWorkerServes(settings, target).catch(() => false));
}

export function noWorker(host: string, hint: string): BottleError {
  return new BottleError('WORKER_UNREACHABLE', `no worker serves ${host}`, { hint });
}
