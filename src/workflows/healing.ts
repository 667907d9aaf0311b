/** What dies under a launch is made again, inside a BottleLaunch: found by the watch, or by a look when a step fails. */
import { ApplicationFailure, condition, isCancellation, patched } from '@temporalio/workflow';
import { mayPass } from '../core/errors.ts';
import type { GraphRunner, StepOutcome } from '../core/graph-runner.ts';
import type { Observation } from '../core/observation.ts';
import type { NetworkFacts, PrepareResult, WatchNews } from '../core/step-io.ts';
import { dependentsOf } from '../core/steps.ts';
import { failureView, thrownView } from './failure-view.ts';
import type { StepActivities } from './step-activities.ts';

/** Asked only once something has failed, so that a launch in which nothing does has not one event more. */
const healsAtAnyMoment = (): boolean => patched('heals-at-any-moment');

export interface Heard {
  runner: GraphRunner;
  steps: Pick<StepActivities, 'survey' | 'watch'>;
  observed: Observation;
  publish(): void;
}

export interface Healed extends Heard {
  /** Writes anew what the host keeps of the launch. @throws ApplicationFailure when the files do not say any more what it was made from */
  restoreState(): Promise<unknown>;
}

/**
 * Looks, when a step has failed for good, at what it stands on. What is gone is made again, and the step runs again on that;
 * unless it is gone each time.
 */
export async function lookBeneath(
  { runner, steps, observed }: Heard,
  step: string,
  outcome: StepOutcome,
): Promise<void> {
  if (outcome.ok !== false || outcome.lost === true || !mayPass(outcome.error)) return;
  if (runner.isEnding || runner.value('prepare') === undefined || !healsAtAnyMoment()) return;
  const stood = runner.built().filter((id) => runner.stands(id));
  const { steps: gone, why } = await steps.survey(step);
  // What was just being made was not there yet, which is no loss.
  const made = gone.filter((id) => runner.stands(id) && !stood.includes(id));
  const lost = Object.keys(why).filter((id) => stood.includes(id) && runner.stands(id));
  if (lost.length === 0 || observed.healings.isTooOften(Date.now())) return;
  observed.healings.lose(wordsOf(why, lost), Date.now(), 0);
  observed.healings.mend();
  runner.rebuild(
    gone.filter((id) => !made.includes(id)),
    healsAtAnyMoment,
  );
}

const wordsOf = (why: Readonly<Record<string, string>>, steps: readonly string[]): string[] =>
  steps.flatMap((step) => why[step] ?? []);

/** A network that had to be made on other addresses: what was told of them is told anew. */
export function followNetwork({ runner }: Pick<Heard, 'runner'>, before: unknown, made: unknown): void {
  const [had, has] = [before, made] as (NetworkFacts | undefined)[];
  if (had === undefined || had.subnet === has?.subnet) return;
  runner.rebuild(dependentsOf('network'), healsAtAnyMoment);
}

/** What hangs on what the host keeps of a bottle: secrets that were answered, what the agent has asked, the CA's key. */
const FROM_STATE = ['bundle', 'provision.ca', 'check'];

/** What the host keeps of the bottle is gone, or there again: what can be made again of it is, and the rest is asked for. */
async function mendState(heard: Healed, news: WatchNews): Promise<void> {
  const { runner, observed, publish, restoreState } = heard;
  try {
    if (news.state === 'gone') await restoreState();
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { code, message, hint } = error instanceof ApplicationFailure ? failureView(error) : thrownView(error);
    observed.keepsState({
      code: 'STATE_MISSING',
      message: `what the host keeps of the bottle is gone, and cannot be made again: ${code} ${message}`,
      ...(hint === undefined ? {} : { hint }),
    });
    return publish();
  }
  observed.keepsState(undefined);
  publish();
  await makeAgain({ runner, observed }, { ...news, steps: FROM_STATE, why: { bundle: 'what the host keeps is gone' } });
}

/**
 * While the bottle is ready, or held with bundle and machine made, watches what can die and what the agent asks, and has
 * what died made again.
 * @param idle called when the bottle has been idle for as long as it may
 */
export async function heal(heard: Healed, begun: Date, idle: () => void): Promise<void> {
  const { runner, steps, observed, publish } = heard;
  for (;;) {
    await condition(() => runner.phase === 'ready' || (isHeldWhole(runner) && healsAtAnyMoment()));
    const idleLimit = (): number | null =>
      runner.readyAt === undefined ? null : (runner.value('prepare') as PrepareResult).plan.limits.idleMs;
    const idleMs = idleLimit();
    const killsSince = new Date(runner.readyAt ?? begun).toISOString();
    const news = await steps.watch({ ...observed.watchFrom(), killsSince, idleMs }, () => idleLimit() !== idleMs);
    if (news === undefined) return;
    if (news.idle === true) return idle();
    observed.take(news);
    publish();
    if (news.state === undefined) await makeAgain({ runner, observed }, news);
    else await mendState(heard, news);
  }
}

const isHeldWhole = (runner: GraphRunner): boolean =>
  runner.held().length > 0 && runner.isDone('bundle') && runner.isDone('machine.start');

async function makeAgain(
  { runner, observed }: Pick<Heard, 'runner' | 'observed'>,
  { steps, why = {}, stoodMs }: WatchNews,
): Promise<void> {
  if (steps.length === 0) return;
  // One that is under way has its own view of what is there.
  const lost = steps.filter((step) => runner.stands(step));
  const words = wordsOf(why, lost);
  const wait = words.length === 0 ? 0 : observed.healings.lose(words, Date.now(), stoodMs);
  if (wait > 0) {
    runner.rebuild(steps, healsAtAnyMoment, false);
    await condition(() => runner.isEnding || !observed.healings.waits, wait);
  }
  observed.healings.mend();
  if (wait > 0) runner.proceed();
  else runner.rebuild(steps, healsAtAnyMoment);
}
