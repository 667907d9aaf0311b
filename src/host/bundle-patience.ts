/** How long a bundle's daemons may take: on a computer that is busy, one that merely starts is no broken one. */
import type { BundleResult } from '../core/step-io.ts';

/** Whether one of them is neither ready nor on its way there. */
export const isFailing = (daemons: BundleResult['daemons']): boolean =>
  Object.values(daemons).some((state) => state !== 'ready' && state !== 'starting');

interface Limits {
  /** For whatever is not on its way to be ready. */
  readyMs: number;
  /** For what only starts, as far as it tells. */
  startingMs: number;
}

const LIMITS: Limits = { readyMs: 30_000, startingMs: 90_000 };

/**
 * @param daemons their states now
 * @returns a signal that aborts when they have had time enough; `end` is to be called when nobody waits any more
 */
export function bundlePatience(
  daemons: () => BundleResult['daemons'],
  { readyMs, startingMs }: Limits = LIMITS,
): { signal: AbortSignal; end: () => void } {
  const over = new AbortController();
  const began = performance.now();
  const timer = setInterval(() => {
    // A period's timer may fire a moment early.
    if (isFailing(daemons()) || performance.now() - began > startingMs - readyMs / 2) over.abort();
  }, readyMs);
  return { signal: over.signal, end: () => clearInterval(timer) };
}
