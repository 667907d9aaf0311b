/**
 * What the agent of one bottle has asked, and what the operator answered: the workflow's own record, so that every
 * grant is in the history. Pure; time comes in.
 */
import type { AskedRequest, RequestState, RequestView } from './requests.ts';

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

/** Decided ones are kept so that the agent can ask what became of them; the oldest give way. */
const MOST_KEPT = 100;

export class RequestBook {
  #requests: RequestView[] = [];
  #answers = 0;

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
    this.#requests = keepNewest([...this.#requests, ...added]);
    return true;
  }

  /** Why this verdict cannot be taken now, in one line; undefined when it can. Changes nothing. */
  refusal({ request, forMs }: Verdict): string | undefined {
    const found = this.#find(request);
    if (found === undefined) return `there is no request ${request}`;
    // An approved one may be taken back, and a denied one allowed after all; what was answered stays answered.
    if (found.state !== 'pending' && found.ask.kind === 'question') return `${request} was answered already`;
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
    return this.#replace(found, {
      state: verdict.approve ? 'approved' : 'denied',
      decidedAt: new Date(now).toISOString(),
      note: verdict.note,
      expiresAt: ends,
      private: verdict.approve && verdict.private,
    });
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
    return over.length > 0;
  }

  #find(id: string): RequestView | undefined {
    return this.#requests.find((request) => request.id === id);
  }

  #replace(request: RequestView, change: Partial<RequestView> & { state: RequestState }): RequestView {
    const changed = { ...request, ...change };
    this.#requests = this.#requests.map((each) => (each === request ? changed : each));
    return changed;
  }
}

const isOpen = ({ state, ask }: RequestView): boolean =>
  state === 'pending' || (state === 'approved' && ask.kind === 'egress-route');

/** Pending ones and grants in force are never given up. */
function keepNewest(requests: RequestView[]): RequestView[] {
  let excess = requests.length - MOST_KEPT;
  return requests.filter((request) => isOpen(request) || excess-- <= 0);
}
