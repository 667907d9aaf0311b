/** Turns a plain step function into an activity: heartbeats, cancellation, errors with code and hint, attempt number. */
import { ApplicationFailure, activityInfo, cancellationSignal, heartbeat } from '@temporalio/activity';
import { BottleError, type ErrorView, errorView } from '../core/errors.ts';
import type { StepReturn } from '../core/step-io.ts';
import { scrub } from '../host/scrub.ts';

const STEP_HEARTBEAT_MS = 1000;

/** One step's work on the host. Ends soon, by throwing, once `signal` aborts. */
export type Step<Input, Result> = (input: Input, signal: AbortSignal) => Promise<Result>;

/**
 * A cancellation reaches an activity only in the answer to a heartbeat, so every step beats once a second
 * whether or not it has something to tell.
 * @param heartbeatMs null: the step beats by itself, since its beats tell something
 */
export function asActivity<Input, Result>(
  step: Step<Input, Result>,
  heartbeatMs: number | null = STEP_HEARTBEAT_MS,
): (input: Input) => Promise<StepReturn<Result>> {
  return async (input) => {
    const { attempt } = activityInfo();
    const signal = cancellationSignal();
    const beat = heartbeatMs === null ? undefined : setInterval(() => heartbeat(), heartbeatMs);
    try {
      return { attempt, value: await step(input, signal) };
    } catch (error) {
      // Libraries reject with errors of their own when their signal aborts; Temporal must see its own reason.
      signal.throwIfAborted();
      throw asFailure(error, attempt);
    } finally {
      clearInterval(beat);
    }
  };
}

/** What a history keeps for ever of it, so without any secret that this worker has read. */
function asFailure(error: unknown, attempt: number): ApplicationFailure {
  const { code, message, hint, problems } = errorView(error);
  const view: ErrorView = {
    code,
    message: scrub(message),
    ...(hint === undefined ? {} : { hint: scrub(hint) }),
    ...(problems === undefined ? {} : { problems: problems.map(scrub) }),
  };
  return ApplicationFailure.create({
    type: view.code,
    message: view.message,
    nonRetryable: BottleError.is(error) && !error.retryable,
    details: [{ ...view, attempt }],
  });
}
