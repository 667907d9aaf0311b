/** Reads one bottle's status document: the workflow's own answer, with what only the server knows merged in. */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import type { WaitsFor } from '../core/capacity.ts';
import { BottleError, type ErrorView } from '../core/errors.ts';
import { assertBottleId } from '../core/names.ts';
import type { LaunchMemo, Phase, StatusDocument, StepStatus } from '../core/status.ts';
import { LAUNCH_STEPS } from '../core/steps.ts';
import { BOTTLE_LAUNCH, statusQuery } from '../workflows/messages.ts';
import { clean } from './render/text.ts';
import type { Session } from './session.ts';

/** A query is answered in milliseconds; a worker that takes this long is not there. */
const QUERY_DEADLINE_MS = 10_000;

/** One launch. Temporal ends a run that has grown long and goes on in another; the launch keeps the run id it began with. */
export interface BottleRun {
  id: string;
  /** Of its first run. */
  runId: string;
}

/** The launch that a run belongs to. */
export function launchOf({ workflowId, runId, raw }: WorkflowExecutionDescription): BottleRun {
  return { id: workflowId, runId: raw.workflowExecutionInfo?.firstRunId || runId };
}

/**
 * The newest run of a bottle.
 * @param launch run id of a launch's first run: the newest run of that one, though its id may have been used again since
 * @throws BottleError `NO_SUCH_BOTTLE`, `INVALID_ID`
 */
export async function describeBottle(
  session: Session,
  id: string,
  launch?: string,
): Promise<WorkflowExecutionDescription> {
  const newest = await describeRun(session, id);
  if (launch === undefined || launchOf(newest).runId === launch) return newest;
  for (let runId = launch; ; ) {
    const description = await describeRun(session, id, runId);
    const next = description.status.name === 'CONTINUED_AS_NEW' ? await runAfter(session, description) : undefined;
    if (next === undefined) return description;
    runId = next;
  }
}

async function describeRun(session: Session, id: string, runId?: string): Promise<WorkflowExecutionDescription> {
  assertBottleId(id);
  try {
    const description = await session.client.workflow.getHandle(id, runId).describe();
    if (description.type === BOTTLE_LAUNCH) return description;
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'WorkflowNotFoundError') throw error;
  }
  throw noSuchBottle(id);
}

export function noSuchBottle(id: string, what = 'bottle'): BottleError {
  return new BottleError('NO_SUCH_BOTTLE', `there is no ${what} "${clean(id).slice(0, 60)}"`, {
    hint: 'see: bottle ls --all',
  });
}

/** temporal.api.enums.v1.HistoryEventFilterType: the last event alone, once there is no more to come. */
export const CLOSE_EVENT = 2;

/** The run in which a launch went on after this one. */
async function runAfter({ client }: Session, { workflowId, runId }: WorkflowExecutionDescription) {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    historyEventFilterType: CLOSE_EVENT,
  });
  return nextRunId(history?.events?.at(-1));
}

/** What of a history's last event says where the launch goes on. */
export interface ClosingEvent {
  workflowExecutionContinuedAsNewEventAttributes?: { newExecutionRunId?: string | null } | null;
}

/** Where the launch goes on, when an event says that this run is over and the launch is not. */
export const nextRunId = (event: ClosingEvent | undefined): string | undefined =>
  event?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId || undefined;

/** The host it lives on, by its queue. */
export const hostOf = ({ taskQueue }: Pick<WorkflowExecutionDescription, 'taskQueue'>): string =>
  taskQueue.replace(/^bottle@/, '');

/** Whether the workflow is still open. */
export const isOpen = (description: WorkflowExecutionDescription): boolean => {
  const { name } = description.status;
  return name === 'RUNNING' || name === 'PAUSED';
};

/**
 * The workflow's answer to the `status` query.
 * @returns undefined when it cannot answer at all: it ended before it had a query handler
 * @throws BottleError `WORKER_UNREACHABLE` when no worker answers in time
 */
export async function queryStatus(session: Session, run: BottleRun): Promise<StatusDocument | undefined> {
  const ask = (runId?: string) => session.client.workflow.getHandle(run.id, runId).query(statusQuery);
  try {
    return await within(QUERY_DEADLINE_MS, () =>
      session.client.withDeadline(Date.now() + QUERY_DEADLINE_MS, async () => {
        const answer = await ask();
        // Its id has been used again since.
        return answer.runId === run.runId ? answer : ask((await describeBottle(session, run.id, run.runId)).runId);
      }),
    );
  } catch (error) {
    if (error instanceof Error && error.name === 'QueryNotRegisteredError') return undefined;
    if (isNotFound(error)) throw noSuchBottle(run.id);
    if (isSilence(error)) {
      throw new BottleError('WORKER_UNREACHABLE', `the worker of ${run.id}'s host does not answer`, {
        hint: 'on that host: bottle serve --detach',
        cause: error,
      });
    }
    throw error;
  }
}

/** The status of a run as it can be told now, whoever answers. `answer` is the query's. */
export function mergeStatus(
  answer: StatusDocument | undefined,
  description: WorkflowExecutionDescription,
  session: Session,
): StatusDocument {
  const known = answer ?? bareStatus(description);
  return {
    ...known,
    phase: closedPhase(description.status.name) ?? known.phase,
    uiUrl: known.uiUrl ?? session.target.uiUrl(known.id, description.runId),
    ...(known.waitsFor === undefined ? {} : { waitsFor: { ...known.waitsFor, ...waitsForNow(description) } }),
    steps: isOpen(description) ? withAttempts(known.steps, description) : known.steps,
  };
}

