/** Launches of the same agent in three ways, taken in turns. */
import { performance } from 'node:perf_hooks';
import type { WorkflowHandle } from '@temporalio/client';
import { type StepFunctions, stepFunctions } from '../../src/activities/index.ts';
import { startLaunch } from '../../src/client/launch.ts';
import type { Session } from '../../src/client/session.ts';
import { GraphRunner, type StepOutcome } from '../../src/core/graph-runner.ts';
import { NOTHING_ASKED } from '../../src/core/request-book.ts';
import { stepInput, undoInput } from '../../src/core/step-input.ts';
import type { BottleRef } from '../../src/core/step-io.ts';
import { LAUNCH_STEPS, type StepId } from '../../src/core/steps.ts';
import { docker, type Installation, installation, uniqueId } from '../support/installation.ts';

export interface Run {
  upMs: number;
  downMs: number;
  /** Milliseconds of each step, by id. */
  stepMs: Record<string, number>;
}

export interface Launches {
  pairs: { durable: Run; sequential: Run; inProcess: Run }[];
  /** Of each durable launch at the moment it was ready. */
  histories: { events: number; bytes: number }[];
}

const AGENT = 'demo';

/** @param runs how many of each; two more of each warm everything up and are not counted */
export async function measureLaunches(runs: number, report: (line: string) => void): Promise<Launches> {
  const place = await installation();
  const launches: Launches = { pairs: [], histories: [] };
  try {
    place.writeBottle('closed', 'allow: [example.com]');
    place.writeAgent(AGENT, 'bottle: closed\nskills: [greet]', 'Be kind.');
    place.writeSkill('greet');
    await place.startWorker();
    for (let i = -2; i < runs; i++) {
      const { run: durable, history } = await durableLaunch(place);
      const sequential = await sequentialLaunch(place);
      const inProcess = await inProcessLaunch(place);
      if (i < 0) continue;
      launches.pairs.push({ durable, sequential, inProcess });
      launches.histories.push(history);
      report(`${i + 1}/${runs}  durable ${ms(durable)}  sequential ${ms(sequential)}  in-process ${ms(inProcess)}`);
    }
    return launches;
  } finally {
    await place.dispose();
  }
}

const ms = ({ upMs }: Run): string => `${Math.round(upMs)} ms`;

async function durableLaunch(place: Installation): Promise<{ run: Run; history: { events: number; bytes: number } }> {
  const id = uniqueId('bench');
  const start = performance.now();
  // As `bottle up` starts it.
  const session = { client: place.client } as Session;
  await startLaunch(session, { agent: AGENT, host: place.settings.host, name: id });
  const handle = place.client.workflow.getHandle(id);
  await untilReady(place, handle);
  const upMs = performance.now() - start;
  const { historyLength, historySize } = await handle.describe();
  const { steps } = await place.status(id);
  const stop = performance.now();
  await handle.executeUpdate('stop');
  await handle.result();
  const downMs = performance.now() - stop;
  const stepMs = Object.fromEntries(steps.map((step) => [step.id, step.durationMs ?? 0]));
  return { run: { upMs, downMs, stepMs }, history: { events: historyLength, bytes: historySize ?? 0 } };
}

/** Long-polls the history for the one event that makes the phase visible: no query, no polling interval in the figure. */
async function untilReady(place: Installation, { workflowId }: WorkflowHandle): Promise<void> {
  const { client } = place;
  let nextPageToken: Uint8Array | undefined;
  for (;;) {
    const page = await client.workflowService.getWorkflowExecutionHistory({
      namespace: client.options.namespace,
      execution: { workflowId },
      waitNewEvent: true,
      ...(nextPageToken === undefined ? {} : { nextPageToken }),
    });
    for (const event of page.history?.events ?? []) {
      const fields = event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes?.indexedFields;
      const phase = fields?.['BottlePhase']?.data;
      const text = phase === undefined || phase === null ? '' : Buffer.from(phase).toString();
      if (text.includes('ready')) return;
      if (text.includes('held'))
        throw new Error(`the launch was held: ${JSON.stringify(await place.status(workflowId))}`);
    }
    nextPageToken = page.nextPageToken as Uint8Array;
  }
}

/** One step of a launch, called directly; the results are kept for the steps after it. */
function directSteps(place: Installation): {
  run(step: StepId): Promise<void>;
  undo(step: StepId): Promise<void>;
  stepMs: Record<string, number>;
} {
  const host = {
    docker,
    owner: place.owner,
    settings: place.settings,
    server: { kind: 'embedded' as const, address: `127.0.0.1:${place.settings.port}` },
    stopping: new AbortController().signal,
    uiUrl: () => null,
  };
  const functions = stepFunctions(host) as unknown as Record<string, StepFunctions['prepare']>;
  const bottle: BottleRef = { id: uniqueId('bench'), runId: uniqueId('run') };
  const results = new Map<string, unknown>();
  const context = {
    bottle,
    input: { agent: AGENT },
    result: (step: StepId) => results.get(step),
    requests: () => NOTHING_ASKED,
  };
  const stepMs: Record<string, number> = {};
  const never = new AbortController().signal;
  return {
    stepMs,
    run: async (step) => {
      const start = performance.now();
      results.set(step, await functions[step]?.(stepInput(step, context) as never, never));
      stepMs[step] = performance.now() - start;
    },
    undo: async (step) => {
      const spec = LAUNCH_STEPS.find(({ id }) => id === step);
      if (spec !== undefined && 'undo' in spec) await functions[spec.undo]?.(undoInput(context) as never, never);
    },
  };
}

async function sequentialLaunch(place: Installation): Promise<Run> {
  const steps = directSteps(place);
  const start = performance.now();
  for (const { id } of LAUNCH_STEPS) await steps.run(id);
  const upMs = performance.now() - start;
  const stop = performance.now();
  for (const { id } of LAUNCH_STEPS.toReversed()) await steps.undo(id);
  return { upMs, downMs: performance.now() - stop, stepMs: steps.stepMs };
}

async function inProcessLaunch(place: Installation): Promise<Run> {
  const steps = directSteps(place);
  const outcome = async (work: Promise<void>): Promise<StepOutcome> => {
    await work;
    return { ok: true, attempts: 1 };
  };
  const ready = Promise.withResolvers<void>();
  const runner: GraphRunner = new GraphRunner(LAUNCH_STEPS, {
    run: (step) => outcome(steps.run(step as StepId)),
    undo: (step) => outcome(steps.undo(step as StepId)),
    cancelRunning: () => undefined,
    publish: () => {
      if (runner.phase === 'ready') ready.resolve();
    },
    now: () => Date.now(),
  });
  const start = performance.now();
  const ended = runner.run();
  await ready.promise;
  const upMs = performance.now() - start;
  const stop = performance.now();
  runner.stop('stopped');
  await ended;
  return { upMs, downMs: performance.now() - stop, stepMs: steps.stepMs };
}
