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
  hostOf,
  isOpen,
  mergeStatus,
  nextRunId,
  queryStatus,
  within,
} from './bottle-status.ts';
import { type CareEvent, careForConnection, careForWorker, SILENT_SERVER } from './care.ts';
import { BACK, type Who } from './keeper.ts';
import { Pace } from './pace.ts';
import { MOMENT_MS, SLOW_WORKER } from './say-if-slow.ts';
import { ConnectionLost, isBroken, type Session, untilBroken } from './session.ts';

export type WatchEvent =
  | { kind: 'status'; status: StatusDocument; closed: boolean }
  /** Who does not answer and what is done about it, and that it is over. */
  | CareEvent;

/** Not more than 20 queries a second, however many are watched: each is work for the worker that is busy launching. */
const MIN_INTERVAL_MS = 50;
const paces = new WeakMap<Session, Pace>();
/** Automatic attempts make no event, so while something runs they are looked for; that costs the worker nothing. */
const ATTEMPTS_INTERVAL_MS = 700;
/** A worker that dies or hangs makes no event either, so while something runs it is asked now and then. */
const PING_MS = 5000;
const LONG_POLL_MS = 30_000;
const RETRY_MS = 250;
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
/** CANCELLED, DEADLINE_EXCEEDED. */
const CUT_SHORT = [1, DEADLINE_EXCEEDED];
/** And UNAVAILABLE. */
const OUTAGE_CODES = [...CUT_SHORT, 14];
/** UNKNOWN, INTERNAL: a stream that is cut off ends so, and a call that cannot be answered. */
const CUT_OFF_CODES = [2, 13];

/**
 * Yields the status whenever it changed, until the launch is closed, `signal` aborts or the consumer leaves. This host's own
 * server and worker are started again when they die meanwhile.
 * @throws BottleError `NO_SUCH_BOTTLE` when the server does not know it (any more); the signal's reason
 */
export async function* watchBottle(session: Session, run: BottleRun, signal: AbortSignal): AsyncGenerator<WatchEvent> {
  const ending = new AbortController();
  const stop = (): void => ending.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  const news = new News();
  const parts = [
    tellStatuses(session, run, news, ending.signal).then(news.end),
    followHistory(session, run, news, ending.signal),
    careForItsWorker(session, run, news, ending.signal),
  ].map((part) => part.catch(news.fail));
  try {
    signal.throwIfAborted();
    yield* news.events(signal);
  } finally {
    signal.removeEventListener('abort', stop);
    ending.abort();
    await Promise.all(parts);
  }
}

