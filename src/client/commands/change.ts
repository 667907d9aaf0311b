/** `bottle reload` and `bottle apply`: secrets that were renewed, a manifest that has changed, under an open bottle. */
import { applyUpdate, reloadUpdate } from '../../workflows/messages.ts';
import { describeBottle, isOpen, noSuchBottle } from '../bottle-status.ts';
import type { Context } from '../context.ts';
import { clean } from '../render/text.ts';
import { withSession } from '../session.ts';
import { sendUpdate } from '../update.ts';
import { waitFor } from '../wait.ts';
import { assertWorker } from '../worker-presence.ts';

export async function run(context: Context, change: 'reload' | 'apply', id: string): Promise<number> {
  const { output, settings } = context;
  return withSession(context, async (session) => {
    const description = await describeBottle(session, id);
    if (!isOpen(description)) throw noSuchBottle(id, 'open bottle');
    await assertWorker(session, settings, description.taskQueue.replace(/^bottle@/, ''));
    const launch = { id, runId: description.runId };
    const answer = await sendUpdate(session, launch, change === 'apply' ? applyUpdate : reloadUpdate);
    output.note(clean(answer));
    return waitFor(session, launch, 'ready', output, { joining: true });
  });
}
