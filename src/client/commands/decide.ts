/** `bottle retry`, `skip` and `abort`: decide a hold, then wait as `up` does. */
import type { UpdateDefinition } from '@temporalio/common';
import { addAnswers, readAnswers, readPlan } from '../../host/bottle-state.ts';
import type { Settings } from '../../host/settings.ts';
import { abortUpdate, retryUpdate, skipUpdate } from '../../workflows/messages.ts';
import { queryStatus } from '../bottle-status.ts';
import type { Context } from '../context.ts';
import { withEngine } from '../engine.ts';
import { matchLaunch } from '../match-launch.ts';
import { servedLaunch } from '../open-launch.ts';
import { askOperator } from '../questions.ts';
import { clean } from '../render/text.ts';
import { SLOW_WORKER, sayIfSlow } from '../say-if-slow.ts';
import { isGoingDown } from '../settle.ts';
import { sendUpdate } from '../update.ts';
import { waitFor } from '../wait.ts';

type Decision = 'retry' | 'skip' | 'abort';

const UPDATES: Record<Decision, UpdateDefinition<string, [step?: string]>> = {
  retry: retryUpdate,
  skip: skipUpdate,
  abort: abortUpdate,
};

export async function run(context: Context, decision: Decision, id: string, step: string | undefined): Promise<number> {
  const { output, settings } = context;
  return withEngine(context, async (session) => {
    const launch = await servedLaunch(session, output, id);
    if (decision === 'retry') {
      await matchLaunch(session, context, launch);
      await answerOpenQuestions(settings, id);
    }
    const answer = await sendUpdate(session, output, launch, UPDATES[decision], step === undefined ? [] : [step]);
    output.note(clean(answer));
    const now = await sayIfSlow(output, SLOW_WORKER, () => queryStatus(session, launch).catch(() => undefined));
    const goal = decision === 'abort' || (now !== undefined && isGoingDown(now)) ? 'gone' : 'ready';
    return waitFor(session, launch, goal, output, { joining: true });
  });
}

/** What the manifest asks and nobody has answered yet, such as for a launch that the Temporal UI has started. */
async function answerOpenQuestions(settings: Settings, id: string): Promise<void> {
  const [plan, known] = await Promise.all([readPlan(settings, id), readAnswers(settings, id)]);
  if (plan === undefined) return;
  // Without a terminal the step is held again, and says what is missing.
  const answers = await askOperator(plan, known).catch(() => ({}));
  if (Object.keys(answers).length > 0) await addAnswers(settings, id, answers);
}
