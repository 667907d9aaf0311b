/**
 * Follows one launch by the end of its history: the server answers a long poll when there is something new, and only then is
 * the workflow asked for its status. Outages of server or worker are ridden out; any other error ends the watch.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowExecutionDescription } from '@temporalio/client';
import { BottleError } from '../core/errors.ts';
import type { StatusDocument } from '../core/status.ts';
import {
  type BottleRun,
  CLOSE_EVENT,
  type ClosingEvent,
  describeBottle,
  grpcCode,
  isOpen,
  mergeStatus,
  nextRunId,
  queryStatus,
  within,
} from './bottle-status.ts';
import { MOMENT_MS } from './say-if-slow.ts';
import { isBroken, type Session } from './session.ts';

export type WatchEvent =
  | { kind: 'status'; status: StatusDocument; closed: boolean }
  /** Who does not answer; told once, until `recovered`. */
  | { kind: 'silent'; who: 'temporal' | 'worker' }
  | { kind: 'recovered'; who: 'temporal' | 'worker' };

/** Not more than 20 queries a second: each is work for the worker that is busy launching. */
const MIN_INTERVAL_MS = 50;
/** Automatic attempts make no event, so while something runs they are looked for; that costs the worker nothing. */
const ATTEMPTS_INTERVAL_MS = 700;
const LONG_POLL_MS = 30_000;
const BACK_OFF_MS = { first: 250, most: 5000 };
/** The server spends a second of a deadline on the way back: with less, it does not wait. */
const AT_ONCE_MS = 900;
/** A server that is there and fails as often, one time after the other, is no outage. */
const MOST_FAILURES = 5;
/** temporal.api.enums.v1.HistoryEventFilterType */
const ALL_EVENTS = 1;
/** temporal.api.enums.v1.EventType: only a completed workflow task changes what the workflow would answer. */
const WORKFLOW_TASK_COMPLETED = 7;
const NOT_FOUND = 5;
const DEADLINE_EXCEEDED = 4;
/** CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE. */
const OUTAGE_CODES = [1, DEADLINE_EXCEEDED, 14];
/** UNKNOWN, INTERNAL: a stream that is cut off ends so, and a call that cannot be answered. */
const CUT_OFF_CODES = [2, 13];

/**
 * Yields the status whenever it changed, until the launch is closed, `signal` aborts or the consumer leaves.
 * @throws BottleError `NO_SUCH_BOTTLE` when the server does not know it (any more); the signal's reason
 */
export async function* watchBottle(session: Session, run: BottleRun, signal: AbortSignal): AsyncGenerator<WatchEvent> {
  const ending = new AbortController();
  const stop = (): void => ending.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  const news = new News();
  const following = followHistory(session, run, news, ending.signal).catch((error: unknown) => news.fail(error));
  try {
    yield* statuses(session, run, news, signal);
  } finally {
    signal.removeEventListener('abort', stop);
    ending.abort();
    await following;
  }
}

/** What the history's follower tells the one who asks for statuses. */
class News {
  /** There may be something new to ask for. */
  fresh = true;
  /** The launch is over, so the next answer is the last. */
  closed = false;
  readonly #events: WatchEvent[] = [];
  #error: unknown;
  #wake = Promise.withResolvers<void>();

