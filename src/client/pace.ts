/** How often the server and a host's worker are asked, and how much of them at a time, by a command that is about many bottles. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Gives turns, first come, first served, no two of them within `intervalMs`. */
export class Pace {
  readonly #intervalMs: number;
  #next = 0;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** Resolves when it is the caller's turn, or on abort. */
  async turn(signal: AbortSignal): Promise<void> {
    const now = Date.now();
    const at = Math.max(now, this.#next);
    this.#next = at + this.#intervalMs;
    if (at > now) await sleep(at - now, undefined, { signal }).catch(() => undefined);
  }
}

/** Runs what it is given, no more than `most` at the same time, first come, first served. */
export function someAtATime(most: number): <T>(act: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (act) => {
    if (running === most) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await act();
    } finally {
      // Whoever waits takes over the place.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
