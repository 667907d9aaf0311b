/** What an activity has failed with, in the words of the error table. */
import type { ApplicationFailure } from '@temporalio/workflow';
import type { ErrorView } from '../core/errors.ts';

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
