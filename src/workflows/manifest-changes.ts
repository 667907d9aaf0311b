/** A manifest that changes under a launch, inside a BottleLaunch: what `retry` and `apply` take over of it, and `reload`. */
import { ActivityFailure, ApplicationFailure, condition, patched, setHandler } from '@temporalio/workflow';
import type { GraphRunner } from '../core/graph-runner.ts';
import type { LaunchInput } from '../core/launch-input.ts';
import type { RereadInput } from '../core/plan-change.ts';
import { bottleRef } from '../core/step-input.ts';
import type { BottleRef, NetworkFacts, PrepareResult } from '../core/step-io.ts';
import { failureView } from './failure-view.ts';
import { applyUpdate, FAILURE, reloadUpdate } from './messages.ts';
import type { StepActivities } from './step-activities.ts';

export interface ManifestChanges {
  /**
   * Has the steps that start from now on work from what the files say now.
   * @returns done steps that have to run again for it
   * @throws ApplicationFailure `Refused` when the files are wrong, or what is done cannot take it
   */
  takeOver(mode: RereadInput['mode']): Promise<string[]>;
}

export function manifestChanges(
  runner: GraphRunner,
  steps: StepActivities,
  launch: { bottle: BottleRef; input: LaunchInput },
): ManifestChanges {
  return {
    takeOver: async (mode) => {
      const prepared = runner.value('prepare') as PrepareResult | undefined;
      const network = runner.value('network') as NetworkFacts | undefined;
      // What is not there yet is made from what the files say then; what is being undone needs no plan any more.
      if (prepared === undefined || network === undefined || runner.isEnding) return [];
      const { bottle, input } = launch;
      const built = runner.built();
      const { plan } = prepared;
      const found = await steps
        .reread({ bottle: bottleRef(bottle, prepared), launch: input, plan, network, mode, built })
        .catch((error: unknown) => Promise.reject(asRefusal(error)));
      if (found.plan !== null) runner.amend('prepare', { ...prepared, plan: found.plan });
      return found.again;
    },
  };
}

/**
 * A step that is under way works from what was before. Older histories waited for its end, by when it might have begun anew with
 * what is new, and then ran once too often.
 */
const reachesWhatRuns = (): boolean => patched('reaches-what-runs');

/** The updates `apply` and `reload`. */
export function handleChanges(runner: GraphRunner, changes: ManifestChanges): void {
  setHandler(
    applyUpdate,
    async () => {
      const again = await changes.takeOver('apply');
      const refreshes = reachesWhatRuns();
      if (!refreshes) await condition(() => !again.some((step) => runner.isRunning(step)));
      const held = runner.held();
      if (held.length > 0 && !runner.isEnding) runner.decide('retry');
      if (refreshes) runner.refresh(again);
      else runner.renew(again);
      const steps = [...new Set([...held, ...again])];
      return steps.length === 0 ? 'apply: nothing has changed' : `apply: ${steps.join(', ')}`;
    },
    {
      description: 'Take over what has changed in the manifest: just the steps whose part changed run again',
      validator: () => refuseWhileEnding(runner),
    },
  );
  setHandler(
    reloadUpdate,
    async () => {
      if (reachesWhatRuns()) runner.refresh(['bundle']);
      else {
        await condition(() => !runner.isRunning('bundle'));
        runner.renew(['bundle']);
      }
      return 'reload: bundle';
    },
    {
      description: 'Read the secrets again and hand them to the daemons; the machine is not touched',
      validator: () => {
        refuseWhileEnding(runner);
        const there = runner.isDone('bundle') || runner.isRunning('bundle');
        if (!there) throw ApplicationFailure.nonRetryable('there is no bundle yet', FAILURE.notHeld);
      },
    },
  );
}

function refuseWhileEnding(runner: GraphRunner): void {
  if (runner.isEnding) throw ApplicationFailure.nonRetryable('everything is being undone', FAILURE.notHeld);
}

function asRefusal(error: unknown): unknown {
  // A local activity's failure comes as it is, without an ActivityFailure around it.
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (!(cause instanceof ApplicationFailure)) return error;
  return ApplicationFailure.create({
    type: FAILURE.refused,
    nonRetryable: true,
    message: cause.message,
    details: [failureView(cause)],
  });
}
