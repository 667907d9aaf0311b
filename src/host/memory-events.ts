/** The end of processes for want of memory, as the Engine tells of it, on either version of cgroups. */
import { addKills, type MemoryKill } from '../core/memory-kills.ts';
import type { DockerHost } from './docker.ts';
import { type BottleEvent, bottleEvents } from './engine-events.ts';

/** One kill is often the first of several. */
const TOGETHER_MS = 1000;

interface Range {
  /** ISO 8601; what the Engine still knows from then on. Default: from now on. */
  since?: string | undefined;
  /** How long to wait for the first. Milliseconds; default: for ever. */
  patienceMs?: number;
  /** The first is told no sooner. Milliseconds. */
  notBeforeMs?: number;
}

/**
 * Waits for processes of a bottle to be killed for memory.
 * @returns those within a second of the first, added up; none when there was none in time, or `signal` aborts
 * @throws BottleError `DOCKER_UNREACHABLE`
 */
export async function memoryKills(
  host: DockerHost,
  id: string,
  { since = new Date().toISOString(), patienceMs, notBeforeMs = 0 }: Range,
  signal: AbortSignal,
): Promise<MemoryKill[]> {
  const begun = Date.now();
  const enough = new AbortController();
  const stop = (): void => enough.abort();
  let timer = patienceMs === undefined ? undefined : setTimeout(stop, patienceMs);
  let kills: MemoryKill[] = [];
  try {
    for await (const event of bottleEvents(host, id, AbortSignal.any([signal, enough.signal]))) {
      if (event?.action !== 'oom' || event.timeNano <= Date.parse(since) * 1e6) continue;
      if (kills.length === 0) {
        clearTimeout(timer);
        timer = setTimeout(stop, Math.max(TOGETHER_MS, begun + notBeforeMs - Date.now()));
      }
      kills = addKills(kills, [killOf(event)]);
    }
    return kills;
  } finally {
    clearTimeout(timer);
  }
}

/** Its time is rounded up, so that a wait from then on does not hear of it again. */
const killOf = ({ step, timeNano }: BottleEvent): MemoryKill => ({
  part: step === 'bundle' ? 'bundle' : 'machine',
  at: new Date(Math.ceil(timeNano / 1e6)).toISOString(),
  count: 1,
});
