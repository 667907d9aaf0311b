/** What an activity has failed with, in the words of the error table. */
import { ActivityFailure, ApplicationFailure, TimeoutFailure } from '@temporalio/workflow';
import { type ErrorView, errorView } from '../core/errors.ts';

/** The view that every activity puts into its failure's details; of any other failure, what there is. */
export function failureView({ details, type, message }: ApplicationFailure): ErrorView {
  const detail = (details?.[0] ?? {}) as Partial<ErrorView>;
  return {
    code: detail.code ?? type ?? 'INTERNAL',
    message: detail.message ?? message,
    ...(detail.hint === undefined ? {} : { hint: detail.hint }),
    ...(detail.problems === undefined ? {} : { problems: detail.problems }),
  };
}

/** Whatever was thrown where activities are called: an activity's failure in its own words, anything else as a fault of ours. */
export function thrownView(error: unknown): ErrorView {
  if (!(error instanceof ActivityFailure)) return errorView(error);
  const { cause } = error;
  if (cause instanceof ApplicationFailure) return failureView(cause);
  if (!(cause instanceof TimeoutFailure)) return { code: 'INTERNAL', message: cause?.message ?? error.message };
  return cause.timeoutType === 'HEARTBEAT'
    ? { code: 'WORKER_LOST', message: 'the worker stopped reporting while it ran the step' }
    : { code: 'TIMEOUT', message: 'the step took longer than it may' };
}
