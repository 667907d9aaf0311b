/**
 * `npm run bench -- --path` draws where the time of a launch goes (draw-path.ts), and measures nothing else.
 * `npm run bench -- --scale 100` measures so many bottles at once (scale.ts), and nothing else.
 * `npm run bench [-- --json] [-- --runs N]`: how long a launch takes against the two things it could be instead,
 * as ratios of neighbouring runs: A B C A B C, so that a machine that slows down slows all three. Then how long many at once
 * take, and what the way out through a bundle costs.
 *   durable      the workflow on the real server and worker, from the client's start call to "ready" seen by the client
 *   sequential   the same steps one after the other in one process, in the original's order, no Temporal
 *   in-process   the same graph by the same runner in one process, no Temporal
 * Nothing here asserts a time. The document's form is contract.md's.
 */
import { measureApply } from './apply.ts';
import { measureBurst } from './burst.ts';
import { measureChain } from './chain.ts';
import { drawPath } from './draw-path.ts';
import { type Figure, figure, ratios } from './figures.ts';
import { type Launches, measureLaunches } from './launches.ts';
import { machineFacts, versionFacts } from './machine.ts';
import { measureScale } from './scale.ts';
import { printTable } from './table.ts';
import { measureTakeover } from './takeover.ts';

const BURST = 30;

const json = process.argv.includes('--json');
const runs = Math.max(10, Number(process.argv[process.argv.indexOf('--runs') + 1]) || 12);
const report = (line: string): void => void process.stderr.write(`${line}\n`);

const scale = Number(process.argv.includes('--scale') && process.argv[process.argv.indexOf('--scale') + 1]);
if (process.argv.includes('--path')) await drawPath(runs, report);
else await (scale > 1 ? tell(await measureScale(scale, report)) : benchLaunches());

async function tell(figures: Figure[], launches?: Launches): Promise<void> {
  if (json)
    process.stdout.write(`${JSON.stringify({ machine: machineFacts(), versions: await versionFacts(), figures })}\n`);
  else printTable(figures, launches);
}

async function benchLaunches(): Promise<void> {
  const launches = await measureLaunches(runs, report);
  const burst = await measureBurst(BURST, report);
  const takeover = await measureTakeover(5, report);
  const applied = await measureApply(5, report);
  const chain = await measureChain(5, report);
  if (chain.scanner !== 'pipelock')
    report('chain: measured with the allow-list proxy, since there is no pipelock here');

  const column = (name: 'durable' | 'sequential' | 'inProcess'): number[] =>
    launches.pairs.map((pair) => pair[name].upMs);
  const figures: Figure[] = [
    figure('launch.ratio', ratios(column('durable'), column('sequential')), 'x', 0.75),
    figure(
      'launch.overheadMs',
      column('durable').map((ms, i) => ms - (column('inProcess')[i] as number)),
      'ms',
      100,
    ),
    figure('launch.durableMs', column('durable'), 'ms'),
    figure('launch.sequentialMs', column('sequential'), 'ms'),
    figure('launch.inProcessMs', column('inProcess'), 'ms'),
    figure(
      'launch.events',
      launches.histories.map(({ events }) => events),
      'events',
    ),
    figure(
      'launch.historyBytes',
      launches.histories.map(({ bytes }) => bytes),
      'B',
    ),
    figure(
      'stop.ratio',
      ratios(
        launches.pairs.map((pair) => pair.durable.downMs),
        launches.pairs.map((pair) => pair.sequential.downMs),
      ),
      'x',
      0.8,
    ),
    figure('burst.upSeconds', [burst.upSeconds], 's', 15),
    figure('burst.launchSeconds', [burst.launchSeconds], 's'),
    figure('takeover.ms', takeover, 'ms', 500),
    figure('apply.routeMs', applied, 'ms', 1000),
    figure('chain.addedMs', chain.addedMs, 'ms'),
    figure('chain.streamRatio', chain.streamRatio, 'x'),
    figure('bundle.readyMs', chain.readyMs, 'ms', 1500),
    figure('bundle.restMiB', chain.restMiB, 'MiB', 150),
  ];
  await tell(figures, launches);
}
