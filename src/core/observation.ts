/** What a launch has heard of its bottle: the states of daemons, refused credentials, the agent's requests, what died. */
import type { DaemonState } from './daemons.ts';
import type { ErrorView } from './errors.ts';
import { Healings, type HealingsSnapshot } from './healing.ts';
import { addKills, type MemoryKill } from './memory-kills.ts';
import type { ProcessLimitMet } from './process-limit.ts';
import { type BookSnapshot, RequestBook } from './request-book.ts';
import type { CredentialRefusal, StatusDocument, StopReason } from './status.ts';
import type { AskedBefore, BundleResult, WatchInput, WatchNews } from './step-io.ts';

const MOST_REFUSALS = 10;

/** What it knows, as plain data. */
export interface ObservationSnapshot {
  readonly book: BookSnapshot;
  readonly daemons: Record<string, DaemonState>;
  readonly refused: CredentialRefusal[];
  readonly cursor: string | null;
  readonly killed: MemoryKill[];
  readonly outOfPids?: ProcessLimitMet;
  readonly stoppedBy: StopReason | null;
  readonly healings?: HealingsSnapshot;
  readonly trouble?: ErrorView;
  readonly stateTrouble?: ErrorView;
}

export class Observation {
  readonly book: RequestBook;
  readonly healings: Healings;
  #trouble: ErrorView | undefined;
  #stateTrouble: ErrorView | undefined;
  #daemons: Record<string, DaemonState> = {};
  #refused: CredentialRefusal[] = [];
  #cursor: string | null = null;
  #killed: MemoryKill[] = [];
  #outOfPids: ProcessLimitMet | undefined;

  /** @param from what an earlier one had heard */
  constructor(from?: ObservationSnapshot) {
    this.book = new RequestBook(from?.book);
    this.healings = new Healings(from?.healings);
    if (from === undefined) return;
    this.#daemons = from.daemons;
    this.#refused = from.refused;
    this.#cursor = from.cursor;
    this.#killed = from.killed;
    this.#outOfPids = from.outOfPids;
    this.stoppedBy = from.stoppedBy;
    this.#trouble = from.trouble;
    this.#stateTrouble = from.stateTrouble;
  }

  snapshot(): ObservationSnapshot {
    return {
      book: this.book.snapshot(),
      daemons: this.#daemons,
      refused: this.#refused,
      cursor: this.#cursor,
      killed: this.#killed,
      ...(this.#outOfPids === undefined ? {} : { outOfPids: this.#outOfPids }),
      stoppedBy: this.stoppedBy,
      ...(this.healings.status === undefined ? {} : { healings: this.healings.snapshot() }),
      ...(this.#trouble === undefined ? {} : { trouble: this.#trouble }),
      ...(this.#stateTrouble === undefined ? {} : { stateTrouble: this.#stateTrouble }),
    };
  }

  get daemons(): Record<string, DaemonState> {
    return this.#daemons;
  }

  /** Why the launch ends by itself; null while it does not. */
  stoppedBy: StopReason | null = null;

  /** What the launch waits for before it may go on from `prepare`; undefined while it need not. */
  waitsFor: StatusDocument['waitsFor'];

  /** Why nobody can look at the bottle now, or what of it is gone and not made again; undefined while all is well. */
  get trouble(): ErrorView | undefined {
    return this.#trouble ?? this.#stateTrouble;
  }

  /** What the host keeps of the bottle is gone, and could not be made again; undefined: it is there. */
  keepsState(trouble: ErrorView | undefined): void {
    this.#stateTrouble = trouble;
  }

  /** The bottle is an adopted one: what its agent had asked is known, and its bundle's log is read from there on. */
  adopt({ requests, since }: AskedBefore): void {
    this.book.takeOver(requests);
    this.#cursor = since;
  }

  /** Processes killed for memory since the bottle was launched. */
  get killed(): MemoryKill[] {
    return this.#killed;
  }

  /** The machine's limit of processes, when it was met last; undefined when never. */
  get outOfPids(): ProcessLimitMet | undefined {
    return this.#outOfPids;
  }

  /** The newest refusal of each route, oldest first. */
  get refused(): CredentialRefusal[] {
    return this.#refused;
  }

  /**
   * The `bundle` step has ended: its daemons are as it says.
   * @param anew its daemons have read their credentials again, and will say so if one is still refused
   */
  bundleReady({ daemons }: BundleResult, anew: boolean): void {
    this.#daemons = daemons;
    if (anew) this.#refused = [];
  }

  take({ daemons, asked, refused, cursor, killed = [], outOfPids, trouble }: WatchNews): void {
    if (trouble !== undefined) this.#trouble = trouble ?? undefined;
    this.#killed = addKills(this.#killed, killed);
    this.#outOfPids = outOfPids ?? this.#outOfPids;
    if (daemons !== null) this.#daemons = daemons;
    if (cursor !== null) this.#cursor = cursor;
    this.book.add(asked);
    for (const refusal of refused) {
      const others = this.#refused.filter(({ route }) => route !== refusal.route);
      this.#refused = [...others, refusal].slice(-MOST_REFUSALS);
    }
  }

  /** From where the next watch goes on. */
  watchFrom(): Pick<WatchInput, 'daemons' | 'cursor' | 'killedAt' | 'outOfPids' | 'blind' | 'stateGone'> {
    const killedAt = this.#killed
      .map(({ at }) => at)
      .sort()
      .at(-1);
    return {
      daemons: this.#daemons,
      cursor: this.#cursor,
      ...(killedAt === undefined ? {} : { killedAt }),
      ...(this.#outOfPids === undefined ? {} : { outOfPids: this.#outOfPids }),
      ...(this.#trouble === undefined ? {} : { blind: true as const }),
      ...(this.#stateTrouble === undefined ? {} : { stateGone: true as const }),
    };
  }
}
