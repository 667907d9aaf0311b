/** Sends one update to a launch and gives its short answer, with refusals as errors of ours. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { UpdateDefinition } from '@temporalio/common';
import { BottleError, ERROR_CODES, type ErrorCode, type ErrorView } from '../core/errors.ts';
import { assertRoom } from '../host/disk.ts';
import { FAILURE } from '../workflows/messages.ts';
import { type BottleRun, grpcCode, noSuchBottle, queryStatus } from './bottle-status.ts';
import { type CareEvent, careForConnection, careForWorker } from './care.ts';
import type { ServedLaunch } from './open-launch.ts';
import type { Output } from './output.ts';
import { commands, heldSteps } from './render/held.ts';
import { clean } from './render/text.ts';
import { Troubles } from './render/troubles.ts';
import { MOMENT_MS, SLOW_WORKER } from './say-if-slow.ts';
import { ConnectionLost, type Session, untilBroken } from './session.ts';
import { livesHere } from './worker-presence.ts';

/** When a worker last answered. Milliseconds since the epoch. */
export interface LastHeard {
  at: number;
  /** Without an answer the command has another way, so it waits for a worker that lives no longer than for any other. */
  otherWay?: true;
}

/** Since anything was last heard of why no answer comes. */
const DEADLINE_MS = 15_000;
/** Of a worker of this host that lives: a hundred launches that are asked for at once keep it from everything else for a while. */
const BUSY_DEADLINE_MS = 120_000;
const LEAST_MS = 2000;
const AGAIN_MS = 200;
const CHECK_MS = 500;
/** google.rpc.Code */
const UNAVAILABLE = 14;
/** The workflow task failed that brought the update, so nobody has taken it. */
const FAILED_PRECONDITION = 9;

type AnyUpdate =
  | UpdateDefinition<string, [step?: string]>
  | UpdateDefinition<string, []>
  | UpdateDefinition<string, unknown[]>;

/**
 * Sends an update and gives its answer. Whoever waits is told what for; this host's own server and worker are started again
 * when they die meanwhile, and what was asked of them is asked again.
 * @param troubles what was told already of what keeps this command waiting
 * @param heard when a worker last answered this command, which may ask it for many things: the next may wait their turn as long as it does
 * @throws BottleError `NOT_HELD` with what is held instead, `NO_SUCH_REQUEST`, `USAGE` when the workflow takes no such argument, `NO_SUCH_BOTTLE` when it has just closed,
 *   `WORKER_UNREACHABLE` when no worker takes the update in time, `DISK_FULL` when nobody could record it
 */
export async function sendUpdate(
  session: Session,
  output: Output,
  launch: ServedLaunch,
  update: AnyUpdate,
  args: readonly unknown[] = [],
  troubles: Troubles = new Troubles(),
  heard: LastHeard = { at: Date.now() },
): Promise<string> {
  assertRoom(session.target);
  const waiting = new AbortController();
  const tell = (event: CareEvent): void => {
    const line = troubles.tell(event);
    if (line !== undefined) output.note(line);
  };
  const slow = setTimeout(() => {
    if (troubles.none) tell({ kind: 'silent', who: 'worker', text: SLOW_WORKER });
  }, MOMENT_MS);
  const caring = careForWorker(session, launch.host, tell, waiting.signal);
  caring.catch(() => undefined);
  let unheard: unknown;
  const again = (error: unknown): void => {
    unheard = error;
  };
  try {
    const answer = await Promise.race([
      untilDelivered(session, launch, update, args, { tell, again }, waiting.signal),
      patienceOf(session, launch, heard, { tell, signal: waiting.signal }),
    ]);
    heard.at = Date.now();
    return answer;
  } catch (error) {
    const late = error instanceof Error && error.name === 'TimeoutError';
    throw await explain(session, launch, late ? (unheard ?? error) : error);
  } finally {
    clearTimeout(slow);
    waiting.abort();
  }
}

/** The same update, whatever becomes of the connection: the server knows it by its id, and carries it out once. */
async function untilDelivered(
  session: Session,
  run: BottleRun,
  update: AnyUpdate,
  args: readonly unknown[],
  { tell, again }: { tell: (event: CareEvent) => void; again: (error: unknown) => void },
  signal: AbortSignal,
): Promise<string> {
  const updateId = randomUUID();
  for (;;) {
    try {
      return await untilBroken(session, signal, () => {
        const handle = session.client.workflow.getHandle(run.id, undefined, { firstExecutionRunId: run.runId });
        return args.length === 0
          ? handle.executeUpdate<string, []>(update.name, { updateId })
          : handle.executeUpdate<string, [unknown]>(update.name, { updateId, args: args as [unknown] });
      });
    } catch (error) {
      if (isUnheard(error)) {
        again(error);
        await sleep(AGAIN_MS, undefined, { signal });
      } else if (error instanceof ConnectionLost || grpcCode(error) === UNAVAILABLE) {
        await careForConnection(session, tell, signal);
      } else throw error;
    }
  }
}

/**
 * Rejects when the deadline has passed; while something of ours is being started, it does not run. It is a longer one while
 * the worker of this host is known to live.
 */
