/** How often the server and a host's worker are asked by a command that is about many bottles. */
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
