/** A person's word that a launch is to be undone. */
import { stopUpdate } from '../workflows/messages.ts';
import type { ServedLaunch } from './open-launch.ts';
import type { Output } from './output.ts';
import type { Troubles } from './render/troubles.ts';
import { viewOf } from './report-error.ts';
import type { Session } from './session.ts';
import { type LastHeard, sendUpdate } from './update.ts';

/**
 * Returns once it is being undone. Whoever follows it then sees how it ended, also where it was over before this was answered;
 * one that is stopping already answers the same way.
 * @param launch was open a moment ago
 * @throws BottleError as `sendUpdate`
 */
export async function stopLaunch(
  session: Session,
  output: Output,
  launch: ServedLaunch,
  troubles?: Troubles,
  heard?: LastHeard,
): Promise<void> {
  try {
    await sendUpdate(session, output, launch, stopUpdate, [], troubles, heard);
  } catch (error) {
    if (viewOf(error).code !== 'NO_SUCH_BOTTLE') throw error;
  }
}
