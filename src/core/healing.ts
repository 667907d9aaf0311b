/** How often what a bottle stands on has been lost and made again, and how soon it may be made again. */

/** What is gone of a bottle, and what mends that. */
export interface Loss {
  /** Ids of the steps that must run again, in the order of the launch. */
  steps: string[];
  /** Of each step whose own making is gone: how it went, in words. */
  why: Record<string, string>;
}

export interface HealingStatus {
  /** Since the launch began. */
  count: number;
  /** Healings since it last stood for a minute. */
  inARow: number;
  /** ISO 8601, of the newest. */
  at: string;
  why: string[];
  /** ISO 8601: when it is made again; absent once that has begun. */
  nextAt?: string;
}

/** What stands for so long has been healed. */
const STEADY_MS = 60_000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 5 * 60_000;
/** A step that goes on failing since what it stands on goes on dying is held then, and says so. */
const MOST_IN_A_STEP = 3;

/** What it knows, as plain data. */
export interface HealingsSnapshot {
  readonly status?: HealingStatus;
  readonly waitedMs: number;
}

export class Healings {
  #status: HealingStatus | undefined;
  #waitedMs: number;

  /** @param from what an earlier one knew */
  constructor({ status, waitedMs }: HealingsSnapshot = { waitedMs: 0 }) {
    this.#status = status;
    this.#waitedMs = waitedMs;
  }

  snapshot(): HealingsSnapshot {
    return { waitedMs: this.#waitedMs, ...(this.#status === undefined ? {} : { status: this.#status }) };
  }

  get status(): HealingStatus | undefined {
    return this.#status;
  }

  /**
   * Something was lost.
   * @param stoodMs how long it had been looked after; absent where nobody knows, and then it may be healed at once
   * @returns milliseconds to wait before it is made again: none the first time, then more and more up to five minutes
   */
  lose(why: readonly string[], now: number, stoodMs: number | undefined): number {
    const { count = 0, inARow = 0, at } = this.#status ?? {};
    const soon = at !== undefined && now - Date.parse(at) < STEADY_MS + this.#waitedMs;
    const again = soon && stoodMs !== undefined && stoodMs < STEADY_MS;
    const row = again ? inARow + 1 : 1;
    this.#waitedMs = row === 1 ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (row - 2));
    this.#status = { count: count + 1, inARow: row, at: iso(now), why: [...why] };
    if (this.#waitedMs > 0) this.#status.nextAt = iso(now + this.#waitedMs);
    return this.#waitedMs;
  }

  /** What was lost is being made again. */
  mend(): void {
    delete this.#status?.nextAt;
  }

  /**
   * Whether what a failing step stands on has been made again so often that the step had better be held. No longer once
   * nothing was lost for a minute, nor once a person has said that it be tried again.
   */
  isTooOften(now: number): boolean {
    if (this.#status === undefined) return false;
    return this.#status.inARow >= MOST_IN_A_STEP && now - Date.parse(this.#status.at) < STEADY_MS;
  }

  /** A person wants it tried again: what was lost so far counts for nothing. */
  forgive(): void {
    if (this.#status !== undefined) this.#status.inARow = 0;
  }

  /** Whether what was lost is not being made again yet, since it was lost so often. */
  get waits(): boolean {
    return this.#status?.nextAt !== undefined;
  }

  /** A person does not want to wait. @returns whether that changes anything */
  hurry(): boolean {
    if (!this.waits) return false;
    this.forgive();
    this.mend();
    return true;
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();

/** What a person is told. */
export function healingText({ count, inARow, at, why, nextAt }: HealingStatus): string {
  const often = inARow > 1 ? `, ${inARow} times in a row` : count > 1 ? `, ${count} times in all` : '';
  return `healed${often}, last at ${at}: ${why.join('; ')}${nextAt === undefined ? '' : `; made again at ${nextAt}, or at once with bottle retry`}`;
}