  tell(): void {
    this.#wake.resolve();
  }
  event(event: WatchEvent): void {
    this.#events.push(event);
    this.tell();
  }
  fail(error: unknown): void {
    this.#error = error ?? new Error('the watch ended');
    this.tell();
  }
  take(): WatchEvent[] {
    if (this.#error !== undefined) throw this.#error;
    return this.#events.splice(0);
  }
  /** Resolves when told something, after `ms`, or on abort. */
  async wait(ms: number | undefined, signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const aborted = Promise.withResolvers<void>();
    const onAbort = (): void => aborted.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    const waits = [this.#wake.promise, aborted.promise];
    if (ms !== undefined) waits.push(sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined));
    await Promise.race(waits);
    timer.abort();
    signal.removeEventListener('abort', onAbort);
    this.#wake = Promise.withResolvers<void>();
  }
}

async function* statuses(
  session: Session,
  run: BottleRun,
  news: News,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  let answer: StatusDocument | undefined;
  let shown = '';
  let workerIsSilent = false;
  let askedAt = 0;
  for (;;) {
    signal.throwIfAborted();
    yield* news.take();
    const { closed } = news;
    let asked: 'answered' | 'silent' | 'failed' | 'not-asked' = 'not-asked';
    if (news.fresh || workerIsSilent) {
      news.fresh = false;
      askedAt = Date.now();
      const asking = ask(session, run, answer, signal);
      if (!workerIsSilent && (await takesLong(asking))) {
        workerIsSilent = true;
        yield { kind: 'silent', who: 'worker' };
      }
      [asked, answer] = await asking;
      if (asked === 'silent' && !workerIsSilent) yield { kind: 'silent', who: 'worker' };
      if (asked === 'answered' && workerIsSilent) yield { kind: 'recovered', who: 'worker' };
      if (asked === 'answered' || asked === 'silent') workerIsSilent = asked === 'silent';
      if (asked === 'failed') news.fresh = true;
    }
    const description = await tryTo(() =>
      untilBroken(session, signal, () => describeBottle(session, run.id, run.runId)),
    );
    if (description !== undefined) {
      const over = closed && !isOpen(description);
      const status = mergeStatus(answer, description, session);
      const text = JSON.stringify([status, over]);
      if (text !== shown && (answer !== undefined || over)) yield { kind: 'status', status, closed: over };
      shown = text;
      // Without a worker, what was last known and how it closed is all there is to tell.
      if (over && asked !== 'failed') return;
    }
    if (!news.fresh) await news.wait(waitMs(answer, workerIsSilent, description), signal);
    const rest = MIN_INTERVAL_MS - (Date.now() - askedAt);
    if (rest > 0) await sleep(rest);
  }
}

/** Whoever watches is told long before the query is given up. */
async function takesLong(asking: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const settled = asking.then(
    () => false,
    () => false,
  );
  const moment = sleep(MOMENT_MS, true, { signal: timer.signal }).catch(() => false);
  return Promise.race([settled, moment]).finally(() => timer.abort());
}

function waitMs(
  answer: StatusDocument | undefined,
  workerIsSilent: boolean,
  description: WorkflowExecutionDescription | undefined,
): number | undefined {
  if (workerIsSilent || description === undefined) return 1000;
  const busy = answer?.steps.some(({ state }) => state === 'running' || state === 'undoing') ?? true;
  return busy ? ATTEMPTS_INTERVAL_MS : undefined;
}

async function ask(
  session: Session,
  run: BottleRun,
  last: StatusDocument | undefined,
  signal: AbortSignal,
): Promise<['answered' | 'silent' | 'failed', StatusDocument | undefined]> {
  try {
    return ['answered', (await untilBroken(session, signal, () => queryStatus(session, run))) ?? last];
  } catch (error) {
    if (BottleError.is(error) && error.code === 'WORKER_UNREACHABLE' && !isBroken(session.client))
      return ['silent', last];
    if (signal.aborted || (BottleError.is(error) && error.code === 'NO_SUCH_BOTTLE')) throw error;
    // The server: whoever follows the history finds out, and says so.
    await sleep(BACK_OFF_MS.first);
    return ['failed', last];
  }
}

async function tryTo<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await within(5000, act);
  } catch (error) {
    if (BottleError.is(error)) throw error;
    return undefined;
  }
}

interface Follower {
  readonly session: Session;
  readonly run: BottleRun;
  readonly news: News;
  readonly signal: AbortSignal;
  /** Since the server last answered. */
  failures: number;
}

async function followHistory(session: Session, run: BottleRun, news: News, signal: AbortSignal): Promise<void> {
  const follower: Follower = { session, run, news, signal, failures: 0 };
  while (!signal.aborted && !news.closed) {
    try {
      await followLaunch(follower);
    } catch (error) {
      if (signal.aborted) return;
      if (grpcCode(error) === NOT_FOUND)
        throw new BottleError('NO_SUCH_BOTTLE', `there is no bottle "${run.id}" any more`);
      follower.failures += 1;
      if (!isOutage(error, follower.failures)) throw error;
      news.event({ kind: 'silent', who: 'temporal' });
      await reconnect(session, signal);
      if (signal.aborted) return;
      news.event({ kind: 'recovered', who: 'temporal' });
      news.fresh = true;
    }
  }
}

/**
 * Whether nobody answered, or only to say that it cannot now: any other answer is the same the next time.
 * @param failures in a row; whatever fails again and again at its work is there
 */
