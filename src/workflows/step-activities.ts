/** The graph runner's ports to activities: one activity a step, one a compensation, on the launch's own queue. */
import {
  ActivityCancellationType,
  ActivityFailure,
  type ActivityOptions,
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  workflowInfo,
} from '@temporalio/workflow';
import type { StepOutcome } from '../core/graph-runner.ts';
import type { Loss } from '../core/healing.ts';
import { waitingQueueOf } from '../core/names.ts';
import type { RereadInput, RereadResult } from '../core/plan-change.ts';
import { type LaunchContext, stepInput, undoInput } from '../core/step-input.ts';
import {
  type AdmitInput,
  type MachineInput,
  noNews,
  type StepReturn,
  type WatchInput,
  type WatchNews,
} from '../core/step-io.ts';
import type { LaunchStep, StepId } from '../core/steps.ts';
import { thrownView } from './failure-view.ts';

/** Three quick attempts, then the step is held. No schedule-to-close limit: a worker may be away for days. */
const OPTIONS = {
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '30 seconds',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  retry: { maximumAttempts: 3, initialInterval: '200 milliseconds', backoffCoefficient: 2 },
} as const satisfies ActivityOptions;

/**
 * Watching lasts as long as the bottle; it touches nothing, so nobody waits for it to notice that it was cancelled. Each of
 * its heartbeats is a write of the server's, so with a thousand bottles they must be rare: whose worker died is taken over
 * by the next one long before (takeover.ts). But a server that is so busy that it takes a second to note that a task has begun hands
 * it to nobody (temporalio/temporal, recordTaskStartedSyncMatchTimeout), and until this time is over nobody watches.
 */
const WATCH_OPTIONS = {
  startToCloseTimeout: '365 days',
  heartbeatTimeout: '1 minute',
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  retry: { initialInterval: '1 second', maximumInterval: '30 seconds' },
} as const satisfies ActivityOptions;

/** It reads a few files and is over at once, so it goes without a task of its own; a custom image may have to be built. */
const REREAD_OPTIONS = { startToCloseTimeout: '10 minutes', retry: { maximumAttempts: 1 } } as const;

/** It looks at a few things of one Engine, and a step that has failed waits for what it finds. */
const SURVEY_OPTIONS = {
  ...OPTIONS,
  startToCloseTimeout: '1 minute',
  cancellationType: ActivityCancellationType.TRY_CANCEL,
} as const satisfies ActivityOptions;

/** A launch may have to wait for days, and while it waits it has made nothing. */
const ADMIT_OPTIONS = WATCH_OPTIONS;

const NO_LOSS: Loss = { steps: [], why: {} };

type ActivityTable = Record<string, (input: unknown) => Promise<StepReturn<unknown>>>;

export interface StepActivities {
  run(step: string): Promise<StepOutcome>;
  undo(step: string): Promise<StepOutcome>;
  /** The undo of an adoption: nothing of the bottle is touched, and it is that of the launch before again. */
  giveBack(step: string): Promise<StepOutcome>;
  cancelRunning(): void;
  /** What is gone of what a step stands on that has failed; nothing where nobody can look. */
  survey(step: string): Promise<Loss>;
  /** Reads the manifest again. @throws ApplicationFailure with the error's view as its detail */
  reread(input: RereadInput): Promise<RereadResult>;
  /** Resolves when the host has room for the launch, or the launch is not to go on. */
  admit(input: AdmitInput): Promise<StepOutcome>;
  /**
   * Resolves with what happened in a ready bottle; undefined once it is being undone.
   * @param outdated whether it should watch for something else by now: it ends with no news then
   */
  watch(from: Omit<WatchInput, keyof MachineInput>, outdated: () => boolean): Promise<WatchNews | undefined>;
}

