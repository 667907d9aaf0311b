/** What a launch does beside its steps: watching, handing on answers, ending grants. Nothing waits for it, so nothing hears it fail. */
import { condition, isCancellation, log } from '@temporalio/workflow';
import type { GraphRunner } from '../core/graph-runner.ts';
import { thrownView } from './failure-view.ts';

/**
 * Does work that lasts as long as the bottle. When it fails, the step whose making it looks after is held with the error; once
 * that is done again, or skipped, the work is tried again. (An error that nobody catches fails the workflow task, at each replay anew: no update
 * would ever be answered.)
 * @param step is held when the work fails
 */
export function inBackground(runner: GraphRunner, step: string, work: () => Promise<void>): void {
  void keepAtIt(runner, step, work);
}

async function keepAtIt(runner: GraphRunner, step: string, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (runner.isEnding || isCancellation(error)) return;
      const view = thrownView(error);
      log.error(`the work beside ${step} has failed: ${view.code} ${view.message}`);
      runner.blame(step, view);
      await condition(() => runner.stands(step) || runner.isEnding);
      if (runner.isEnding) return;
    }
  }
}
