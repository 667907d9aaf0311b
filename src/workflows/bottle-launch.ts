/**
 * BottleLaunch: brings a bottle up, keeps it, and takes it down again.
 * The order of steps, the holds and the undo are src/core/graph-runner.ts; this file only ties its ports to Temporal.
 */

import type { UpdateDefinition } from '@temporalio/common';
import {
  ApplicationFailure,
  allHandlersFinished,
  CancellationScope,
  CancelledFailure,
  condition,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { type CarriedLaunch, readCarried } from '../core/carried-launch.ts';
import { type Decision, type Ending, GraphRunner, type StepOutcome } from '../core/graph-runner.ts';
import { type LaunchInput, validateLaunch } from '../core/launch-input.ts';
import { detailsMarkdown, type LaunchIdentity, statusDocument } from '../core/launch-view.ts';
import { Observation } from '../core/observation.ts';
import type { StatusDocument, StopReason } from '../core/status.ts';
import type { AskedBefore, BundleResult, PrepareResult } from '../core/step-io.ts';
import { GRAPH_VERSION, launchSteps, type StepId } from '../core/steps.ts';
import { AnswerDelivery, endGrants, handleVerdict } from './agent-requests.ts';
import { inBackground } from './background.ts';
import { followNetwork, heal, lookBeneath } from './healing.ts';
import { endOfLifetime } from './limits.ts';
import { goOnAsNew, untilLong } from './long-life.ts';
import { handleChanges, manifestChanges } from './manifest-changes.ts';
import { abortUpdate, FAILURE, retryUpdate, skipUpdate, statusQuery, stopUpdate } from './messages.ts';
import { admitted, giveUpWaiting, isWaiting } from './queueing.ts';
import { stepActivities } from './step-activities.ts';
import { VisibleState } from './visible-state.ts';

/**
 * @param args one {@link LaunchInput}; anything else ends the workflow as FAILED with type `InvalidInput`
 * @returns the last status document of a stopped bottle
 * @throws ApplicationFailure `Aborted` with the held step's error as its cause; CancelledFailure after a cancel request
 */
export async function BottleLaunch(...args: unknown[]): Promise<StatusDocument> {
  const { workflowId, taskQueue, runId: currentRunId, firstExecutionRunId: runId, startTime } = workflowInfo();
  const { asked, carried } = takeIn(args);
  const input = validateLaunch(workflowId, taskQueue, asked);
  if (typeof input === 'string') throw ApplicationFailure.nonRetryable(input, FAILURE.invalidInput);

  const launch: LaunchIdentity = {
    id: workflowId,
    runId,
    currentRunId,
    agent: input.agent,
    host: taskQueue.slice('bottle@'.length),
    // Temporal knows it of this run alone.
    startedAt: carried === undefined ? startTime : new Date(carried.startedAt),
  };
  const graphVersion = carried?.graphVersion ?? GRAPH_VERSION;
  const observed = new Observation(carried?.observed);
  const answers = new AnswerDelivery(observed, carried?.delivery);
  const graph = launchSteps(input, graphVersion);
  const result = (step: StepId): unknown => runner.value(step);
  const bottle = { id: workflowId, runId };
  const steps = stepActivities(
    { bottle, input, askedAt: launch.startedAt.toISOString(), result, requests: answers.take },
    graph,
  );
  const visible = new VisibleState(launch, input.driver ?? null);
  const status = () => statusDocument(launch, runner, observed);
  const publish = () => visible.show(status());
  const runner: GraphRunner = new GraphRunner(
    graph,
    {
      run: async (step) => {
        const had = runner.value(step);
        let outcome = await steps.run(step);
        if (step === 'prepare')
          return admitted(takenOver(outcome, observed), {
            bottle,
            startTime: launch.startedAt,
            steps,
            observed,
            publish,
          });
        if (step === 'bundle' && answers.mustTellAll(outcome)) outcome = await steps.run(step);
        await lookBeneath(launched, step, outcome);
        if (step === 'network' && outcome.ok === true) followNetwork(launched, had, outcome.value);
        if (step === 'bundle' && outcome.ok === true) {
          observed.bundleReady(outcome.value as BundleResult, !answers.onlyAnswers);
          answers.onlyAnswers = false;
          answers.taken();
        }
        return outcome;
      },
      undo: (step) => (givesBack(runner, input) ? steps.giveBack(step) : steps.undo(step)),
      // What is kept of the bottle is of no use to the bridge, which begins to go only when all that stood on it is gone.
      undoesBeside: (step) =>
        step === 'prepare' && (runner.value(step) as PrepareResult | undefined)?.endsSideBySide === true,
      cancelRunning: steps.cancelRunning,
      publish,
      now: () => Date.now(),
    },
    carried?.graph,
  );

  const launched = { runner, steps, observed, publish };
  const changes = manifestChanges(runner, steps, { bottle, input });
  setHandler(statusQuery, status, { description: 'The status document of the bottle' });
  handleDecision(
    runner,
    'retry',
    retryUpdate,
    'Run the held step again, in place, with what is on disk now (argument: a step id, or none)',
    {
      before: () => changes.takeOver('retry'),
      taken: () => observed.healings.forgive(),
      elseAct: {
        when: (target) => target === undefined && observed.healings.waits && runner.held().length === 0,
        act: () => {
          observed.healings.hurry();
          return 'what was lost, without waiting';
        },
      },
    },
  );
  handleDecision(runner, 'skip', skipUpdate, 'Treat the held step as done (argument: a step id, or none)');
  handleDecision(runner, 'abort', abortUpdate, 'Give up: undo everything and fail (argument: a step id, or none)', {
    elseAct: {
      when: () => isWaiting(runner, observed),
      act: () => {
        giveUpWaiting(runner, observed);
        return 'prepare';
      },
    },
  });
  handleVerdict(observed.book, publish);
  handleChanges(runner, changes);
  setHandler(stopUpdate, () => stop(runner, 'stopped'), {
    description: 'Stop the bottle: undo everything and complete',
  });

  CancellationScope.current().cancelRequested.catch(() => stop(runner, 'cancelled'));
  // A cancel request means "undo", which must itself not be cancelled; the steps have a scope of their own.
  const ending = await CancellationScope.nonCancellable(async () => {
    inBackground(runner, 'machine.start', () =>
      heal({ ...launched, restoreState: () => changes.takeOver('retry') }, launch.startedAt, () =>
        endBySelf(runner, observed, 'idle'),
      ),
    );
    inBackground(runner, 'bundle', () => answers.deliver(runner));
    inBackground(runner, 'bundle', () => endGrants(observed.book, publish));
    inBackground(runner, 'check', () => endOfLifetime(runner, () => endBySelf(runner, observed, 'lifetime')));
    // A cancel request stays with the run it came to, so that one has to carry it out.
    // And a healing that waits its turn would begin at once in another run.
    const waits = () => runner.ending?.kind === 'cancelled' || observed.healings.waits;
    const mayEnd = () => runner.isAtRest && !waits() && allHandlersFinished();
    const ended = runner.run();
    for (;;) {
      const over = await Promise.race([ended, untilLong(mayEnd)]);
      if (over !== undefined) {
        await condition(allHandlersFinished);
        return over;
      }
      if (!mayEnd()) continue;
      const knows = { graph: runner.snapshot(), observed: observed.snapshot(), delivery: answers.snapshot() };
      return goOnAsNew(input, { form: 1, startedAt: launch.startedAt.toISOString(), graphVersion, ...knows });
    }
  });
  return conclude(ending, () => {
    setCurrentDetails(detailsMarkdown(status()));
    return status();
  });
}

/** The one argument that a launch is asked for by, and what a run before this one carried over. */
function takeIn(args: readonly unknown[]): { asked: readonly unknown[]; carried?: CarriedLaunch } {
  if (workflowInfo().continuedFromExecutionRunId === undefined) return { asked: args };
  // One that does not fit fails the workflow task, which waits for a worker that knows it.
  return { asked: args.slice(0, 1), carried: readCarried(args[1]) };
}

interface DecisionWork {
  /** Before the decision is taken. */
  before?: () => Promise<unknown>;
  /** As it is taken. */
  taken?: () => void;
  /** What the decision means where no step needs to be held. `act` gives in words what it was taken for. */
  elseAct?: { when: (target: unknown) => boolean; act: () => string };
}

function handleDecision(
  runner: GraphRunner,
  decision: Decision,
  update: UpdateDefinition<string, [step?: string]>,
  description: string,
  { before, taken, elseAct }: DecisionWork = {},
): void {
  const refuse = (refusal: string | undefined): void => {
    if (refusal !== undefined) throw ApplicationFailure.nonRetryable(refusal, FAILURE.notHeld);
  };
  setHandler<string, [step?: string], UpdateDefinition<string, [step?: string]>>(
    update,
    async (step) => {
      if (elseAct?.when(step ?? undefined) === true) return `${decision}: ${elseAct.act()}`;
      await before?.();
      // Somebody else may have decided while the files were read.
      refuse(runner.refusal(decision, step ?? undefined));
      taken?.();
      return `${decision}: ${runner.decide(decision, step ?? undefined).join(', ')}`;
    },
    {
      description,
      validator: (step) => {
        // The Temporal UI sends whatever a person typed: nothing, null or any JSON.
        const target: unknown = step ?? undefined;
        if (elseAct?.when(target) === true) return;
        const named = target === undefined || typeof target === 'string';
        refuse(named ? runner.refusal(decision, target) : 'step: expected a step id, or nothing');
      },
    },
  );
}

/** Whether an adoption is given up: a person's work in the bottle is no part of what the launch has made. */
const givesBack = ({ ending, readyAt }: GraphRunner, { adopts }: LaunchInput): boolean =>
  adopts !== undefined && ending?.kind === 'aborted' && readyAt === undefined;

/** What `prepare` tells of an adopted bottle's requests is the book's from now on, and carried with it alone. */
function takenOver(outcome: StepOutcome, observed: Observation): StepOutcome {
  if (outcome.ok !== true || (outcome.value as PrepareResult).asked === undefined) return outcome;
  const { asked, ...value } = outcome.value as PrepareResult & { asked: AskedBefore };
  observed.adopt(asked);
  return { ...outcome, value };
}

function endBySelf(runner: GraphRunner, observed: Observation, reason: StopReason): void {
  if (!runner.isEnding) observed.stoppedBy = reason;
  runner.stop('stopped');
}

function stop(runner: GraphRunner, kind: 'stopped' | 'cancelled'): string {
  runner.stop(kind);
  return 'stopping: everything is being undone';
}

function conclude(ending: Ending, lastStatus: () => StatusDocument): StatusDocument {
  const status = lastStatus();
  if (ending.kind === 'stopped') return status;
  if (ending.kind === 'cancelled') throw new CancelledFailure('the bottle was cancelled and everything undone');
  const { code, message, hint } = ending.error;
  throw ApplicationFailure.create({
    type: FAILURE.aborted,
    nonRetryable: true,
    message: `aborted at ${ending.step}; everything was undone`,
    cause: ApplicationFailure.create({ type: code, message, nonRetryable: true, details: [{ code, message, hint }] }),
  });
}
