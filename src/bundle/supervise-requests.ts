/**
 * What the agent has asked and what became of it: what the host last told, and what was asked since that it has not
 * told of yet. Nothing is stored: after a restart, only the host's list is known.
 */
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { AskRefused, askKey, formatAskLine } from '../core/asks.ts';
import type { SuperviseConfig } from '../core/bundle-config.ts';
import type { Ask, RequestView } from '../core/requests.ts';

export interface RequestDesk {
  /** Takes the host's list over and wakes whoever waits for a decision that is in it. */
  update(config: Pick<SuperviseConfig, 'requests' | 'maxPending'>): void;
  /**
   * The open request (pending, or approved and not expired) that asks just this, or else a new one, of which the host
   * is told.
   * @throws AskRefused when too many wait already
   */
  ask(ask: Ask): RequestView;
  /** In its state as of now. */
  find(id: string): RequestView | undefined;
  pending(): RequestView[];
  /** Resolves when `id` is no longer pending, at the latest after `waitMs` or when `signal` is aborted. */
  decision(id: string, waitMs: number, signal: AbortSignal): Promise<void>;
  /** How many wait in {@link RequestDesk.decision}. */
  waiting(): number;
}

/** Who waits asks again and again; the host need not hear of it as often. */
const TELL_AGAIN_MS = 10 * 60_000;

const UNDECIDED = { state: 'pending', decidedAt: null, note: null, expiresAt: null, private: false } as const;

/** @param tell takes the line for the host, with its end */
export function createRequestDesk(tell: (line: string) => void): RequestDesk {
  const asked = new Map<string, RequestView>();
  /** When the host was last told of each of those, in milliseconds since the epoch. */
  const toldAt = new Map<string, number>();
  const decisions = new EventEmitter().setMaxListeners(0);
  let told = new Map<string, RequestView>();
  let maxPending = 0;

  const all = () => [...told.values(), ...asked.values()].map(asOfNow);
  const pending = () => all().filter(({ state }) => state === 'pending');
  const find = (id: string) => {
    const request = told.get(id) ?? asked.get(id);
    return request === undefined ? undefined : asOfNow(request);
  };
  const isPending = (id: string) => find(id)?.state === 'pending';

  function add(ask: Ask): RequestView {
    const id = freeId(askKey(ask), (taken) => find(taken) !== undefined);
    const askedAt = new Date().toISOString();
    const request: RequestView = { id, ask, askedAt, ...UNDECIDED };
    asked.set(id, request);
    tellHost(request);
    return request;
  }

  function tellHost({ id, ask, askedAt }: RequestView): void {
    toldAt.set(id, Date.now());
    tell(`${formatAskLine({ id, ask, askedAt })}\n`);
  }

  /** The line may have gone with an old log while no worker read it; a request that the host knows already is no news to it. */
  function tellAgain(id: string): void {
    const request = asked.get(id);
    if (request !== undefined && Date.now() - (toldAt.get(id) ?? 0) >= TELL_AGAIN_MS) tellHost(request);
  }

  return {
    update(config) {
      told = new Map(config.requests.map((request) => [request.id, request]));
      maxPending = config.maxPending;
      for (const id of told.keys()) {
        asked.delete(id);
        toldAt.delete(id);
      }
      for (const id of decisions.eventNames()) if (!isPending(id as string)) decisions.emit(id);
    },
    ask(ask) {
      const key = askKey(ask);
      // By content, never by id: an id that clashes must not lend its approval to another ask.
      const open = all().find((known) => isOpen(known) && askKey(known.ask) === key);
      if (open !== undefined) {
        tellAgain(open.id);
        return open;
      }
      const waiting = pending().length;
      if (waiting >= maxPending) {
        throw new AskRefused(
          `${waiting} requests wait for the operator already and no more are taken: ` +
            'see list_routes for them, wait with check_request, and ask again once one is decided',
        );
      }
      return add(ask);
    },
    find,
    pending,
    async decision(id, waitMs, signal) {
      tellAgain(id);
      if (waitMs === 0 || signal.aborted || !isPending(id)) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const end = () => resolve();
      const timer = setTimeout(end, waitMs);
      signal.addEventListener('abort', end);
      decisions.on(id, end);
      await promise;
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      decisions.off(id, end);
    },
    waiting: () => decisions.eventNames().reduce((sum, id) => sum + decisions.listenerCount(id), 0),
  };
}

/** The host ends a grant by its own clock; the agent is not told of one that is over in the meantime. */
function asOfNow(request: RequestView): RequestView {
  const { state, expiresAt } = request;
  const over = state === 'approved' && expiresAt !== null && Date.parse(expiresAt) <= Date.now();
  return over ? { ...request, state: 'expired' } : request;
}

const isOpen = ({ state }: RequestView): boolean => state === 'pending' || state === 'approved';

/** Eight hex digits, for a person to type. */
const ID_LENGTH = 8;

/**
 * The id of the n-th time that this is asked: of the first n whose id is not taken. So the same question has the same
 * id wherever it is asked first, asking again after a refusal or an expiry has the next, and two asks whose ids clash
 * (which an agent can bring about) differ in n.
 */
function freeId(key: string, isTaken: (id: string) => boolean): string {
  for (let n = 1; ; n += 1) {
    const id = createHash('sha256').update(`${n} ${key}`).digest('hex').slice(0, ID_LENGTH);
    if (!isTaken(id)) return id;
  }
}
