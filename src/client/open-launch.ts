/** The open launch of a bottle that somebody names. */
import { type BottleRun, describeBottle, isOpen, launchOf, noSuchBottle } from './bottle-status.ts';
import type { Context } from './context.ts';
import type { Session } from './session.ts';
import { assertWorker } from './worker-presence.ts';

/** @throws BottleError `NO_SUCH_BOTTLE`, `INVALID_ID` */
export async function openLaunch(session: Session, id: string): Promise<BottleRun & { host: string }> {
  const description = await describeBottle(session, id);
  if (!isOpen(description)) throw noSuchBottle(id, 'open bottle');
  return { ...launchOf(description), host: description.taskQueue.replace(/^bottle@/, '') };
}

/** One that a worker will answer for. @throws BottleError as {@link openLaunch}, and what assertWorker throws */
export async function servedLaunch(
  session: Session,
  { settings }: Context,
  id: string,
): Promise<BottleRun & { host: string }> {
  const { runId, host } = await openLaunch(session, id);
  await assertWorker(session, settings, host, id);
  return { id, runId, host };
}
