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
    const figures: Figure[] = [];
    // Told as they come, too: the whole takes long.
    const keep = (...made: Figure[]): void => {
      figures.push(...made);
      for (const { name, value, unit, min, max, n } of made)
        report(`${name}: ${value} ${unit}${n > 1 ? ` (${n}: ${min} to ${max})` : ''}`);
    };
    keep(...(await idleCost(place, 1, proxy, report)));

    report(`asking for ${count - 1} more at once`);
    const began = performance.now();
    const used = cpuOf(place);
    const ids = Array.from({ length: count - 1 }, () => uniqueId('scale'));
    await Promise.all(ids.map((id) => place.launch(id, { agent: 'small' })));
    const over = new AbortController();
    const meanwhile = answersMeanwhile(place, first, over.signal, report);
    const holds = await allReady(place, count, report);
    keep(figure('scale.readySeconds', [(performance.now() - began) / 1000], 's'));
    keep(figure('scale.holds', [holds], 'holds', 0));
    for (const name of PROCESSES) keep(figure(`scale.${name}Cpu`, [used(name)], '% of a core'));
    over.abort();
    const { reload, approve } = await meanwhile;
    keep(...answered('reload', reload, 3000), ...answered('approve', approve, 2000));
    keep(...(await idleCost(place, count, proxy, report)));

    report('down --all');
    keep(figure('scale.downSeconds', [(await timed(() => bottle(place, report, 'down', '--all'))) / 1000], 's'));
    keep(figure('scale.leftovers', [(await place.objects()).length], 'objects', 0));
    return figures;
  } finally {
    await place.dispose();
    await proxy?.close();
  }
}

/**
 * Waits until all are ready. What is held meanwhile is told, and retried as a person would.
 * @returns how often that had to be
 */
async function allReady(place: Installation, count: number, report: Report): Promise<number> {
  const inPhase = (phase: string): string => `WorkflowType = 'BottleLaunch' AND BottlePhase = '${phase}'`;
  const counted = async (phase: string): Promise<number> => (await place.client.workflow.count(inPhase(phase))).count;
  for (let holds = 0; ; await sleep(2000)) {
    const [ready, queued] = await Promise.all(['ready', 'queued'].map(counted));
    if (ready === count) return holds;
    report(`${ready} of ${count} ready, ${queued} queued`);
    for await (const { workflowId } of place.client.workflow.list({ query: inPhase('held') })) {
      const { steps } = await place.status(workflowId);
      for (const { id, error } of steps) if (error !== undefined) report(`held at ${id}: ${error.message}`);
      // Not waited for: another may be held meanwhile.
      await place.client.workflow
        .getHandle(workflowId)
        .executeUpdate('retry')
        .catch(() => undefined);
      holds += 1;
    }
  }
}

/** Asks a ready bottle for something again and again, by the command, while others launch. Milliseconds until it has taken effect. */
async function answersMeanwhile(
  place: Installation,
  id: string,
  signal: AbortSignal,
  report: Report,
): Promise<{ reload: number[]; approve: number[] }> {
  const times: { reload: number[]; approve: number[] } = { reload: [], approve: [] };
  for (let n = 0; !signal.aborted; n++) {
    times.reload.push(await timed(() => bottle(place, report, 'reload', id)));
    const ask = { host: `host-${n}.test`, methods: [], reason: 'to be measured' };
    const { requestId } = await callTool(id, 'request_egress_route', ask);
    await place.waitFor(id, ({ requests }) => requests.some((request) => request.id === requestId), 600);
    times.approve.push(await timed(() => bottle(place, report, 'approve', id, requestId as string)));
    await sleep(2000);
  }
  return times;
}

/** Runs a command. What it says when it fails is told; whether all is as it should be the figures show. */
async function bottle(place: Installation, report: Report, ...args: string[]): Promise<void> {
  const program = path.join(root, 'dist/client/main.js');
  const running = promisify(execFile)(process.execPath, [program, ...args, '--quiet'], {
    env: place.env,
    maxBuffer: 1e9,
  });
  await running.catch(({ code, stderr }: { code: unknown; stderr: string }) =>
    report(`${args.join(' ')} ended with ${code}: ${stderr.slice(0, 1000)}`),
  );
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await act();
  return performance.now() - began;
}

/** A person waits for the slowest one too, so it is that one which is measured by the goal. */
const answered = (name: string, times: readonly number[], goal: number): Figure[] =>
  times.length === 0
    ? []
    : [figure(`scale.${name}Ms`, times, 'ms'), figure(`scale.${name}WorstMs`, [Math.max(...times)], 'ms', goal)];

/** What `count` bottles cost that nobody uses. */
async function idleCost(place: Installation, count: number, engine: EngineSocket, report: Report): Promise<Figure[]> {
  report(`${count} at rest`);
  // What the launches have begun comes to its end.
  await sleep(5000);
  const used = cpuOf(place);
  const calls = engine.calls.length;
  await sleep(IDLE_SECONDS * 1000);
  const each = PROCESSES.flatMap((name) => [
    figure(`idle${count}.${name}Cpu`, [used(name)], '% of a core'),
    figure(`idle${count}.${name}MiB`, [residentMiB(processId(place, name))], 'MiB'),
  ]);
  const [some] = await docker.listContainers({ filters: { label: [`bottleworks.owner=${place.owner}`] } });
  const id = some?.Labels['bottleworks.bottle'] as string;
  return [
    ...each,
    figure(`idle${count}.engineCalls`, [(engine.calls.length - calls) / IDLE_SECONDS], 'calls/s'),
    figure(`idle${count}.bundleMiB`, [await usedMiB(bundleName(id))], 'MiB'),
    figure(`idle${count}.machineMiB`, [await usedMiB(machineName(id))], 'MiB'),
    figure(`idle${count}.shimsMiB`, [(await shimMiB(bundleName(id))) + (await shimMiB(machineName(id)))], 'MiB'),
  ];
}

const PROCESSES = ['worker', 'server'] as const;
type Process = (typeof PROCESSES)[number];

const processId = ({ settings }: Installation, name: Process): number =>
  Number(readFileSync(path.join(settings.state, 'run', `${name}.pid`), 'utf8'));

/** From now on, in percent of a core. */
function cpuOf(place: Installation): (name: Process) => number {
  const began = performance.now();
  const cpu = (name: Process): number => cpuSeconds(processId(place, name));
  const before = { worker: cpu('worker'), server: cpu('server') };
  return (name) => ((cpu(name) - before[name]) / ((performance.now() - began) / 1000)) * 100;
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

/** Of the process that the Engine keeps beside a container, its share of what several have in common. */
async function shimMiB(container: string): Promise<number> {
  const { State } = await docker.getContainer(container).inspect();
  const shim = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${State.Pid}/status`, 'utf8'))?.[1];
  return Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${shim}/smaps_rollup`, 'utf8'))?.[1]) / 1024;
}
