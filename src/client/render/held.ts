/** What a held launch tells the person who decides: the step, its error, and the very commands. */
import type { StatusDocument, StepStatus } from '../../core/status.ts';
import { LAUNCH_STEPS } from '../../core/steps.ts';
import { errorLines } from '../report-error.ts';
import type { Colours } from './colours.ts';
import { clean } from './text.ts';

export const heldSteps = ({ steps }: StatusDocument): StepStatus[] =>
  steps.filter(({ state }) => state === 'held' || state === 'undo-held');

/** Lines for stderr; none when nothing is held. */
export function heldLines(status: StatusDocument, colours: Colours): string[] {
  const held = heldSteps(status);
  if (held.length === 0) return [];
  const lines = held.flatMap((step) => [
    colours.bold(`${status.id} is held at ${clean(step.id)}${step.state === 'undo-held' ? ' (its undo failed)' : ''}`),
    ...errorLines(step.error ?? { code: 'INTERNAL', message: 'no reason was given' }).map((line, index) =>
      index === 0 ? colours.red(line) : line,
    ),
  ]);
  const url = status.uiUrl === null ? [] : [`Temporal UI: ${clean(status.uiUrl)}`];
  return [...lines, 'decide with', ...commands(status.id, held).map((command) => `  ${command}`), ...url];
}

/** The commands that can decide these holds, each to be typed as it is. */
export function commands(id: string, held: readonly StepStatus[]): string[] {
  const each = held.flatMap((step) => [
    `bottle retry ${id} ${clean(step.id)}`,
    ...(canBeSkipped(step) ? [`bottle skip ${id} ${clean(step.id)}`] : []),
  ]);
  return held.some(({ state }) => state === 'held') ? [...each, `bottle abort ${id}`] : each;
}

/** Later steps take the result of some as input; an undo can always be skipped. */
function canBeSkipped({ id, state }: StepStatus): boolean {
  if (state === 'undo-held') return true;
  const spec = LAUNCH_STEPS.find((step) => step.id === id);
  return !(spec !== undefined && 'yields' in spec && spec.yields);
}