export function stepActivities(context: LaunchContext, steps: readonly LaunchStep[]): StepActivities {
  const specs = new Map<string, LaunchStep>(steps.map((spec) => [spec.id, spec]));
  const activities = proxyActivities<ActivityTable>(OPTIONS);
  const forward = new CancellationScope();

  async function call(activity: string, summary: string, input: () => unknown): Promise<StepOutcome> {
    try {
      const run = activities[activity] as (typeof activities)[string];
      const { attempt, value } = await run.executeWithOptions({ activityId: activity, summary }, [input()]);
      return { ok: true, attempts: attempt, value };
    } catch (error) {
      return failureOutcome(error);
    }
  }

  return {
    run: (step) =>
      forward.run(() =>
        call(step, (specs.get(step) as LaunchStep).summary, () => {
          const input = stepInput(step as StepId, context);
          if (input === undefined) throw new Error(`${step} has nothing to work from: an earlier step has no result`);
          return input;
        }),
      ),
    // Shielded here and not by the caller: a cancel request or an update starts it from within the workflow's own
    // scope, where a cancel request would end it at once.
    undo: (step) =>
      CancellationScope.nonCancellable(() => {
        const { undo } = specs.get(step) as LaunchStep;
        return call(undo as string, `Undo ${step}`, () => undoInput(context));
      }),
    giveBack: async (step) => {
      if (step !== 'prepare') return { ok: true, attempts: 1 };
      const input = { bottle: context.bottle, givesBack: true };
      return CancellationScope.nonCancellable(() => call('state.remove', 'Give the adopted bottle back', () => input));
    },
    cancelRunning: () => forward.cancel(),
    survey: (step) =>
      forward.run(async () => {
        const { survey } = proxyActivities<{ survey(input: unknown): Promise<StepReturn<Loss>> }>(SURVEY_OPTIONS);
        const options = { activityId: `survey.${step}`, summary: `Looking at what ${step} stands on` };
        try {
          return (await survey.executeWithOptions(options, [undoInput(context)])).value;
        } catch {
          // Then the step's own error stands.
          return NO_LOSS;
        }
      }),
    reread: async (input) => {
      const { reread } = proxyLocalActivities<{ reread(input: RereadInput): Promise<StepReturn<RereadResult>> }>(
        REREAD_OPTIONS,
      );
      return (await reread(input)).value;
    },
    admit: (input) =>
      forward.run(async () => {
        const { admit } = proxyActivities<{ admit(input: AdmitInput): Promise<StepReturn<null>> }>({
          ...ADMIT_OPTIONS,
          taskQueue: waitingQueueOf(workflowInfo().taskQueue),
        });
        try {
          await admit.executeWithOptions({ activityId: 'admit', summary: 'Waiting for room on the host' }, [input]);
          return { ok: true, attempts: 1 };
        } catch (error) {
          return failureOutcome(error);
        }
      }),
    watch: (from, outdated) =>
      forward.run(async () => {
        const { watch } = proxyActivities<{ watch(input: unknown): Promise<StepReturn<WatchNews>> }>({
          ...WATCH_OPTIONS,
          taskQueue: waitingQueueOf(workflowInfo().taskQueue),
        });
        const options = { activityId: 'watch', summary: 'Watching bundle and machine, and what the agent asks' };
        const scope = new CancellationScope();
        const begin = scope.run(() => watch.executeWithOptions(options, [{ ...undoInput(context), ...from }]));
        // Everything that goes back cancels the waiting too.
        condition(outdated).then(
          () => scope.cancel(),
          () => undefined,
        );
        try {
          return (await begin).value;
        } catch (error) {
          if (!isCancellation(error)) throw error;
          return forward.consideredCancelled ? undefined : noNews(from.cursor);
        }
      }),
  };
}

function failureOutcome(error: unknown): StepOutcome {
  if (isCancellation(error)) return { ok: 'cancelled' };
  const view = thrownView(error);
  // A bug here is the step's fault too: thrown on, it would fail the workflow task for ever, and nobody could decide anything.
  if (!(error instanceof ActivityFailure)) return { ok: false, attempts: 1, error: view };
  const { cause } = error;
  const detail =
    cause instanceof ApplicationFailure ? (cause.details?.[0] as { attempt?: number } | undefined) : undefined;
  return { ok: false, attempts: detail?.attempt ?? 1, error: view, lost: view.code === 'WORKER_LOST' };
}
