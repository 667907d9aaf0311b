/** A launch as a tree of steps: a pure function from the status document, the time and the width to text. */
import { waitsForText } from '../../core/capacity.ts';
import type { StatusDocument, StepState, StepStatus } from '../../core/status.ts';
import { type Colours, PLAIN } from './colours.ts';
import { clean, duration, shorten } from './text.ts';

export interface TreeOptions {
  /** Milliseconds since the epoch. */
  now: number;
  /** Columns of the terminal. @default 80 */
  width?: number;
  colours?: Colours;
  /** The picture that stands for "running" this moment. */
  spinner?: string;
  /** When a step that runs was last started, where that is known better than its `startedAt`. */
  runningSince?: (step: string) => number | undefined;
}

const MARKS: Record<StepState, string> = {
  pending: '·',
  running: '◌',
  done: '✓',
  held: '■',
  skipped: '»',
  undoing: '◌',
  undone: '○',
  'undo-held': '■',
};

/** Said beside the mark where the mark alone would leave a question. */
const WORDS: Partial<Record<StepState, string>> = {
  held: 'held',
  skipped: 'skipped',
  undoing: 'undoing',
  undone: 'undone',
  'undo-held': 'undo held',
};

/** The tree, one line a step and more for errors, none longer than `width`, without a final line break. */
export function renderTree(status: StatusDocument, options: TreeOptions): string {
  const { width = 80, colours = PLAIN } = options;
  const names = Math.max(0, ...status.steps.map(({ id }) => id.length));
  const lines = [headline(status, options, width, colours)];
  if (status.waitsFor !== undefined) {
    lines.push(colours.yellow(shorten(`waits for ${clean(waitsForText(status.waitsFor))}`, width)));
  }
  for (const [index, step] of status.steps.entries()) {
    const last = index === status.steps.length - 1;
    lines.push(stepLine(step, names, last ? '└─' : '├─', options, width, colours));
    lines.push(...errorLines(step, last ? '  ' : '│ ', width, colours));
  }
  return lines.join('\n');
}

function headline(status: StatusDocument, { now }: TreeOptions, width: number, colours: Colours): string {
  const end = status.readyAt === null ? now : Date.parse(status.readyAt);
  const took = duration(end - Date.parse(status.startedAt));
  const time = status.phase === 'queued' || status.phase === 'launching' || status.phase === 'ready' ? `  ${took}` : '';
  const text = shorten(`${clean(status.id)}  ${status.phase}${time}`, width);
  const rest = shorten(`  ${clean(status.agent)} on ${clean(status.host)}`, width - [...text].length);
  return colours.bold(text) + colours.dim(rest);
}

function stepLine(
  step: StepStatus,
  names: number,
  branch: string,
  options: TreeOptions,
  width: number,
  colours: Colours,
): string {
  const moving = step.state === 'running' || step.state === 'undoing';
  const mark = moving ? (options.spinner ?? MARKS[step.state]) : MARKS[step.state];
  const words = [
    clean(step.id).padEnd(names),
    timeOf(step, options).padStart(8),
    WORDS[step.state] ?? '',
    step.attempts > 1 ? `attempt ${step.attempts}` : '',
  ];
  const text = shorten(` ${words.filter((word, index) => index < 2 || word !== '').join('  ')}`.trimEnd(), width - 4);
  return (
    shorten(`${branch} `, width) + (width < 4 ? '' : paint(step.state, colours)(mark) + paintText(step, colours)(text))
  );
}

function timeOf(step: StepStatus, { now, runningSince }: TreeOptions): string {
  if (step.state === 'running') {
    const since = runningSince?.(step.id) ?? (step.startedAt === undefined ? undefined : Date.parse(step.startedAt));
    return since === undefined ? '' : duration(now - since);
  }
  return step.durationMs === undefined || step.state === 'pending' ? '' : duration(step.durationMs);
}

function errorLines({ error, state }: StepStatus, branch: string, width: number, colours: Colours): string[] {
  if (error === undefined || state === 'done' || state === 'skipped' || state === 'undone') return [];
  const line = (text: string): string => shorten(`${branch}     ${text}`, width);
  const first = line(`error[${clean(error.code)}]: ${clean(error.message)}`);
  const isHeld = state === 'held' || state === 'undo-held';
  return [
    (isHeld ? colours.red : colours.yellow)(first),
    ...(error.hint === undefined || !isHeld ? [] : [line(`hint: ${clean(error.hint)}`)]),
  ];
}

function paint(state: StepState, colours: Colours): (text: string) => string {
  if (state === 'done') return colours.green;
  if (state === 'held' || state === 'undo-held') return colours.red;
  if (state === 'running' || state === 'undoing') return colours.cyan;
  return colours.dim;
}

const paintText = ({ state }: StepStatus, colours: Colours): ((text: string) => string) =>
  state === 'pending' || state === 'undone' ? colours.dim : (text) => text;
