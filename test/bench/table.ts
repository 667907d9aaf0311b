/** The bench for a person: every figure, and where a launch's time goes. */
import Table from 'cli-table3';
import { LAUNCH_STEPS } from '../../src/core/steps.ts';
import { type Figure, median } from './figures.ts';
import type { Launches, Run } from './launches.ts';

export function printTable(figures: readonly Figure[], launches?: Launches): void {
  const all = new Table({ head: ['figure', 'median', 'min', 'max', 'n', 'goal'], style: { head: [], border: [] } });
  for (const { name, value, unit, min, max, n, goal } of figures) {
    const met = goal === undefined ? '' : `${goal} ${value <= goal ? 'met' : 'missed'}`;
    all.push([name, `${value} ${unit}`, min, max, n, met]);
  }
  console.log(all.toString());
  if (launches === undefined) return;

  const steps = new Table({
    head: ['step', 'durable ms', 'sequential ms', 'in-process ms'],
    style: { head: [], border: [] },
  });
  const of = (kind: 'durable' | 'sequential' | 'inProcess', step: string): number =>
    Math.round(median(launches.pairs.map((pair) => (pair[kind] as Run).stepMs[step] ?? 0)));
  for (const { id } of LAUNCH_STEPS) steps.push([id, of('durable', id), of('sequential', id), of('inProcess', id)]);
  console.log('\nWhere the time goes (a durable step counts from its scheduling to the workflow knowing its result):');
  console.log(steps.toString());
}
