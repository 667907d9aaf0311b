/** Tells a person whose command failed that a limit of the machine is why, where it may be. */
import { memoryLimitText } from '../core/memory-kills.ts';
import { machineName } from '../core/names.ts';
import type { Plan } from '../core/plan.ts';
import { processLimitText } from '../core/process-limit.ts';
import type { DockerHost } from '../host/docker.ts';
import { memoryKills } from '../host/memory-events.ts';
import { processLimitMet } from '../host/process-limit.ts';

const KILLED = 137;
const LONG_AGO = '1970-01-01T00:00:01.000Z';
/** The Engine may hear of it after the command's end. */
const PATIENCE_MS = 1500;
/** So few are left when a program has just failed to start another. */
const FEW_LEFT = 3;

/**
 * What the command met, in a line each; none when it met no limit, or that cannot be told.
 * @param since when the command began, ISO 8601
 */
export async function limitsMet(
  host: DockerHost,
  id: string,
  { driver, resources }: Pick<Plan, 'driver' | 'resources'>,
  { exitCode, since }: { exitCode: number; since: string },
): Promise<string[]> {
  if (exitCode === 0 || driver !== 'docker') return [];
  const patienceMs = exitCode === KILLED ? PATIENCE_MS : 100;
  const [kills, isFull] = await Promise.all([
    memoryKills(host, id, { since, patienceMs }, new AbortController().signal).catch(() => []),
    hasNoProcessLeft(host, id).catch(() => false),
  ]);
  return [
    ...kills.map(
      ({ part }) =>
        `${id}: a process of the ${part} was killed for memory: it reached ${memoryLimitText(part, resources.memoryMiB)}`,
    ),
    ...(isFull ? [`${id}: the machine has as many processes as it may: ${resources.pids} (resources.pids)`] : []),
  ];
}

/** The limits that were met in a bottle that is there now, as far back as Engine and kernel know; a line each. */
export async function limitsMetSoFar(
  host: DockerHost,
  id: string,
  { driver, resources }: Pick<Plan, 'driver' | 'resources'>,
): Promise<string[]> {
  const range = { since: LONG_AGO, patienceMs: 100 };
  const [kills, full] = await Promise.all([
    memoryKills(host, id, range, new AbortController().signal).catch(() => []),
    driver === 'docker' ? processLimitMet(host, id) : undefined,
  ]);
  const killed = kills.map(
    ({ part, at, count }) =>
      `${id}: ${count} killed for memory in the ${part}, the last at ${at}: ${memoryLimitText(part, resources.memoryMiB)}`,
  );
  return [...killed, ...(full === undefined ? [] : [`${id}: ${processLimitText(full, resources.pids)}`])];
}

async function hasNoProcessLeft({ docker }: DockerHost, id: string): Promise<boolean> {
  const { pids_stats: pids } = await docker.getContainer(machineName(id)).stats({ stream: false, 'one-shot': true });
  return pids?.current !== undefined && pids.limit !== undefined && pids.current + FEW_LEFT >= pids.limit;
}
