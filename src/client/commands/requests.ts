/** `bottle requests`: what agents ask of the operator. */
import type { RequestView } from '../../core/requests.ts';
import { type BottleRun, describeBottle, launchOf, queryStatus } from '../bottle-status.ts';
import type { Context } from '../context.ts';
import { listBottles } from '../list-bottles.ts';
import { openLaunch } from '../open-launch.ts';
import { requestLines } from '../render/requests-text.ts';
import { type Session, withSession } from '../session.ts';

/** One entry of `bottle requests --json`. */
export interface RequestRow extends RequestView {
  bottle: string;
}

export async function run(context: Context, id: string | undefined, options: { all?: boolean }): Promise<number> {
  const { output } = context;
  const all = options.all === true;
  const rows = await withSession(context, async (session) => {
    const bottles = id === undefined ? await openBottles(session) : [await (all ? anyLaunch : openLaunch)(session, id)];
    const each = await Promise.all(bottles.map((bottle) => requestsOf(session, bottle)));
    return each.flat().filter(({ state }) => all || state === 'pending');
  });
  if (rows.length === 0 && !output.flags.json) {
    output.note(
      all ? 'nobody has asked anything' : 'nobody waits for an answer; answered requests: bottle requests --all',
    );
  }
  output.result(rows, () =>
    rows.map((row) => requestLines(row.bottle, row, Date.now(), output.outColours).join('\n')).join('\n\n'),
  );
  return 0;
}

/** What was asked and answered can be read of a closed one too, as long as Temporal keeps it. */
const anyLaunch = async (session: Session, id: string): Promise<BottleRun> =>
  launchOf(await describeBottle(session, id));

async function openBottles(session: Session): Promise<BottleRun[]> {
  const rows = await listBottles(session, { all: false });
  return Promise.all(rows.map(({ id }) => anyLaunch(session, id)));
}

async function requestsOf(session: Session, run: BottleRun): Promise<RequestRow[]> {
  const status = await queryStatus(session, run);
  return (status?.requests ?? []).map((request) => ({ bottle: run.id, ...request }));
}
