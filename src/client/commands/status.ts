/** `bottle status`: every step of one bottle. */
import type { StatusDocument } from '../../core/status.ts';
import { fullState } from '../../host/disk.ts';
import { describeBottle, failureText, hostOf, isOpen, launchOf, mergeStatus, queryStatus } from '../bottle-status.ts';
import type { Context } from '../context.ts';
import { engineSilence } from '../engine-silence.ts';
import { stoppable } from '../interrupt.ts';
import { progressFor } from '../render/progress.ts';
import { statusText } from '../render/status-text.ts';
import { errorLines } from '../report-error.ts';
import { SLOW_WORKER, sayIfSlow } from '../say-if-slow.ts';
import { withSession } from '../session.ts';
import { untilSettled } from '../settle.ts';
import { assertWorker } from '../worker-presence.ts';

/** Exit code: 0 when it could be told; the phase is in the document. */
export async function run(context: Context, id: string, options: { watch?: boolean }): Promise<number> {
  const { output, settings } = context;
  return withSession(context, async (session) => {
    const description = await describeBottle(session, id);
    const launch = launchOf(description);
    const show = async (status: StatusDocument): Promise<number> => {
      const failed = status.phase === 'failed' && !output.flags.json;
      const failure = failed ? await failureText(session, await describeBottle(session, id, launch.runId)) : undefined;
      const here = status.host === settings.host && isOpen(description);
      const engineError = here ? await engineSilence(settings) : undefined;
      const full = here && status.trouble === undefined ? fullState(session.target)?.view() : undefined;
      const document: StatusDocument = {
        ...status,
        ...(full === undefined ? {} : { trouble: full }),
        ...(engineError === undefined ? {} : { engineError }),
      };
      output.result(document, () => statusText(document, { now: Date.now(), colours: output.outColours, failure }));
      if (engineError !== undefined && !output.flags.json) for (const line of errorLines(engineError)) output.say(line);
      return 0;
    };
    if (options.watch === true && isOpen(description)) {
      const comeBack = `stopped watching. Come back with: bottle status ${id} --watch`;
      return stoppable(output, comeBack, async (signal) => {
        const progress = await progressFor(output, false);
        const settled = await untilSettled(session, launch, 'ready', signal, progress.show).finally(progress.done);
        return show(settled.status);
      });
    }
    await assertWorker(session, settings, hostOf(description), id);
    const answer = await sayIfSlow(output, SLOW_WORKER, () => queryStatus(session, launch));
    return show(mergeStatus(answer, description, session));
  });
}
