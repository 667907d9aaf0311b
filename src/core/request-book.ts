/**
 * What the agent of one bottle has asked, and what the operator answered: the workflow's own record, so that every
 * grant is in the history. Pure; time comes in.
 */
import type { Ask, AskedRequest, RequestView } from './requests.ts';

export interface Verdict {
  /** A request's id. */
  request: string;
  approve: boolean;
  note: string | null;
  /** Milliseconds a granted route lasts; null: as long as the bottle. */
  forMs: number | null;
  /** The host may be at a private address. */
  private: boolean;
}

/** Everything a book knows, as plain data. */
export interface BookSnapshot {
  readonly requests: RequestView[];
  readonly answers: number;
  readonly forgotten: number;
  readonly version: number;
  /** Id of a request that is kept, and of one that was dropped, to the version that did it; without what was {@link RequestBook.told}. */
  readonly changed: Record<string, number>;
  readonly dropped: Record<string, number>;
}

/** What the host has to learn of a book of which it knows an earlier version. */
export interface BookChanges {
  /** The version that the host knows; 0: none, so these are all the requests there are. */
  since: number;
  /** The version it knows then. */
  version: number;
  /** New and changed requests, oldest first. */
  changed: RequestView[];
  /** Ids of those that are kept no more. */
  dropped: string[];
}

export const NOTHING_ASKED: BookChanges = { since: 0, version: 0, changed: [], dropped: [] };

/** The requests of a book, from those of an earlier version of it; in the same order. */
export function withChanges(known: readonly RequestView[], { changed, dropped }: BookChanges): RequestView[] {
  const news = new Map(changed.map((request) => [request.id, request]));
  const old = new Set(known.map(({ id }) => id));
  const all = [...known.map((request) => news.get(request.id) ?? request), ...changed.filter(({ id }) => !old.has(id))];
  return all.filter(({ id }) => !dropped.includes(id));
}

/**
 * Decided ones are kept so that the agent can ask what became of them: the newest as they are, older ones with their texts cut,
 * and the oldest are dropped and counted. So a book holds some 350 KB at most, whatever an agent asks in a year.
 */
const MOST_WHOLE = 20;
const MOST_KEPT = 100;
const LONGEST_OLD_TEXT = 120;
/** Grants in force are never given up by themselves. */
export const MOST_GRANTS = 1000;

export class RequestBook {
  #requests: RequestView[] = [];
  #answers = 0;
  #forgotten = 0;
  #version = 0;
  #changed: Map<string, number>;
  #dropped: Map<string, number>;

  /** @param from what an earlier one knew */
  constructor(from?: BookSnapshot) {
    this.#requests = from?.requests ?? [];
    this.#answers = from?.answers ?? 0;
    this.#forgotten = from?.forgotten ?? 0;
    this.#version = from?.version ?? 0;
    this.#changed = new Map(Object.entries(from?.changed ?? {}));
    this.#dropped = new Map(Object.entries(from?.dropped ?? {}));
  }

