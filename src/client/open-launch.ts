/** The open launch of a bottle that somebody names. */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import { type BottleRun, describeBottle, hostOf, isOpen, launchOf, noSuchBottle } from './bottle-status.ts';
import { overAnOutage } from './care.ts';
import { ensureServed } from './engine.ts';
import type { Output } from './output.ts';
import type { Session } from './session.ts';

export type ServedLaunch = BottleRun & { host: string };

/** @throws BottleError `NO_SUCH_BOTTLE`, `INVALID_ID` */
export async function openLaunch(session: Session, id: string): Promise<ServedLaunch> {
  const description = await describeBottle(session, id);
  if (!isOpen(description)) throw noSuchBottle(id, 'open bottle');
  return placeOf(description);
}

/** Which launch it is, and where. */
export const placeOf = (description: WorkflowExecutionDescription): ServedLaunch => ({
  ...launchOf(description),
  host: hostOf(description),
});

/** One that a worker will answer for. @throws BottleError as {@link openLaunch}, and what {@link ensureServed} throws */
export async function servedLaunch(session: Session, output: Output, id: string): Promise<ServedLaunch> {
  const launch = await overAnOutage(session, output, () => openLaunch(session, id));
  await ensureServed(session, output, launch.host, id);
  return launch;
}
