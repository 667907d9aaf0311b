/** `bottle requests`: what agents ask of the operator. */
import { exitCodeFor } from '../../core/errors.ts';
import type { RequestView } from '../../core/requests.ts';
import { describeBottle, queryStatus } from '../bottle-status.ts';
import type { Context } from '../context.ts';
import { listBottles } from '../list-bottles.ts';
import { openLaunch, placeOf, type ServedLaunch } from '../open-launch.ts';
import { requestLines } from '../render/requests-text.ts';
import { clean } from '../render/text.ts';
import { viewOf } from '../report-error.ts';
import { SLOW_WORKER, sayIfSlow } from '../say-if-slow.ts';
import { type Session, withSession } from '../session.ts';
import { assertWorker, type Poller, pollersOf } from '../worker-presence.ts';

/** One entry of `bottle requests --json`. */
export interface RequestRow extends RequestView {
  bottle: string;
}

export async function run(context: Context, id: string | undefined, options: { all?: boolean }): Promise<number> {
  const { output } = context;
  const all = options.all === true;
  const { rows, older, unknown } = await withSession(context, (session) =>
    sayIfSlow(output, SLOW_WORKER, async () => {
      if (id !== undefined) {
        const launch = await (all ? anyLaunch : openLaunch)(session, id);
        return { ...(await requestsOf(session, launch)), unknown: [] };
      }
      return requestsOfAll(session);
    }),
  );
  const shown = rows.filter(({ state }) => all || state === 'pending');
  // Whoever waits for an answer behind a worker that is not there must not be taken for nobody.
  for (const { bottle, error } of unknown) {
    const { message, hint } = viewOf(error);
    output.say(clean(`what ${bottle} asks is not known: ${message}${hint === undefined ? '' : ` (${hint})`}`));
  }
  if (all && older > 0) output.note(`${older} more were answered long ago and are kept no more`);
  if (shown.length === 0 && unknown.length === 0 && !output.flags.json) {
    output.note(
      all ? 'nobody has asked anything' : 'nobody waits for an answer; answered requests: bottle requests --all',
    );
  }
  output.result(shown, () =>
    shown.map((row) => requestLines(row.bottle, row, Date.now(), output.outColours).join('\n')).join('\n\n'),
  );
  return Math.max(0, ...unknown.map(({ error }) => exitCodeFor(viewOf(error).code)));
}

interface Answers {
  rows: RequestRow[];
  /** How many more were answered so long ago that they are kept no more. */
  older: number;
  /** Bottles whose requests could not be read, and why. */
  unknown: { bottle: string; error: unknown }[];
}

async function requestsOfAll(session: Session): Promise<Answers> {
  const pollers = new Map<string, Promise<Poller[]>>();
  const ask = (host: string): Promise<Poller[]> => {
    const asked = pollers.get(host) ?? pollersOf(session.client, host);
    pollers.set(host, asked);
    return asked;
  };
  const asked = (await listBottles(session, { all: false })).map(async ({ id: bottle }): Promise<Answers> => {
    try {
      return { ...(await requestsOf(session, await anyLaunch(session, bottle), ask)), unknown: [] };
    } catch (error) {
      return { rows: [], older: 0, unknown: [{ bottle, error }] };
    }
  });
  const answers = await Promise.all(asked);
  return {
    rows: answers.flatMap(({ rows }) => rows),
    older: answers.reduce((sum, { older }) => sum + older, 0),
    unknown: answers.flatMap(({ unknown }) => unknown),
  };
}

/** What was asked and answered can be read of a closed one too, as long as Temporal keeps it. */
async function anyLaunch(session: Session, id: string): Promise<ServedLaunch> {
  return placeOf(await describeBottle(session, id));
}

async function requestsOf(
  session: Session,
  launch: ServedLaunch,
  ask?: (host: string) => Promise<Poller[]>,
): Promise<Omit<Answers, 'unknown'>> {
  await assertWorker(session, session.settings, launch.host, launch.id, ask);
  const status = await queryStatus(session, launch);
  const rows = (status?.requests ?? []).map((request) => ({ bottle: launch.id, ...request }));
  return { rows, older: status?.olderRequests ?? 0 };
}
