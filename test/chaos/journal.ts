/** What a run did and saw, in order: what a violation is explained by, and kept with. */
import type { FaultKind } from './plan.ts';

export interface Entry {
  /** Milliseconds since the epoch. */
  at: number;
  kind: 'fault' | 'act' | 'outcome' | 'settled' | 'note';
  /** The bottle concerned, where there is one. */
  bottle?: string;
  /** What broke. */
  fault?: FaultKind;
  text: string;
}

export interface Violation {
  round: number;
  /** Which promise is broken, in a few words: equal ones are counted together. */
  what: string;
  bottle?: string;
  detail: string;
}

/** What of its own is harmed, and not just the one who talks about it. */
const HARMS = /^(bundle|machine|network|engine)-/;

export class Journal {
  readonly entries: Entry[] = [];
  readonly violations: Violation[] = [];
  readonly #say: (line: string) => void;
  round = 0;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  note(entry: Omit<Entry, 'at'>): void {
    this.entries.push({ at: Date.now(), ...entry });
  }

  /** One that is seen again in a later round, since what tells of it is still there, is still the same. */
  violation(what: string, bottle: string | undefined, detail: string): void {
    if (this.violations.some((one) => one.what === what && one.bottle === bottle && one.detail === detail)) return;
    this.violations.push({ round: this.round, what, ...(bottle === undefined ? {} : { bottle }), detail });
    this.note({ kind: 'note', ...(bottle === undefined ? {} : { bottle }), text: `VIOLATION ${what}: ${detail}` });
    this.#say(`VIOLATION in round ${this.round}: ${what}${bottle === undefined ? '' : ` (${bottle})`}: ${detail}`);
  }

  /** When something happened to a bottle's own containers or network, or to all bottles', in milliseconds since the epoch. */
  harmTo(bottle: string): number[] {
    return this.entries
      .filter(({ bottle: of, fault }) => fault !== undefined && HARMS.test(fault) && (of ?? bottle) === bottle)
      .map(({ at }) => at);
  }

  text(): string {
    return this.entries
      .map(({ at, kind, bottle, text }) => `${new Date(at).toISOString()} ${kind.padEnd(8)}${bottle ?? '-'}  ${text}\n`)
      .join('');
  }
}
