/**
 * A launch lives for as long as its bottle, its history must not: the server ends a workflow with 51,200 events, undoing nothing.
 * So a run that has grown long ends at rest, and the launch goes on in another with all it knows (carried-launch.ts).
 */
import { condition, makeContinueAsNewFunc, patched, workflowInfo } from '@temporalio/workflow';
import type { CarriedLaunch } from '../core/carried-launch.ts';
import type { LaunchInput } from '../core/launch-input.ts';
import type { LaunchMemo } from '../core/status.ts';

/** Far below what the server suggests at (4,096 events, 4 MiB): a launch that is busy has to come to rest first. */
const MOST_EVENTS = 2000;
const MOST_BYTES = 1024 ** 2;
const GOES_ON_AS_NEW = 'goes-on-as-new';

/**
 * Resolves once the run has grown long and may end. A history of before there was such an end replays as it was, and ends at
 * its next rest.
 * @param mayEnd nothing is under way that another run could not take up
 */
export async function untilLong(mayEnd: () => boolean): Promise<void> {
  // What was carried over counts for nothing: were it more than a run may grow, each would end at once.
  const bytesAtStart = workflowInfo().historySize;
  const isLong = (): boolean => {
    const { historyLength, historySize, continueAsNewSuggested } = workflowInfo();
    const suggested = continueAsNewSuggested && historyLength > LEAST_EVENTS;
    return suggested || historyLength >= MOST_EVENTS || historySize - bytesAtStart >= MOST_BYTES;
  };
  for (;;) {
    await condition(() => isLong() && mayEnd());
    await untilQuiet();
    if (mayEnd() && patched(GOES_ON_AS_NEW)) return;
    const { historyLength } = workflowInfo();
    await condition(() => workflowInfo().historyLength !== historyLength);
  }
}

/** More steps of promises than anything here takes between two things that come from outside. */
const STEPS_TO_QUIET = 100;

/**
 * Lets all that the same task has told come to its end first: a death that the watch has found sets the launch going again, and an
 * update that was taken is carried out. After it nothing moves by itself.
 */
async function untilQuiet(): Promise<void> {
  for (let step = 0; step < STEPS_TO_QUIET; step += 1) await Promise.resolve();
}

/** Fewer come before any launch has done anything. */
const LEAST_EVENTS = 100;

/**
 * Ends this run, and has the launch go on in another.
 * @throws ContinueAsNew always; it must leave the workflow uncaught
 */
export async function goOnAsNew(input: LaunchInput, carried: CarriedLaunch): Promise<never> {
  const { memo, typedSearchAttributes } = workflowInfo();
  const kept: Partial<LaunchMemo> = { startedAt: carried.startedAt };
  return makeContinueAsNewFunc<(input: LaunchInput, carried: CarriedLaunch) => Promise<unknown>>({
    memo: { ...memo, ...kept },
    // The server has others of its own, which it lets nobody set.
    typedSearchAttributes: typedSearchAttributes.getAll().filter(({ key }) => key.name.startsWith('Bottle')),
  })(input, carried);
}
