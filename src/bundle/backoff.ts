/** When a daemon that ended is started again, and when it counts as failed. Pure. */

export interface BackoffPolicy {
  /** Delay after the first end, in milliseconds; it doubles with each further one. */
  firstMs: number;
  capMs: number;
  /** A run that was ready this long, in milliseconds, was healthy: the count starts anew after it. */
  healthyMs: number;
  /** Ends in a row, none after a healthy run, that make it `failed`. */
  failedAfter: number;
}

export const DEFAULT_BACKOFF: BackoffPolicy = { firstMs: 250, capMs: 10_000, healthyMs: 10_000, failedAfter: 5 };

/** The delay before the next start after `ends` ends in a row (1 or more), in milliseconds. */
export function backoffDelay(policy: BackoffPolicy, ends: number): number {
  return Math.min(policy.capMs, policy.firstMs * 2 ** (ends - 1));
}

/** The ends in a row after one more, of a run that had been ready for `readyMs` (undefined: never ready). */
export function countEnd(policy: BackoffPolicy, ends: number, readyMs: number | undefined): number {
  return readyMs !== undefined && readyMs >= policy.healthyMs ? 1 : ends + 1;
}
