/** `bottle requests`: what agents ask of the operator. */
import type { RequestView } from '../../core/requests.ts';
import { describeBottle, queryStatus } from '../bottle-status.ts';
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

interface OpenBottle {
  id: string;
  runId?: string;
}

/** What was asked and answered can be read of a closed one too, as long as Temporal keeps it. */
async function anyLaunch(session: Session, id: string): Promise<OpenBottle> {
  return { id, runId: (await describeBottle(session, id)).runId };
}

const openBottles = async (session: Session): Promise<OpenBottle[]> =>
  (await listBottles(session, { all: false })).map(({ id }) => ({ id }));

async function requestsOf(session: Session, { id, runId }: OpenBottle): Promise<RequestRow[]> {
  const run = { id, runId: runId ?? (await describeBottle(session, id)).runId };
  const status = await queryStatus(session, run);
  return (status?.requests ?? []).map((request) => ({ bottle: id, ...request }));
}
