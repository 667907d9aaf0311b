/** Takes an open bottle down before another of the same id takes its place. */
import { describeBottle, isOpen } from './bottle-status.ts';
import { exitCodeOf, tellTrouble } from './conclude.ts';
import type { Context } from './context.ts';
import { ensureServed } from './engine.ts';
import { stoppable } from './interrupt.ts';
import { placeOf } from './open-launch.ts';
import { progressFor } from './render/progress.ts';
import { viewOf } from './report-error.ts';
import type { Session } from './session.ts';
import { untilSettled } from './settle.ts';
import { stopLaunch } from './stop-launch.ts';

/** @returns 0 when nothing of it is left, also when there was none; else the exit code to end with */
export async function takeDownFirst({ output }: Context, session: Session, id: string): Promise<number> {
  const description = await describeBottle(session, id).catch((error: unknown) => {
    if (viewOf(error).code === 'NO_SUCH_BOTTLE') return undefined;
    throw error;
  });
  if (description === undefined || !isOpen(description)) return 0;
  const launch = placeOf(description);
  output.note(`taking ${id} down first`);
  await ensureServed(session, output, launch.host, id);
  await stopLaunch(session, output, launch);
  return stoppable(
    output,
    `stopped watching; the undo of ${id} goes on, and nothing takes its place`,
    async (signal) => {
      const progress = await progressFor(output, true);
      const settled = await untilSettled(session, launch, 'gone', signal, progress.show).finally(progress.done);
      const code = exitCodeOf(settled, 'gone');
      if (code !== 0) {
        tellTrouble(settled, 'gone', output);
        output.result(settled.status, '');
      }
      return code;
    },
  );
}
