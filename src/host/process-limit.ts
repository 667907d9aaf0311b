/**
 * Whether a machine has met its limit of processes. No Engine tells of that by itself. Where the Engine's kernel is ours,
 * the kernel's count of refusals is a small file, which also knows of what was over before anybody looked; elsewhere the
 * Engine is asked now and then whether the machine is full just now.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { machineName } from '../core/names.ts';
import type { ProcessLimitMet } from '../core/process-limit.ts';
import type { DockerHost } from './docker.ts';

/** Between two readings of the file. */
const READ_MS = 5000;
/** Between two questions to the Engine. */
const ASK_MS = 30_000;
const CGROUPS = '/sys/fs/cgroup';

interface Range {
  /** What has been told of already. */
  told?: ProcessLimitMet | undefined;
  /** The first is told no sooner. Milliseconds. */
  notBeforeMs?: number;
}

/**
 * Waits until a process was refused that has not been told of, or the machine is full. What cannot be asked is no news:
 * the machine may be on its way out, which is not for us to say.
 * @param ended ends the looking; it never resolves then
 */
export async function untilProcessLimit(
  host: DockerHost,
  id: string,
  { told, notBeforeMs = 0 }: Range,
  ended: AbortSignal,
): Promise<ProcessLimitMet> {
  let waitMs = Math.max(0, notBeforeMs);
  let file: string | undefined | null = null;
  while (!ended.aborted) {
    await sleep(waitMs, undefined, { signal: ended }).catch(() => undefined);
    if (ended.aborted) break;
    // Looked for once: a machine that starts again is watched anew.
    if (file === null) file = await refusalFile(host, id).catch(() => undefined);
    const counted = file === undefined ? undefined : await refusalsIn(file);
    waitMs = counted === undefined ? ASK_MS : READ_MS;
    const met = counted === undefined ? await fullNow(host, id).catch(() => undefined) : metBy(counted);
    if (met !== undefined && isNews(met, told)) return met;
  }
  return new Promise(() => undefined);
}

/**
 * What can be said of a machine just now; undefined when it has met no limit, or cannot be asked. The kernel counts, but
 * keeps no times.
 */
export async function processLimitMet(
  host: DockerHost,
  id: string,
): Promise<Pick<ProcessLimitMet, 'refusals'> | undefined> {
  const file = await refusalFile(host, id).catch(() => undefined);
  const refusals = file === undefined ? undefined : await refusalsIn(file);
  if (refusals !== undefined) return refusals === 0 ? undefined : { refusals };
  return (await fullNow(host, id).catch(() => undefined)) === undefined ? undefined : {};
}

const now = (): string => new Date().toISOString();
const metBy = (refusals: number): ProcessLimitMet | undefined => (refusals === 0 ? undefined : { at: now(), refusals });

/** The kernel counts anew from a machine's start, so any other count than the one told of is of refusals not told of. */
export const isNews = ({ refusals }: ProcessLimitMet, told: ProcessLimitMet | undefined): boolean =>
  refusals === undefined || refusals !== told?.refusals;

async function fullNow({ docker }: DockerHost, id: string): Promise<ProcessLimitMet | undefined> {
  const { pids_stats: pids } = await docker.getContainer(machineName(id)).stats({ stream: false, 'one-shot': true });
  return pids?.current !== undefined && pids.limit !== undefined && pids.current >= pids.limit
    ? { at: now() }
    : undefined;
}

async function refusalFile({ docker }: DockerHost, id: string): Promise<string | undefined> {
  const { Id, State } = await docker.getContainer(machineName(id)).inspect();
  if (State.Pid === 0) return undefined;
  return refusalFileOf(await readFile(`/proc/${State.Pid}/cgroup`, 'utf8'), Id);
}

/**
 * Where the kernel counts the processes it refused to a container.
 * @param cgroups `/proc/<process>/cgroup` (cgroups(7))
 * @returns undefined when that is another's process: the Engine's kernel, and so its numbers of processes, may not be ours
 */
export function refusalFileOf(cgroups: string, containerId: string): string | undefined {
  const entries = cgroups.split('\n').map((line) => {
    const [number = '', controllers = '', ...rest] = line.split(':');
    return { number, controllers: controllers.split(','), group: rest.join(':') };
  });
  const first = entries.find(({ controllers }) => controllers.includes('pids'));
  const second = entries.find(({ number }) => number === '0');
  const [root, group] = first === undefined ? [CGROUPS, second?.group] : [path.join(CGROUPS, 'pids'), first.group];
  if (group === undefined || !path.posix.basename(group).includes(containerId)) return undefined;
  return path.posix.join(root, group, 'pids.events');
}

async function refusalsIn(file: string): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const count = /^max (\d+)$/m.exec(text)?.[1];
  return count === undefined ? undefined : Number(count);
}
