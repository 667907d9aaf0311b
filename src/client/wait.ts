/** Waits for one launch in the foreground, with progress and Ctrl-C, or shows it once as it is. */
import { fullState } from '../host/disk.ts';
import { type BottleRun, describeBottle, mergeStatus, queryStatus } from './bottle-status.ts';
import { conclude } from './conclude.ts';
import { stoppable } from './interrupt.ts';
import type { Output } from './output.ts';
import { progressFor } from './render/progress.ts';
import { SLOW_WORKER, sayIfSlow } from './say-if-slow.ts';
import type { Session } from './session.ts';
import { type Goal, untilSettled } from './settle.ts';

/** Exit code: 0 the goal is reached, 1 it ended otherwise, 3 held, 130 interrupted. */
export async function waitFor(
  session: Session,
  run: BottleRun,
  goal: Goal,
  output: Output,
  { joining = false }: { joining?: boolean } = {},
): Promise<number> {
  const since = Date.now();
  return stoppable(output, comeBack(run.id), async (signal) => {
    const progress = await progressFor(output, joining);
    const room = tellOfRoom(output, session);
    const settled = await untilSettled(session, run, goal, signal, progress.show).finally(() => {
      clearInterval(room);
      progress.done();
    });
    return conclude(settled, goal, output, since);
  });
}

/** The status as it is this moment, without waiting for anything. */
export async function showOnce(session: Session, run: BottleRun, output: Output): Promise<number> {
  // The first answer comes once the worker has taken the launch up; a client need not wait for that.
  const answer = await sayIfSlow(output, SLOW_WORKER, () => queryStatus(session, run).catch(() => undefined));
  const status = mergeStatus(answer, await describeBottle(session, run.id, run.runId), session);
  output.result(status, `${run.id} is ${status.phase}; follow it with: bottle status ${run.id} --watch`);
  return 0;
}

const ROOM_MS = 1500;

/** A launch whose server cannot write stands still and says nothing. */
function tellOfRoom(output: Output, { target }: Session): NodeJS.Timeout {
  let told = false;
  return setInterval(() => {
    const full = fullState(target);
    if (full !== undefined && !told) output.note(`note: ${full.message}; the launch waits (${full.hint})`);
    if (full === undefined && told) output.note('note: there is room on the disk again; the launch goes on');
    told = full !== undefined;
  }, ROOM_MS);
}

const comeBack = (id: string): string => `stopped watching; ${id} goes on. Come back with: bottle status ${id} --watch`;