async function careForItsWorker(session: Session, run: BottleRun, news: News, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const description = await tryTo(() => describeBottle(session, run.id, run.runId)).catch(() => undefined);
    if (description !== undefined) return careForWorker(session, hostOf(description), news.care, signal);
    await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** What those who follow a launch tell each other, and the one who watches. */
export class News {
  /** There may be something new to ask for. */
  fresh = true;
  /** The launch is over, so the next answer is the last. */
  closed = false;
  /** It is known that no worker is there to be asked. */
  workerIsGone = false;
  readonly #told: WatchEvent[] = [];
  readonly #troubled = new Set<Who>();
  /** Those of them of whom more is known than that no answer comes. */
  readonly #caredFor = new Set<Who>();
  #ended = false;
  #failure: { error: unknown } | undefined;
  #wake = Promise.withResolvers<void>();
  #read = Promise.withResolvers<void>();
  #back = Promise.withResolvers<void>();

  tell(): void {
    this.#wake.resolve();
  }
  event(event: WatchEvent): void {
    if (event.kind === 'silent') this.#troubled.add(event.who);
    // What was never said to be away is not said to be back.
    if (event.kind === 'recovered' && !this.#troubled.delete(event.who)) return;
    this.#told.push(event);
    this.#read.resolve();
    this.tell();
  }
  /** For whoever only knows that no answer comes: what is known better has been said already. */
  suspect(who: Who, text: string): void {
    if (!this.#troubled.has(who) && !this.#troubled.has('temporal')) this.event({ kind: 'silent', who, text });
  }
  /** The counterpart of {@link suspect}: who looks after it says more of how it came back. */
  answers(who: Who, text: string): void {
    if (!this.#caredFor.has(who)) this.event({ kind: 'recovered', who, text });
  }
  /** From those who look after server and worker. */
  readonly care = (event: CareEvent): void => {
    if (event.kind === 'silent') this.#caredFor.add(event.who);
    else this.#caredFor.delete(event.who);
    if (event.who === 'worker') this.workerIsGone = event.kind === 'silent';
    if (event.kind === 'recovered') {
      this.fresh = true;
      this.#back.resolve();
      this.#back = Promise.withResolvers<void>();
    }
    this.event(event);
    this.tell();
  };
  whenWorkerIsBack(): Promise<void> {
    return this.#back.promise;
  }
  readonly fail = (error: unknown): void => {
    this.#failure ??= { error: error ?? new Error('the watch ended') };
    this.#read.resolve();
  };
  readonly end = (): void => {
    this.#ended = true;
    this.#read.resolve();
  };
  async *events(signal: AbortSignal): AsyncGenerator<WatchEvent> {
    for (;;) {
      yield* this.#told.splice(0);
      signal.throwIfAborted();
      if (this.#told.length > 0) continue;
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#ended) return;
      this.#read = Promise.withResolvers<void>();
      await untilAborted(this.#read.promise, signal);
    }
  }
  /** Resolves when told something, after `ms`, or on abort. */
  async wait(ms: number | undefined, signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const waits = [this.#wake.promise];
    if (ms !== undefined) waits.push(sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined));
    await untilAborted(Promise.race(waits), signal);
    timer.abort();
    this.#wake = Promise.withResolvers<void>();
  }
}

/** Resolves when `promise` does, or on abort. */
async function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const aborted = Promise.withResolvers<void>();
  const onAbort = (): void => aborted.resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  await Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener('abort', onAbort));
}

/** Asks for the status whenever there may be something new, and returns when the launch is over and that was told. */
async function tellStatuses(session: Session, run: BottleRun, news: News, signal: AbortSignal): Promise<void> {
  let answer: StatusDocument | undefined;
  let shown = '';
  let workerIsSilent = false;
  let serverIsSlow = false;
  let askedAt = 0;
  const pace = paces.get(session) ?? new Pace(MIN_INTERVAL_MS);
  paces.set(session, pace);
  for (;;) {
    await pace.turn(signal);
    if (signal.aborted) return;
    const { closed } = news;
    let asked: Asked[0] | 'not-asked' = 'not-asked';
    const due = news.fresh || workerIsSilent || (isBusy(answer) && Date.now() - askedAt > PING_MS);
    if (due && !news.workerIsGone) {
      news.fresh = false;
      askedAt = Date.now();
      // What was asked of a worker that has died since is asked anew.
      const again = news.whenWorkerIsBack().then((): Asked => ['failed', answer]);
      const asking = Promise.race([ask(session, run, answer, signal), again]);
      if (!workerIsSilent && (await takesLong(asking))) {
        workerIsSilent = true;
        news.suspect('worker', SLOW_WORKER);
      }
      [asked, answer] = await asking;
      if (asked === 'silent' && !workerIsSilent) news.suspect('worker', SLOW_WORKER);
      if (asked === 'answered' && workerIsSilent) news.answers('worker', BACK.worker);
      if (asked === 'answered' || asked === 'silent') workerIsSilent = asked === 'silent';
      if (asked === 'failed') news.fresh = true;
    }
    const describing = tryTo(() => untilBroken(session, signal, () => describeBottle(session, run.id, run.runId)));
    if (await takesLong(describing)) {
      serverIsSlow = true;
      news.suspect('temporal', SILENT_SERVER);
    }
    const description = await describing;
    if (description !== undefined) {
      if (serverIsSlow) news.answers('temporal', BACK.temporal);
      serverIsSlow = false;
      const over = closed && !isOpen(description);
      const status = mergeStatus(answer, description, session);
      const text = JSON.stringify([status, over]);
      if (text !== shown && (answer !== undefined || over)) news.event({ kind: 'status', status, closed: over });
      shown = text;
      // Without a worker, what was last known and how it closed is all there is to tell.
      if (over && asked !== 'failed') return;
    }
    if (!news.fresh || news.workerIsGone)
      await news.wait(waitMs(answer, workerIsSilent || news.workerIsGone, description), signal);
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
  return isBusy(answer) ? ATTEMPTS_INTERVAL_MS : undefined;
}

const isBusy = (answer: StatusDocument | undefined): boolean =>
  answer?.steps.some(({ state }) => state === 'running' || state === 'undoing') ?? true;

type Asked = ['answered' | 'silent' | 'failed', StatusDocument | undefined];

async function ask(
  session: Session,
  run: BottleRun,
  last: StatusDocument | undefined,
  signal: AbortSignal,
): Promise<Asked> {
  try {
    return ['answered', (await untilBroken(session, signal, () => queryStatus(session, run))) ?? last];
  } catch (error) {
    if (BottleError.is(error) && error.code === 'WORKER_UNREACHABLE' && !isBroken(session.client))
      return ['silent', last];
    if (signal.aborted || (BottleError.is(error) && error.code === 'NO_SUCH_BOTTLE')) throw error;
    // The server: whoever follows the history finds out, and says so.
    await sleep(RETRY_MS);
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
      if (await isOnlyCut(session, error)) await sleep(RETRY_MS);
      else await careForConnection(session, news.care, signal);
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

/** A long poll that is cut short, by a proxy or by its own deadline, is no outage as long as the server answers. */
async function isOnlyCut(session: Session, error: unknown): Promise<boolean> {
  if (!CUT_SHORT.includes(grpcCode(error) ?? 0) || isBroken(session.client)) return false;
  const { client } = session;
  return (await tryTo(() => client.workflowService.getSystemInfo({}))) !== undefined;
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
