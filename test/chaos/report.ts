/** What a run of chaos comes to, in lines. */
import type { Violation } from './journal.ts';
import type { FaultKind } from './plan.ts';
import type { Settled } from './settle.ts';

export interface Tally {
  seed: number;
  rounds: number;
  seconds: number;
  commands: number;
  bottles: number;
  kills: number;
  faults: ReadonlyMap<FaultKind, number>;
  settled: readonly Settled[];
  violations: readonly Violation[];
}

/** What stands out: this many times the median, and so many milliseconds. */
export const OUTLIER = { times: 5, ms: 20_000 } as const;

export interface SettleTimes {
  count: number;
  medianMs: number;
  p95Ms: number;
  worstMs: number;
}

/** Of what came to rest by itself; undefined when nothing did. */
export function settleTimes(settled: readonly Settled[]): SettleTimes | undefined {
  const sorted = settled.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
  if (sorted.length === 0) return undefined;
  return { count: sorted.length, medianMs: at(0.5), p95Ms: at(0.95), worstMs: at(1) };
}

export function isOutlier({ ms }: Settled, median: number): boolean {
  return ms > OUTLIER.ms && ms > OUTLIER.times * median;
}

export function reportLines(tally: Tally): string[] {
  const { faults, settled, violations } = tally;
  const times = settleTimes(settled);
  const rest = [...Map.groupBy(settled, ({ state }) => state)].map(([state, all]) => `${all.length} ${state}`);
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  return [
    `seed ${tally.seed}: ${tally.rounds} rounds, ${tally.bottles} bottles, ${tally.commands} commands, ${Math.round(tally.seconds)} s`,
    ...[...faults]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([kind, count]) => `  ${kind.padEnd(20)}${String(count).padStart(5)}`),
    ...(times === undefined
      ? []
      : [
          `came to rest ${times.count} times (${rest.join(', ')}): median ${seconds(times.medianMs)}, 95 of 100 within ${seconds(times.p95Ms)}, worst ${seconds(times.worstMs)}`,
        ]),
    ...[...Map.groupBy(violations, ({ what }) => what)].map(
      ([what, all]) =>
        `  ${String(all.length).padStart(4)} x ${what}: round ${all[0]?.round}: ${all[0]?.detail.slice(0, 200)}`,
    ),
    `chaos: ${tally.kills} kills, ${[...faults.values()].reduce((sum, count) => sum + count, 0)} faults in all, ${violations.length} violations`,
  ];
}