/** Why a launch failed, in one line, for people; undefined for one that is open or did not fail. */
export async function failureText(
  session: Session,
  description: WorkflowExecutionDescription,
): Promise<string | undefined> {
  const { name } = description.status;
  if (name === 'TERMINATED' || name === 'TIMED_OUT')
    return `${name.toLowerCase().replace('_', ' ')}; nothing was undone by it`;
  if (name !== 'FAILED') return undefined;
  const handle = session.client.workflow.getHandle(description.workflowId, description.runId);
  const failure = await handle.result().catch((error: Error) => error.cause);
  if (!(failure instanceof Error)) return undefined;
  const { type } = failure as { type?: string };
  return `${type ?? failure.name}: ${failure.message}`;
}

/** The phase of a closed launch by how it closed; undefined while it is open. */
export function closedPhase(status: string): Phase | undefined {
  if (status === 'COMPLETED' || status === 'CANCELLED') return 'stopped';
  return status === 'FAILED' || status === 'TERMINATED' || status === 'TIMED_OUT' ? 'failed' : undefined;
}

/** What a queued launch waits for just now: that changes, and is told by heartbeats alone, which leave no trace in the history. */
function waitsForNow({ raw }: WorkflowExecutionDescription): Partial<WaitsFor> {
  const waiting = (raw.pendingActivities ?? []).find(({ activityId }) => activityId === 'admit');
  const [told] = waiting?.heartbeatDetails?.payloads ?? [];
  return told == null ? {} : (defaultPayloadConverter.fromPayload<WaitsFor | null>(told as Payload) ?? {});
}

/** Automatic attempts leave no trace in the history until they end; the server tells of them as pending activities. */
export function withAttempts(steps: StepStatus[], description: WorkflowExecutionDescription): StepStatus[] {
  const pending = description.raw.pendingActivities ?? [];
  if (pending.length === 0) return steps;
  return steps.map((step) => {
    const undo = LAUNCH_STEPS.find(({ id }) => id === step.id);
    const name = step.state === 'undoing' && undo !== undefined && 'undo' in undo ? undo.undo : step.id;
    const activity = pending.find(({ activityId }) => activityId === name);
    if (activity === undefined || (step.state !== 'running' && step.state !== 'undoing')) return step;
    const failed = activity.lastFailure;
    // One that is scheduled waits for its time, or for a worker: nobody makes that attempt yet.
    const made = (activity.attempt ?? 1) - (activity.state === SCHEDULED ? 1 : 0);
    return {
      ...step,
      attempts: step.state === 'running' ? step.attempts - 1 + Math.max(1, made) : step.attempts,
      ...(failed?.message ? { error: failureView(failed) } : {}),
    };
  });
}

/** temporal.api.enums.v1.PendingActivityState */
const SCHEDULED = 1;

interface Failure {
  message?: string | null;
  applicationFailureInfo?: { type?: string | null } | null;
  timeoutFailureInfo?: object | null;
}

function failureView({ message, applicationFailureInfo, timeoutFailureInfo }: Failure): ErrorView {
  const code = applicationFailureInfo?.type ?? (timeoutFailureInfo ? 'TIMEOUT' : 'INTERNAL');
  return { code, message: message ?? '' };
}

/** What can be said of a launch whose workflow cannot be asked. */
function bareStatus(description: WorkflowExecutionDescription): StatusDocument {
  const memo = (description.memo ?? {}) as Partial<LaunchMemo>;
  return {
    id: description.workflowId,
    agent: memo.agent ?? '',
    phase: 'launching',
    host: hostOf(description),
    driver: memo.driver ?? null,
    runId: launchOf(description).runId,
    uiUrl: null,
    startedAt: memo.startedAt ?? description.startTime.toISOString(),
    readyAt: null,
    stoppedBy: null,
    network: null,
    bundle: null,
    machine: null,
    steps: [],
    requests: [],
  };
}

/** A deadline passed, or the server itself said that no worker polls. */
function isSilence(error: unknown): boolean {
  const FAILED_PRECONDITION = 9;
  const CANCELLED = 1;
  const DEADLINE_EXCEEDED = 4;
  const code = grpcCode(error);
  if (code === FAILED_PRECONDITION) return true;
  return code === DEADLINE_EXCEEDED || code === CANCELLED || (error instanceof Error && error.name === 'TimeoutError');
}

const isNotFound = (error: unknown): boolean =>
  grpcCode(error) === 5 || (error instanceof Error && error.name === 'WorkflowNotFoundError');

/** The gRPC code of an error or of what caused it. */
export function grpcCode(error: unknown): number | undefined {
  for (let each = error; each instanceof Error; each = each.cause) {
    const { code } = each as { code?: unknown };
    if (typeof code === 'number') return code;
  }
  return undefined;
}

/** The SDK's retries start their deadline anew; this one holds for all of them. */
export async function within<T>(ms: number, act: () => Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new DOMException('no answer in time', 'TimeoutError')), ms);
  return Promise.race([act(), promise]).finally(() => clearTimeout(timer));
}