export function isOutage(error: unknown, failures: number): boolean {
  if (error instanceof ConnectionLost) return true;
  const code = grpcCode(error) ?? 0;
  return OUTAGE_CODES.includes(code) || (CUT_OFF_CODES.includes(code) && failures <= MOST_FAILURES);
}

class ConnectionLost extends Error {}

async function reconnect(session: Session, signal: AbortSignal): Promise<void> {
  let delay = BACK_OFF_MS.first;
  while (!signal.aborted) {
    try {
      return await session.reconnect();
    } catch {
      await sleep(delay, undefined, { signal }).catch(() => undefined);
      delay = Math.min(delay * 2, BACK_OFF_MS.most);
    }
  }
}

/** Follows a launch from one run to the next, until the last is over. */
async function followLaunch(follower: Follower): Promise<void> {
  const { session, run, signal, news } = follower;
  const description = await untilBroken(session, signal, () => describeBottle(session, run.id, run.runId));
  let runId: string | undefined = description.runId;
  while (runId !== undefined && !signal.aborted) {
    runId = await followRun(follower, runId);
    follower.failures = 0;
    // Whoever was asked before could not tell of what came before the place to follow from.
    news.fresh = true;
    news.tell();
  }
  news.closed = !signal.aborted;
  news.tell();
}

/**
 * Waits for each new piece of a run's history, from its end: a history may be long, and a page of it more than gRPC takes.
 * @returns the run in which the launch goes on; undefined when it is over
 */
async function followRun(follower: Follower, runId: string): Promise<string | undefined> {
  const { news, signal } = follower;
  const { closed, token } = await endOfHistory(follower, runId);
  if (token === undefined) return nextRunId(closed);
  news.fresh = true;
  news.tell();
  for (let nextPageToken = token; !signal.aborted; ) {
    const page = await readHistory(
      follower,
      runId,
      { historyEventFilterType: ALL_EVENTS, nextPageToken },
      LONG_POLL_MS,
    );
    follower.failures = 0;
    const events = page.history?.events ?? [];
    if (events.some(({ eventType }) => eventType === WORKFLOW_TASK_COMPLETED)) {
      news.fresh = true;
      news.tell();
    }
    if (!page.nextPageToken?.length) return nextRunId(events.at(-1));
    nextPageToken = page.nextPageToken;
  }
  return undefined;
}

/**
 * The place behind a history's last event. Asked for the closing event alone, the server waits for it until a second before
 * the deadline, and then tells where it has got to: with less than that second left, at once, and without any event.
 */
async function endOfHistory(
  follower: Follower,
  runId: string,
): Promise<{ closed?: ClosingEvent | undefined; token?: Uint8Array }> {
  for (let deadlineMs = AT_ONCE_MS; ; deadlineMs = LONG_POLL_MS) {
    try {
      const page = await readHistory(follower, runId, { historyEventFilterType: CLOSE_EVENT }, deadlineMs);
      return page.nextPageToken?.length ? { token: page.nextPageToken } : { closed: page.history?.events?.at(-1) };
    } catch (error) {
      // On a computer that is that busy, it waits with a deadline that is none.
      if (grpcCode(error) !== DEADLINE_EXCEEDED || deadlineMs !== AT_ONCE_MS) throw error;
    }
  }
}

async function readHistory(
  { session, run, signal }: Follower,
  runId: string,
  page: { historyEventFilterType: number; nextPageToken?: Uint8Array },
  deadlineMs: number,
) {
  const { client } = session;
  return untilBroken(session, signal, () =>
    client.withAbortSignal(signal, () =>
      client.withDeadline(Date.now() + deadlineMs, () =>
        client.workflowService.getWorkflowExecutionHistory({
          namespace: client.options.namespace,
          execution: { workflowId: run.id, runId },
          waitNewEvent: true,
          ...page,
        }),
      ),
    ),
  );
}

/** A call that ends early when the connection is lost: the SDK would go on retrying it in silence. */
async function untilBroken<T>(session: Session, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  const { client } = session;
  const lost = Promise.withResolvers<never>();
  const timer = setInterval(() => {
    if (isBroken(client)) lost.reject(new ConnectionLost('the connection was lost'));
  }, 250);
  const onAbort = (): void => lost.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const calling = call();
  calling.catch(() => undefined);
  try {
    return await Promise.race([calling, lost.promise]);
  } finally {
    clearInterval(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
