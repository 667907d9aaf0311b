/** Processes of a bottle that the kernel ended, since there was no memory left for them within a limit. */

/** Which container's limit it was: the machine's, which is `resources.memoryMiB`, or the bundle's own. */
export type MemoryPart = 'machine' | 'bundle';

export interface MemoryKill {
  part: MemoryPart;
  /** ISO 8601, of the newest. */
  at: string;
  count: number;
}

/** One entry a part: counts added up, the newest time. */
export function addKills(known: readonly MemoryKill[], more: readonly MemoryKill[]): MemoryKill[] {
  const parts = new Map(known.map((kill) => [kill.part, kill]));
  for (const { part, at, count } of more) {
    const before = parts.get(part);
    parts.set(part, {
      part,
      at: before !== undefined && before.at > at ? before.at : at,
      count: (before?.count ?? 0) + count,
    });
  }
  return [...parts.values()];
}

/** The limit as a person knows it. */
export const memoryLimitText = (part: MemoryPart, memoryMiB: number | undefined): string =>
  part === 'bundle'
    ? "the bundle's own limit of memory"
    : `the limit of ${memoryMiB === undefined ? 'its memory' : `${memoryMiB} MiB`} (resources.memoryMiB)`;

/** What a person is told of the kills of one part. */
export function memoryKillText({ part, at, count }: MemoryKill, memoryMiB: number | undefined): string {
  const who = count === 1 ? `a process of the ${part} was` : `${count} processes of the ${part} were`;
  return `${who} killed for memory, the last at ${at}: ${memoryLimitText(part, memoryMiB)}`;
}
