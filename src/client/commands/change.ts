/** `bottle reload` and `bottle apply`: secrets that were renewed, a manifest that has changed, under an open bottle. */
import { applyUpdate, reloadUpdate } from '../../workflows/messages.ts';
import type { Context } from '../context.ts';
import { matchLaunch } from '../match-launch.ts';
import { servedLaunch } from '../open-launch.ts';
import { clean } from '../render/text.ts';
import { SLOW_WORKER, sayIfSlow } from '../say-if-slow.ts';
import { withSession } from '../session.ts';
import { sendUpdate } from '../update.ts';
import { waitFor } from '../wait.ts';

export async function run(context: Context, change: 'reload' | 'apply', id: string): Promise<number> {
  const { output } = context;
  return withSession(context, async (session) => {
    const launch = await servedLaunch(session, context, id);
    await matchLaunch(session, context, launch);
    const answer = await sayIfSlow(output, SLOW_WORKER, () =>
      sendUpdate(session, launch, change === 'apply' ? applyUpdate : reloadUpdate),
    );
    output.note(clean(answer));
    return waitFor(session, launch, 'ready', output, { joining: true });
  });
}
