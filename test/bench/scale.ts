/**
 * `npm run bench -- --scale 100`: so many bottles asked for at once. How long until all are ready, how quickly a ready one
 * answers meanwhile, what they cost while nothing happens, and how long it takes until nothing is left of them.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { bundleName, machineName } from '../../src/core/names.ts';
import { callTool } from '../support/call-tool.ts';
import { docker, type Installation, installation, isReady, root, uniqueId } from '../support/installation.ts';
import { type EngineSocket, recordingProxy } from '../support/recording-engine.ts';
import { type Figure, figure } from './figures.ts';

const IDLE_SECONDS = 30;
const MIB = 1024 ** 2;
/** Jiffies a second, as /proc counts them on every Linux that Node runs on. */
const TICKS = 100;

type Report = (line: string) => void;

/** @param count bottles in all */
export async function measureScale(count: number, report: Report): Promise<Figure[]> {
  const place = await installation();
  let proxy: EngineSocket | undefined;
  try {
    place.writeConfig(`capacity: {bottles: ${count + 1}, freeMemoryMiB: 256}`);
    place.writeBottle('asking', 'supervise: true');
    place.writeAgent('small', 'bottle: asking\nimage: minimal');
    const target = (docker.modem as unknown as { socketPath: string }).socketPath;
    proxy = await recordingProxy(target);
    place.env['DOCKER_HOST'] = proxy.url;
    await place.startWorker();
    const first = uniqueId('scale');
    await place.launch(first, { agent: 'small' });
    await place.waitFor(first, isReady);
    const figures = [...(await idleCost(place, 1, proxy, report))];

    report(`asking for ${count - 1} more at once`);
    const began = performance.now();
    const ids = Array.from({ length: count - 1 }, () => uniqueId('scale'));
    await Promise.all(ids.map((id) => place.launch(id, { agent: 'small' })));
    const over = new AbortController();
    const meanwhile = answersMeanwhile(place, first, over.signal);
    await allReady(place, count, report);
    figures.push(figure(`scale.readySeconds`, [(performance.now() - began) / 1000], 's'));
    over.abort();
    const { reload, approve } = await meanwhile;
    if (reload.length > 0) figures.push(figure('scale.reloadMs', reload, 'ms', 3000));
    if (approve.length > 0) figures.push(figure('scale.approveMs', approve, 'ms', 2000));
    figures.push(...(await idleCost(place, count, proxy, report)));

    report('down --all');
    const down = performance.now();
    const bottle = [process.execPath, path.join(root, 'dist/client/main.js'), 'down', '--all', '--quiet'] as const;
    await promisify(execFile)(bottle[0], bottle.slice(1), { env: place.env, maxBuffer: 1e9 });
    figures.push(figure('scale.downSeconds', [(performance.now() - down) / 1000], 's'));
    figures.push(figure('scale.leftovers', [(await place.objects()).length], 'objects', 0));
    return figures;
  } finally {
    await place.dispose();
    await proxy?.close();
  }
}

async function allReady(place: Installation, count: number, report: Report): Promise<void> {
  const inPhase = async (phase: string): Promise<number> =>
    (await place.client.workflow.count(`WorkflowType = 'BottleLaunch' AND BottlePhase = '${phase}'`)).count;
  for (;;) {
    const [ready, held, queued] = await Promise.all(['ready', 'held', 'queued'].map(inPhase));
    if (ready === count) return;
    if (held !== undefined && held > 0) report(`${held} are held`);
    report(`${ready} of ${count} ready, ${queued} queued`);
    await sleep(5000);
  }
}

/** Asks a ready bottle for something again and again while others launch. Milliseconds until it has taken effect. */
async function answersMeanwhile(
  place: Installation,
  id: string,
  signal: AbortSignal,
): Promise<{ reload: number[]; approve: number[] }> {
  const handle = place.client.workflow.getHandle(id);
  const times: { reload: number[]; approve: number[] } = { reload: [], approve: [] };
  let runs = (await place.status(id)).steps.find((step) => step.id === 'bundle')?.attempts ?? 1;
  const bundleAgain = async (): Promise<void> => {
    runs += 1;
    await place.waitFor(id, (status) => isReady(status) && (bundleRuns(status) ?? 0) >= runs, 600);
  };
  for (let n = 0; !signal.aborted; n++) {
    const before = performance.now();
    await handle.executeUpdate('reload');
    await bundleAgain();
    times.reload.push(performance.now() - before);
    const ask = { host: `host-${n}.test`, methods: [], reason: 'to be measured' };
    const { requestId } = await callTool(id, 'request_egress_route', ask);
    await place.waitFor(id, ({ requests }) => requests.some((request) => request.id === requestId), 600);
    const asked = performance.now();
    await handle.executeUpdate('decide', { args: [{ request: requestId, decision: 'approve' }] });
    await bundleAgain();
    times.approve.push(performance.now() - asked);
    await sleep(2000);
  }
  return times;
}

const bundleRuns = ({ steps }: { steps: { id: string; attempts: number }[] }): number | undefined =>
  steps.find(({ id }) => id === 'bundle')?.attempts;

/** What `count` bottles cost that nobody uses. */
async function idleCost(place: Installation, count: number, engine: EngineSocket, report: Report): Promise<Figure[]> {
  report(`${count} at rest`);
  // What the launches have begun comes to its end.
  await sleep(5000);
  const pid = (name: string): number =>
    Number(readFileSync(path.join(place.settings.state, 'run', `${name}.pid`), 'utf8'));
  const processes = { worker: pid('worker'), server: pid('server') };
  const names = Object.keys(processes) as (keyof typeof processes)[];
  const before = names.map((name) => cpuSeconds(processes[name]));
  const calls = engine.calls.length;
  await sleep(IDLE_SECONDS * 1000);
  const each = names.flatMap((name, at) => [
    figure(
      `idle${count}.${name}Cpu`,
      [((cpuSeconds(processes[name]) - (before[at] as number)) / IDLE_SECONDS) * 100],
      '% of a core',
    ),
    figure(`idle${count}.${name}MiB`, [residentMiB(processes[name])], 'MiB'),
  ]);
  const [some] = await docker.listContainers({ filters: { label: [`bottleworks.owner=${place.owner}`] } });
  const id = some?.Labels['bottleworks.bottle'] as string;
  return [
    ...each,
    figure(`idle${count}.engineCalls`, [(engine.calls.length - calls) / IDLE_SECONDS], 'calls/s'),
    figure(`idle${count}.bundleMiB`, [await usedMiB(bundleName(id))], 'MiB'),
    figure(`idle${count}.machineMiB`, [await usedMiB(machineName(id))], 'MiB'),
  ];
}

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is a name in brackets, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

const residentMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

async function usedMiB(container: string): Promise<number> {
  const { memory_stats: memory } = await docker.getContainer(container).stats({ stream: false, 'one-shot': true });
  const cached = memory.stats.total_inactive_file ?? memory.stats.inactive_file ?? 0;
  return (memory.usage - cached) / MIB;
}
