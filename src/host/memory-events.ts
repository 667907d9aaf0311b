/** The end of processes for want of memory, as the Engine tells of it, on either version of cgroups. */
import readline from 'node:readline';
import type { Readable } from 'node:stream';
import { addKills, type MemoryKill } from '../core/memory-kills.ts';
import { LABEL } from '../core/names.ts';
import { type DockerHost, engine, labelFilter } from './docker.ts';

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
  { since, patienceMs, notBeforeMs = 0 }: Range,
  signal: AbortSignal,
): Promise<MemoryKill[]> {
  const filters = { ...labelFilter(host, id), type: ['container' as const], event: ['oom'] };
  const from = since === undefined ? {} : { since: Date.parse(since) / 1000 };
  const stream = (await engine('follow events', () => host.docker.getEvents({ filters, ...from }))) as Readable;
  const begun = Date.now();
  const stop = (): void => void stream.destroy();
  stream.on('error', stop);
  signal.addEventListener('abort', stop, { once: true });
  let timer = patienceMs === undefined ? undefined : setTimeout(stop, patienceMs);
  let kills: MemoryKill[] = [];
  try {
    if (signal.aborted || stream.destroyed) return kills;
    const lines = readline.createInterface({ input: stream });
    stream.once('close', () => lines.close());
    for await (const line of lines) {
      const kill = killOf(line);
      if (kill === undefined) continue;
      if (kills.length === 0) {
        clearTimeout(timer);
        timer = setTimeout(stop, Math.max(TOGETHER_MS, begun + notBeforeMs - Date.now()));
      }
      kills = addKills(kills, [kill]);
    }
    return kills;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    stop();
  }
}

interface EngineEvent {
  Actor?: { Attributes?: Record<string, string> };
  timeNano?: number;
}

function killOf(line: string): MemoryKill | undefined {
  const { Actor, timeNano } = JSON.parse(line) as EngineEvent;
  if (timeNano === undefined) return undefined;
  const part = Actor?.Attributes?.[LABEL.step] === 'bundle' ? 'bundle' : 'machine';
  // Rounded up, so that a wait from then on does not hear of it again.
  return { part, at: new Date(Math.ceil(timeNano / 1e6)).toISOString(), count: 1 };
}
