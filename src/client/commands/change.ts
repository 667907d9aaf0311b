/** `bottle reload` and `bottle apply`: secrets that were renewed, a manifest that has changed, under an open bottle. */
import { applyUpdate, reloadUpdate } from '../../workflows/messages.ts';
import type { Context } from '../context.ts';
import { withEngine } from '../engine.ts';
import { matchLaunch } from '../match-launch.ts';
import { servedLaunch } from '../open-launch.ts';
import { clean } from '../render/text.ts';
import { sendUpdate } from '../update.ts';
import { waitFor } from '../wait.ts';

export async function run(context: Context, change: 'reload' | 'apply', id: string): Promise<number> {
  const { output } = context;
  return withEngine(context, async (session) => {
    const launch = await servedLaunch(session, output, id);
    await matchLaunch(session, context, launch);
    const answer = await sendUpdate(session, output, launch, change === 'apply' ? applyUpdate : reloadUpdate);
    output.note(clean(answer));
    return waitFor(session, launch, 'ready', output, { joining: true });
  });
}