  snapshot(): BookSnapshot {
    return {
      requests: this.#requests,
      answers: this.#answers,
      forgotten: this.#forgotten,
      version: this.#version,
      changed: Object.fromEntries(this.#changed),
      dropped: Object.fromEntries(this.#dropped),
    };
  }

  /** How many were answered long ago and are kept no more. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** What has changed since a version that the host knows; since 0, everything. */
  changes(since: number): BookChanges {
    const after = ([, version]: [string, number]): boolean => version > since;
    const changed = new Set([...this.#changed].filter(after).map(([id]) => id));
    return {
      since,
      version: this.#version,
      changed: since === 0 ? this.#requests : this.#requests.filter(({ id }) => changed.has(id)),
      dropped: since === 0 ? [] : [...this.#dropped].filter(after).map(([id]) => id),
    };
  }

  /** The host knows that version: what changed before it need not be told any more. */
  told(version: number): void {
    for (const changes of [this.#changed, this.#dropped])
      for (const [id, at] of changes) if (at <= version) changes.delete(id);
  }

  /** Goes up with every change that the bundle must learn of. */
  get answers(): number {
    return this.#answers;
  }

  /** Every request, oldest first. */
  view(): RequestView[] {
    return this.#requests;
  }

  pending(): RequestView[] {
    return this.#requests.filter(({ state }) => state === 'pending');
  }

  /** Takes down what was asked; what is known already stays as it is. @returns whether there was anything new */
  add(asked: readonly AskedRequest[]): boolean {
    const known = new Set(this.#requests.map(({ id }) => id));
    const fresh = asked.filter(({ id }, at) => !known.has(id) && asked.findIndex((other) => other.id === id) === at);
    if (fresh.length === 0) return false;
    const added = fresh.map(
      (request): RequestView => ({
        ...request,
        state: 'pending',
        decidedAt: null,
        note: null,
        expiresAt: null,
        private: false,
      }),
    );
    this.#version += 1;
    for (const { id } of added) {
      this.#changed.set(id, this.#version);
      this.#dropped.delete(id);
    }
    this.#requests = [...this.#requests, ...added];
    this.#giveWay();
    return true;
  }

  /**
   * Takes over what the agent had asked of an earlier launch, of which nobody knows the end. What waits for an answer waits on, what was
   * denied or answered stays so; a grant is over, since nobody knows for how long it was to last.
   */
  takeOver(requests: readonly RequestView[]): void {
    const ended = (request: RequestView): RequestView =>
      isGrant(request) ? { ...request, state: 'expired', private: false } : request;
    this.#version += 1;
    this.#requests = requests.map(ended);
    for (const { id } of requests) this.#changed.set(id, this.#version);
    this.#giveWay();
  }

  /** Why this verdict cannot be taken now, in one line; undefined when it can. Changes nothing. */
  refusal({ request, approve, forMs }: Verdict): string | undefined {
    const found = this.#find(request);
    if (found === undefined) return `there is no request ${request}`;
    // An approved one may be taken back, and a denied one allowed after all; what was answered stays answered.
    if (found.state !== 'pending' && found.ask.kind === 'question') return `${request} was answered already`;
    if (approve && found.ask.kind === 'egress-route' && found.state !== 'approved' && this.#grants() >= MOST_GRANTS)
      return `${MOST_GRANTS} grants are in force already: deny one of them first`;
    if (forMs !== null && found.ask.kind === 'question') return `${request} is a question: an answer has no end`;
    return undefined;
  }

  /** @throws Error when {@link refusal} has something to say */
  decide(verdict: Verdict, now: number): RequestView {
    const refusal = this.refusal(verdict);
    const found = this.#find(verdict.request);
    if (refusal !== undefined || found === undefined) throw new Error(refusal);
    this.#answers += 1;
    const ends = verdict.approve && verdict.forMs !== null ? new Date(now + verdict.forMs).toISOString() : null;
    const decided = this.#replace(found, {
      state: verdict.approve ? 'approved' : 'denied',
      decidedAt: new Date(now).toISOString(),
      note: verdict.note,
      expiresAt: ends,
      private: verdict.approve && verdict.private,
    });
    this.#giveWay();
    return decided;
  }

  /** Milliseconds since the epoch when the next grant ends; undefined when none does. */
  nextEnd(): number | undefined {
    const ends = this.#requests.flatMap(({ state, expiresAt }) =>
      state === 'approved' && expiresAt !== null ? [Date.parse(expiresAt)] : [],
    );
    return ends.length === 0 ? undefined : Math.min(...ends);
  }

  /** Ends every grant whose time is over. @returns whether any was */
  expire(now: number): boolean {
    const over = this.#requests.filter(
      ({ state, expiresAt }) => state === 'approved' && expiresAt !== null && Date.parse(expiresAt) <= now,
    );
    if (over.length > 0) this.#answers += 1;
    for (const request of over) this.#replace(request, { state: 'expired' });
    this.#giveWay();
    return over.length > 0;
  }

  #find(id: string): RequestView | undefined {
    return this.#requests.find((request) => request.id === id);
  }

  #replace(request: RequestView, change: Partial<RequestView>): RequestView {
    const changed = { ...request, ...change };
    this.#version += 1;
    this.#changed.set(request.id, this.#version);
    this.#requests = this.#requests.map((each) => (each === request ? changed : each));
    return changed;
  }

  #grants(): number {
    return this.#requests.filter(isGrant).length;
  }

  /** Room for what is new: of what was decided, the oldest go, and all but the newest lose their long texts. */
  #giveWay(): void {
    const decided = this.#requests
      .filter(({ state }) => state !== 'pending')
      .sort((one, other) => decidedAt(one) - decidedAt(other));
    const closed = decided.filter((request) => !isGrant(request));
    const excess = Math.min(this.#requests.length - MOST_KEPT, closed.length - MOST_WHOLE);
    const over = closed.slice(0, Math.max(0, excess));
    for (const { id } of over) {
      this.#version += 1;
      this.#forgotten += 1;
      this.#changed.delete(id);
      this.#dropped.set(id, this.#version);
    }
    this.#requests = this.#requests.filter((request) => !over.includes(request));
    for (const request of decided.slice(0, -MOST_WHOLE)) {
      const short = { ask: shortAsk(request.ask), note: request.note === null ? null : cut(request.note) };
      const isShort = short.note === request.note && JSON.stringify(short.ask) === JSON.stringify(request.ask);
      if (!over.includes(request) && !isShort) this.#replace(request, short);
    }
  }
}

const isGrant = ({ state, ask }: RequestView): boolean => state === 'approved' && ask.kind === 'egress-route';

const decidedAt = (request: RequestView): number => Date.parse(request.decidedAt ?? '');

/** The agent has long read it, and a person knows what it was about. */
const cut = (text: string): string =>
  text.length > LONGEST_OLD_TEXT ? `${text.slice(0, LONGEST_OLD_TEXT - 1)}…` : text;

/** What is granted stays as it is: only words are cut. */
const shortAsk = (ask: Ask): Ask =>
  ask.kind === 'question'
    ? { kind: 'question', question: cut(ask.question), options: ask.options.slice(0, 4).map(cut) }
    : { ...ask, reason: cut(ask.reason) };
