/** One bottle's status as text: a table of its steps, what went wrong, and what it is made of. */
import Table from 'cli-table3';
import { waitsForText } from '../../core/capacity.ts';
import { befallenText } from '../../core/launch-view.ts';
import { unsearchedText, type WayOutProblem } from '../../core/reach.ts';
import type { LimitsStatus, StatusDocument, StepStatus } from '../../core/status.ts';
import { errorLines } from '../report-error.ts';
import { type Colours, PLAIN } from './colours.ts';
import { commands, heldSteps } from './held.ts';
import { requestLines } from './requests-text.ts';
import { NO_PIPELOCK } from './scanner.ts';
import { BORDERLESS } from './table.ts';
import { clean, duration } from './text.ts';

export interface StatusTextOptions {
  /** Milliseconds since the epoch. */
  now: number;
  colours?: Colours;
  /** Why it failed. */
  failure?: string | undefined;
}

export function statusText(status: StatusDocument, { now, colours = PLAIN, failure }: StatusTextOptions): string {
  const { network, bundle, machine } = status;
  const facts: [string, string | null][] = [
    ['agent', `${status.agent} on ${status.host}${status.driver === null ? '' : ` (${status.driver})`}`],
    ['waits for', status.waitsFor === undefined ? null : waitsForText(status.waitsFor)],
    ['started', `${status.startedAt}, ${duration(now - Date.parse(status.startedAt))} ago`],
    [
      'ready',
      status.readyAt === null ? null : `after ${duration(Date.parse(status.readyAt) - Date.parse(status.startedAt))}`,
    ],
    ['limits', status.limits === undefined ? null : limitsText(status.limits, now)],
    ['ended', failure ?? null],
    ['network', network === null ? null : `${network.name}  ${network.subnet}  bundle ${network.bundleIp}`],
    ['bundle', bundle === null ? null : `${bundle.container}  ${daemonText(bundle.daemons)}`],
    ['scanner', bundle?.scanner === 'allow-list' ? NO_PIPELOCK : null],
    ['machine', machine === null ? null : `${machine.name}  ${machine.state}`],
    ['Temporal UI', status.uiUrl],
  ];
  const held = heldSteps(status);
  return [
    colours.bold(`${clean(status.id)}  ${status.phase}${status.stoppedBy === null ? '' : ` (${status.stoppedBy})`}`),
    ...facts.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(12)} ${clean(value)}`])),
    ...(status.steps.length === 0 ? [] : ['', stepTable(status.steps)]),
    ...status.steps.flatMap((step) => stepErrors(step, colours)),
    ...(status.bundle?.refused ?? []).map(({ route, status: code, at }) =>
      colours.yellow(`the credential of ${clean(route)} was refused by the upstream (${code}) at ${clean(at)}`),
    ),
    ...(status.wayOut === undefined ? [] : [colours.yellow(wayOutLine(status.wayOut))]),
    ...(status.unsearched === undefined ? [] : [colours.yellow(unsearchedText(status.unsearched))]),
    ...befallenText(status).map((line) => colours.yellow(clean(line))),
    ...status.requests
      .filter(({ state }) => state === 'pending')
      .flatMap((request) => ['', ...requestLines(status.id, request, now, colours)]),
    ...(held.length === 0 ? [] : ['', 'decide with', ...commands(status.id, held).map((command) => `  ${command}`)]),
  ].join('\n');
}

/** Told beside the rest: the bottle is as it should be, and its agent may not get far. */
export const wayOutLine = ({ why }: WayOutProblem): string =>
  `the way out leads nowhere: ${clean(why)} (bottle doctor tries it)`;

function limitsText({ lifetimeMs, idleMs, endsAt }: LimitsStatus, now: number): string {
  const left = endsAt === null ? 0 : Date.parse(endsAt) - now;
  const when = endsAt === null ? '' : `, at ${endsAt}${left > 0 ? ` (in ${duration(left)})` : ''}`;
  return [
    ...(lifetimeMs === null ? [] : [`stopped when ready for ${duration(lifetimeMs)}${when}`]),
    ...(idleMs === null ? [] : [`stopped when nothing has run in it for ${duration(idleMs)}`]),
  ].join('; ');
}

const daemonText = (daemons: Record<string, string>): string =>
  Object.entries(daemons)
    .map(([name, state]) => `${name} ${state}`)
    .join(', ');

function stepTable(steps: readonly StepStatus[]): string {
  const table = new Table({ ...BORDERLESS, head: ['STEP', 'STATE', 'ATTEMPTS', 'TIME'] });
  for (const { id, state, attempts, durationMs } of steps) {
    table.push([clean(id), state, attempts, durationMs === undefined ? '' : duration(durationMs)]);
  }
  return trimLines(table.toString());
}

function stepErrors({ id, state, error }: StepStatus, colours: Colours): string[] {
  if (error === undefined || state === 'done' || state === 'skipped') return [];
  const [first = '', ...rest] = errorLines(error);
  return ['', `${clean(id)}:`, colours.red(first), ...rest];
}

export const trimLines = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
