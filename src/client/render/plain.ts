/** A launch as plain lines, one for each change of a step: for logs and pipes. Pure, apart from what it remembers. */
import { waitsForText } from '../../core/capacity.ts';
import type { StatusDocument, StepStatus } from '../../core/status.ts';
import { clean, duration } from './text.ts';

/** The longest step: `provision.supervise`. */
const NAME_WIDTH = 19;

/**
 * A function from each new status document to the lines that tell what changed since the last one.
 * @param joining the launch was under way before: what was settled by then is old news
 */
export function plainLines(joining = false): (status: StatusDocument) => string[] {
  const seen = new Map<string, StepStatus>();
  let first = true;
  let waited: string | undefined;
  return ({ steps, waitsFor }) => {
    const oldNews = joining && first;
    first = false;
    const waits = waitsFor === undefined ? undefined : waitsForText(waitsFor);
    const queued = waits === waited || waits === undefined ? [] : [`queued: waits for ${clean(waits)}`];
    waited = waits;
    const changes = steps.flatMap((step) => {
      const before = seen.get(step.id);
      seen.set(step.id, step);
      if (oldNews && ['done', 'skipped', 'undone'].includes(step.state)) return [];
      return changed(before, step) ? [stepLine(step)] : [];
    });
    return [...changes, ...queued];
  };
}

function changed(before: StepStatus | undefined, now: StepStatus): boolean {
  if (before === undefined) return now.state !== 'pending';
  return before.state !== now.state || (now.state === 'running' && before.attempts !== now.attempts);
}

/** `network              done     84 ms` */
export function stepLine(step: StepStatus): string {
  const settled = step.state !== 'running' && step.state !== 'undoing' && step.state !== 'undone';
  const words = [
    clean(step.id).padEnd(NAME_WIDTH),
    step.state.padEnd(7),
    settled && step.durationMs !== undefined && step.state !== 'skipped' ? duration(step.durationMs) : '',
    step.attempts > 1 && step.state !== 'undoing' && step.state !== 'undone' ? `attempt ${step.attempts}` : '',
    showsError(step) ? `error[${clean(step.error.code)}]: ${clean(step.error.message)}` : '',
  ];
  return words
    .filter((word, index) => index < 2 || word !== '')
    .join('  ')
    .trimEnd();
}

function showsError(step: StepStatus): step is StepStatus & { error: NonNullable<StepStatus['error']> } {
  return step.error !== undefined && ['running', 'undoing', 'held', 'undo-held'].includes(step.state);
}
