/** Problems of a manifest as one error: each of them for whoever can show a list, the first ones in its line for who cannot. */
import { BottleError } from '../../core/errors.ts';
import { type Problem, problemText } from '../../core/manifest/problems.ts';

const IN_ONE_LINE = 3;

/** @param problems at least one error */
export function manifestError(problems: readonly Problem[], hint?: string): BottleError {
  const errors = problems.filter(({ severity }) => severity === 'error').map(problemText);
  const shown = errors.slice(0, IN_ONE_LINE).join('; ');
  const rest = errors.length - IN_ONE_LINE;
  const message = rest > 0 ? `${shown}; and ${rest} more` : shown;
  return new BottleError('MANIFEST_INVALID', message, { hint, problems: errors });
}
