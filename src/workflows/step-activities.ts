/** The graph runner's ports to activities: one activity a step, one a compensation, on the launch's own queue. */
import {
  ActivityCancellationType,
  ActivityFailure,
  type ActivityOptions,
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  proxyActivities,
  TimeoutFailure,
} from '@temporalio/workflow';
import { agentEnvironment } from '../core/agent-environment.ts';
import type { ErrorView } from '../core/errors.ts';
import type { StepOutcome } from '../core/graph-runner.ts';
import type { LaunchInput } from '../core/launch-input.ts';
import type {
  BottleRef,
  MachineInput,
  NetworkFacts,
  PrepareResult,
  StepIo,
  StepReturn,
  UndoIo,
} from '../core/step-io.ts';
import { LAUNCH_STEPS, type StepId } from '../core/steps.ts';

/** Three quick attempts, then the step is held. No schedule-to-close limit: a worker may be away for days. */
const OPTIONS = {
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '30 seconds',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  retry: { maximumAttempts: 3, initialInterval: '200 milliseconds', backoffCoefficient: 2 },
} as const satisfies ActivityOptions;

type ActivityTable = Record<string, (input: unknown) => Promise<StepReturn<unknown>>>;

interface LaunchContext {
  bottle: BottleRef;
  input: LaunchInput;
  /** The result of a step that is done. */
  result(step: StepId): unknown;
}

export interface StepActivities {
  run(step: string): Promise<StepOutcome>;
  undo(step: string): Promise<StepOutcome>;
  cancelRunning(): void;
}

export function stepActivities(context: LaunchContext): StepActivities {
  const activities = proxyActivities<ActivityTable>(OPTIONS);
  const forward = new CancellationScope();

  async function call(activity: string, summary: string, input: unknown): Promise<StepOutcome> {
    try {
      const run = activities[activity] as (typeof activities)[string];
      const { attempt, value } = await run.executeWithOptions({ activityId: activity, summary }, [input]);
      return { ok: true, attempts: attempt, value };
    } catch (error) {
      return failureOutcome(error);
    }
  }

  return {
    run: (step) =>
      forward.run(async () => {
        const input = stepInput(step as StepId, context);
        if (input === undefined) return missingInput(step);
        return call(step, SUMMARIES[step as StepId], input);
      }),
    undo: (step) => {
      const compensation = LAUNCH_STEPS.find(({ id }) => id === step) as { undo?: keyof UndoIo };
      const name = compensation.undo as keyof UndoIo;
      return call(name, `Undo ${step}`, undoInput(context));
    },
    cancelRunning: () => forward.cancel(),
  };
}

const SUMMARIES: Record<StepId, string> = {
  prepare: 'Read the manifest and make the plan',
  network: 'Private bridge with a pinned address for the bundle',
  bundle: 'Sidecar bundle and its daemons',
  'machine.create': 'Machine made from the guest image',
  'machine.start': 'Machine started',
  'provision.prompt': 'Prompt copied in',
  'provision.skills': 'Skills copied in',
  'provision.agent': "Agent's own configuration",
  check: 'Proof from inside: only the bundle is reachable, the agent runs',
};

/** The slice of plan and earlier results that a step works from; undefined when an earlier result is missing. */
function stepInput(step: StepId, { bottle, input, result }: LaunchContext): StepIo[StepId]['input'] | undefined {
  if (step === 'prepare') return { bottle, ...input };
  const prepared = result('prepare') as PrepareResult | undefined;
  if (prepared === undefined) return undefined;
  const { plan } = prepared;
  const { driver } = plan;
  if (step === 'network') return { bottle, pool: plan.pool, driver };
  const network = result('network') as NetworkFacts | undefined;
  if (network === undefined) return undefined;
  const machine: MachineInput = { bottle, driver };
  switch (step) {
    case 'bundle':
      return { bottle, network, image: plan.images.bundle, daemons: plan.daemons, allow: plan.allow };
    case 'machine.create': {
      const env = agentEnvironment(network, plan.env);
      return { ...machine, network, image: plan.images.guest, env, resources: plan.resources };
    }
    case 'provision.skills':
      return { ...machine, skills: plan.skills, directory: plan.guest.skillsDirectory };
    case 'check':
      return { ...machine, network, allow: plan.allow };
    default:
      return machine;
  }
}

/** An undo finds things by label, so it needs no result of the step it undoes: that may have been lost. */
function undoInput({ bottle, input, result }: LaunchContext): MachineInput {
  const prepared = result('prepare') as PrepareResult | undefined;
  return { bottle, driver: prepared?.plan.driver ?? input.driver ?? 'docker' };
}

function missingInput(step: string): StepOutcome {
  const message = `${step} has nothing to work from: an earlier step has no result`;
  return { ok: false, attempts: 1, error: { code: 'INTERNAL', message } };
}

function failureOutcome(error: unknown): StepOutcome {
  if (isCancellation(error)) return { ok: 'cancelled' };
  // Not an activity's failure: a bug here, which must fail the workflow task and wait for a mended worker.
  if (!(error instanceof ActivityFailure)) throw error;
  const { cause } = error;
  if (cause instanceof ApplicationFailure) {
    const detail = cause.details?.[0] as (Partial<ErrorView> & { attempt?: number }) | undefined;
    const view: ErrorView = {
      code: detail?.code ?? cause.type ?? 'INTERNAL',
      message: detail?.message ?? cause.message,
      ...(detail?.hint === undefined ? {} : { hint: detail.hint }),
    };
    return { ok: false, attempts: detail?.attempt ?? 1, error: view, lost: view.code === 'WORKER_LOST' };
  }
  if (cause instanceof TimeoutFailure) {
    const lost = cause.timeoutType === 'HEARTBEAT';
    const message = lost ? 'the worker stopped reporting while it ran the step' : 'the step took longer than it may';
    return { ok: false, attempts: 1, error: { code: lost ? 'WORKER_LOST' : 'TIMEOUT', message }, lost };
  }
  return { ok: false, attempts: 1, error: { code: 'INTERNAL', message: cause?.message ?? error.message } };
}
