/** What a launch's history says, and whether that explains what is seen from outside. Pure over events. */
import { LAUNCH_STEPS } from '../../src/core/steps.ts';
import { type HistoryEvent, phasesOf } from '../support/events.ts';

const STEPS: ReadonlySet<string> = new Set(LAUNCH_STEPS.map(({ id }) => id));
/** Updates that may have a done step run again, since a person wants it so. */
const WANTED: ReadonlySet<string> = new Set(['apply', 'reload', 'retry', 'decide']);
/** What died is noticed at once, unless nobody was there to notice. */
const NOTICED_BEFORE_MS = 10_000;

/** So long after it was done, something may still be found: by a look at what a step stands on that has failed. */
const FOUND_BEFORE_MS = 60_000;

/** A step that was done and ran again. */
export interface Rerun {
  step: string;
  /** When it was decided to begin the run that was done, and when that was done. */
  beganAt: number;
  doneAt: number;
  againAt: number;
}

/** The phase that visibility was told last; undefined before the first. */
export const lastPhase = (events: readonly HistoryEvent[]): string | undefined => phasesOf(events).at(-1);

const ANSWERED_TWICE = 'BadUpdateWorkflowExecutionMessage: ';

/**
 * Workflow tasks that failed, with what for: none may, since each is code that threw or does not replay. But a worker that stood
 * still over a task with an update answers it twice, which the server refuses, and the next task is done
 * (temporalio/sdk-rust, issue 888).
 */
export function failedTasks(events: readonly HistoryEvent[]): string[] {
  let late = false;
  return events.flatMap(({ workflowTaskFailedEventAttributes: failed, ...event }, index) => {
    late ||= is(event.workflowTaskTimedOutEventAttributes);
    if (!is(failed)) return [];
    const goesOn = events.slice(index).some((later) => is(later.workflowTaskCompletedEventAttributes));
    const why = failed.failure?.message ?? String(failed.cause);
    return late && goesOn && why.startsWith(ANSWERED_TWICE) ? [] : [why];
  });
}

const is = <T>(value: T | null | undefined): value is T => value !== null && value !== undefined;

/**
 * Steps that were done, ran again, and had no reason to.
 * @param harmed when something was done to the bottle's own containers and network, in milliseconds since the epoch
 */
export function unexplainedReruns(events: readonly HistoryEvent[], harmed: readonly number[]): Rerun[] {
  const wanted = reasons(events);
  const told = losses(events);
  return reruns(events).filter(({ beganAt, doneAt, againAt }) => {
    const died = harmed.some((at) => at >= doneAt - NOTICED_BEFORE_MS && at <= againAt);
    // A look that is made while the step runs has it run once more: it may have begun on what was gone.
    const found = told.some((at) => at >= beganAt && at <= againAt);
    if (found && harmed.some((at) => at >= beganAt - FOUND_BEFORE_MS && at <= againAt)) return false;
    return !died && !wanted.some((at) => at >= beganAt && at <= againAt);
  });
}

function reruns(events: readonly HistoryEvent[]): Rerun[] {
  const done = new Map<string, { beganAt: number; doneAt: number }>();
  const begun = new Map<string, { step: string; at: number }>();
  const found: Rerun[] = [];
  // Decisions of one workflow task are one: a person's wish that came with it may have been taken in after the step began.
  const decided = new Map<string, number>();
  for (const event of events) {
    if (event.workflowTaskCompletedEventAttributes) decided.set(String(event.eventId), milliseconds(event));
    const scheduled = event.activityTaskScheduledEventAttributes;
    const name = scheduled?.activityType?.name;
    if (name !== null && name !== undefined && STEPS.has(name)) {
      const at = milliseconds(event);
      const before = done.get(name);
      if (before !== undefined) found.push({ step: name, ...before, againAt: at });
      done.delete(name);
      const task = String(scheduled?.workflowTaskCompletedEventId);
      begun.set(String(event.eventId), { step: name, at: decided.get(task) ?? at });
    }
    const completed = event.activityTaskCompletedEventAttributes;
    const run =
      completed === null || completed === undefined ? undefined : begun.get(String(completed.scheduledEventId));
    if (run !== undefined) done.set(run.step, { beganAt: run.at, doneAt: milliseconds(event) });
  }
  return found;
}

/** When a person asked for it (while it ran, even: then it runs once more), or a grant came to its end. */
function reasons(events: readonly HistoryEvent[]): number[] {
  return events.flatMap((event) => {
    const update = event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest?.input?.name;
    const wanted = update !== null && update !== undefined && WANTED.has(update);
    const timer = event.timerFiredEventAttributes !== null && event.timerFiredEventAttributes !== undefined;
    return wanted || timer ? [milliseconds(event)] : [];
  });
}

/** When a look or the watch told that something is gone. */
function losses(events: readonly HistoryEvent[]): number[] {
  return events.flatMap((event) => {
    const data = event.activityTaskCompletedEventAttributes?.result?.payloads?.[0]?.data;
    if (data === null || data === undefined) return [];
    const { value } = JSON.parse(Buffer.from(data).toString()) as { value?: { why?: object } | null };
    return Object.keys(value?.why ?? {}).length > 0 ? [milliseconds(event)] : [];
  });
}

function milliseconds({ eventTime }: HistoryEvent): number {
  return Number(eventTime?.seconds?.toString() ?? 0) * 1000 + (eventTime?.nanos ?? 0) / 1e6;
}
