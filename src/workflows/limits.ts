/** A bottle that ends by itself: when it has been ready for as long as its manifest lets it be. */
import { condition } from '@temporalio/workflow';
import type { GraphRunner } from '../core/graph-runner.ts';
import type { PrepareResult } from '../core/step-io.ts';

/** Stops the launch when its lifetime is over; a lifetime that changes counts from the same beginning. */
export async function endOfLifetime(runner: GraphRunner, over: () => void): Promise<void> {
  const lifetime = (): number | null =>
    (runner.value('prepare') as PrepareResult | undefined)?.plan.limits.lifetimeMs ?? null;
  for (;;) {
    await condition(() => runner.readyAt !== undefined && lifetime() !== null);
    const until = lifetime();
    const left = (runner.readyAt as number) + (until as number) - Date.now();
    const changed = left > 0 && (await condition(() => lifetime() !== until || runner.isEnding, left));
    if (runner.isEnding) return;
    if (!changed) return over();
  }
}
