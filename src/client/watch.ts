/**
 * Follows one launch by its history: the server answers a long poll when there is something new, and only then is the
 * workflow asked for its status. Outages of server or worker are ridden out.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowExecutionDescription } from '@temporalio/client';
import { BottleError } from '../core/errors.ts';
import type { StatusDocument } from '../core/status.ts';
import { type BottleRun, describeBottle, grpcCode, isOpen, mergeStatus, queryStatus, within } from './bottle-status.ts';
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
/** temporal.api.enums.v1.HistoryEventFilterType */
const ALL_EVENTS = 1;
/** temporal.api.enums.v1.EventType: only a completed workflow task changes what the workflow would answer. */
const WORKFLOW_TASK_COMPLETED = 7;
const NOT_FOUND = 5;

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

async function followHistory(session: Session, run: BottleRun, news: News, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !news.closed) {
    try {
      await followConnection(session, run, news, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (grpcCode(error) === NOT_FOUND)
        throw new BottleError('NO_SUCH_BOTTLE', `there is no bottle "${run.id}" any more`);
      news.event({ kind: 'silent', who: 'temporal' });
      await reconnect(session, signal);
      if (signal.aborted) return;
      news.event({ kind: 'recovered', who: 'temporal' });
      news.fresh = true;
    }
  }
}

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

/** Reads pages until the last one; a page token is only good for the server that gave it, so a new connection starts over. */
async function followConnection(session: Session, run: BottleRun, news: News, signal: AbortSignal): Promise<void> {
  const { client } = session;
  let nextPageToken: Uint8Array | undefined;
  do {
    const page = await untilBroken(session, signal, () =>
      client.withAbortSignal(signal, () =>
        client.withDeadline(Date.now() + LONG_POLL_MS, () =>
          client.workflowService.getWorkflowExecutionHistory({
            namespace: client.options.namespace,
            execution: { workflowId: run.id, runId: run.runId },
            waitNewEvent: true,
            historyEventFilterType: ALL_EVENTS,
            ...(nextPageToken === undefined ? {} : { nextPageToken }),
          }),
        ),
      ),
    );
    nextPageToken = page.nextPageToken?.length ? page.nextPageToken : undefined;
    const events = page.history?.events ?? [];
    if (nextPageToken === undefined) news.closed = true;
    if (news.closed || events.some(({ eventType }) => eventType === WORKFLOW_TASK_COMPLETED)) {
      news.fresh = true;
      news.tell();
    }
  } while (nextPageToken !== undefined && !signal.aborted);
}

/** A call that ends early when the connection is lost: the SDK would go on retrying it in silence. */
async function untilBroken<T>(session: Session, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  const { client } = session;
  const lost = Promise.withResolvers<never>();
  const timer = setInterval(() => {
    if (isBroken(client)) lost.reject(new Error('the connection was lost'));
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