async function patienceOf(
  session: Session,
  { host }: ServedLaunch,
  heard: LastHeard,
  { tell, signal }: { tell: (event: CareEvent) => void; signal: AbortSignal },
): Promise<never> {
  const mostMs = heard.otherWay === true ? DEADLINE_MS : BUSY_DEADLINE_MS;
  // Who has not answered the others in all that time is given a moment, for each of the rest.
  let silentMs = Math.min(Date.now() - heard.at, DEADLINE_MS - LEAST_MS);
  while (silentMs < DEADLINE_MS || (silentMs < mostMs && (await livesHere(session, host)))) {
    if (silentMs >= DEADLINE_MS) tell({ kind: 'silent', who: 'worker', text: BUSY_WORKER });
    const before = Date.now();
    await sleep(CHECK_MS, undefined, { signal });
    if (heard.at >= before) silentMs = 0;
    else if (!session.keeper.isCuring) silentMs += CHECK_MS;
  }
  throw new DOMException('no answer in time', 'TimeoutError');
}

const BUSY_WORKER = `the worker of this host lives, but has not answered for ${DEADLINE_MS / 1000} s: it is busy, or stands still; waiting for it, two minutes in all`;

/**
 * Whether the launch has never seen the update: a worker that dies with it in hand leaves the server to refuse it
 * (temporalio/temporal, service/history/workflow/update/errors_failures.go). Nothing has happened, so it may be sent again.
 */
export function isUnheard(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error.name === 'WorkflowUpdateFailedError') return typeOf(error.cause) === 'UnprocessedUpdate';
  return grpcCode(error) === FAILED_PRECONDITION;
}

const typeOf = (cause: unknown): unknown => (cause as { type?: unknown } | undefined)?.type;

/** What the workflow refused with an error of the table. */
function refusal(detail: unknown, cause: Error): BottleError {
  const { code = 'INTERNAL', message = '', hint, problems } = (detail ?? {}) as Partial<ErrorView>;
  const known = code in ERROR_CODES ? (code as ErrorCode) : 'INTERNAL';
  return new BottleError(known, clean(message), { hint, cause, ...(problems === undefined ? {} : { problems }) });
}

async function explain(session: Session, run: BottleRun, error: unknown): Promise<unknown> {
  if (!(error instanceof Error)) return error;
  const cause = error.cause as { type?: string; message?: string; details?: unknown[] } | undefined;
  if (error.name === 'WorkflowUpdateFailedError' && cause?.type === FAILURE.refused)
    return refusal(cause.details?.[0], error);
  if (error.name === 'WorkflowUpdateFailedError' && cause?.type === FAILURE.notHeld) {
    const held = await queryStatus(session, run).then((status) => (status === undefined ? [] : heldSteps(status)));
    const [first] = commands(run.id, held);
    const hint = first ?? `see: bottle status ${run.id}; bottle down ${run.id} undoes it whatever it is doing`;
    return new BottleError('NOT_HELD', `${run.id}: ${clean(cause.message ?? 'no step is held')}`, {
      hint,
      cause: error,
    });
  }
  if (error.name === 'WorkflowUpdateFailedError' && cause?.type === FAILURE.noSuchRequest) {
    const hint = `see: bottle requests ${run.id} --all`;
    return new BottleError('NO_SUCH_REQUEST', `${run.id}: ${clean(cause.message ?? '')}`, { hint, cause: error });
  }
  if (error.name === 'WorkflowUpdateFailedError' && cause?.type === FAILURE.invalidInput) {
    return new BottleError('USAGE', clean(cause.message ?? ''), { cause: error });
  }
  if (error.name === 'WorkflowNotFoundError' || grpcCode(error) === 5) return noSuchBottle(run.id, 'open bottle');
  if (error.name === 'TimeoutError' || error.name === 'WorkflowUpdateRPCTimeoutOrCancelledError') {
    return unanswered(run, 'does not answer', error);
  }
  if (isUnheard(error)) return unanswered(run, 'fails to go on with it', error);
  // Taken, but its answer was lost with the end of the launch: whoever follows the launch sees how it ended.
  if (error.name === 'WorkflowUpdateFailedError' && cause?.type === 'AcceptedUpdateCompletedWorkflow') {
    return noSuchBottle(run.id, 'open bottle');
  }
  if (error.name === 'WorkflowUpdateFailedError' && cause?.message) return untold(run, cause.message, error);
  if (error.name === 'ServiceError' && !isUnreachable(error)) {
    return untold(run, (error.cause as { details?: string } | undefined)?.details ?? error.message, error);
  }
  return error;
}

/** Told in words of its own (report-error.ts). */
const isUnreachable = (error: Error): boolean => [4, 14].includes(grpcCode(error) ?? 0);

const untold = ({ id }: BottleRun, why: string, cause: Error): BottleError =>
  new BottleError('INTERNAL', `${id}: nothing was decided: ${clean(why)}`, { hint: `see: bottle status ${id}`, cause });

function unanswered(run: BottleRun, what: string, cause: Error): BottleError {
  return new BottleError('WORKER_UNREACHABLE', `the worker of ${run.id}'s host ${what}`, {
    hint: `it may still take the decision later; see: bottle status ${run.id}`,
    cause,
  });
}
