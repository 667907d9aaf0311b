/** `bottle down`: undo everything of one or more bottles, and return when it is gone. */
import { BottleError, exitCodeFor } from '../../core/errors.ts';
import { bottlesHere } from '../../host/host-pin.ts';
import { stopUpdate } from '../../workflows/messages.ts';
import { exitCodeOf, resultLine, tellTrouble } from '../conclude.ts';
import type { Context } from '../context.ts';
import { stoppable } from '../interrupt.ts';
import { listBottles } from '../list-bottles.ts';
import { servedLaunch } from '../open-launch.ts';
import { type Progress, plainProgress, progressFor } from '../render/progress.ts';
import { clean } from '../render/text.ts';
import { reportError, viewOf } from '../report-error.ts';
import { SLOW_WORKER, sayIfSlow } from '../say-if-slow.ts';
import { type Session, withSession } from '../session.ts';
import { type Settled, untilSettled } from '../settle.ts';
import { sendUpdate } from '../update.ts';

interface Outcome {
  id: string;
  settled?: Settled;
  /** Why it could not be taken down, without `settled`. */
  error?: unknown;
}

export async function run(context: Context, ids: string[], options: { all?: boolean }): Promise<number> {
  const { output } = context;
  const all = options.all === true;
  if (all === ids.length > 0) {
    throw new BottleError(
      'USAGE',
      all ? 'name bottles or say --all, not both' : 'which bottle? name one, or say --all',
    );
  }
  return withSession(context, async (session) => {
    const wanted = all ? await openIdsHere(session, context) : [...new Set(ids)];
    if (wanted.length === 0) output.note('no open bottles on this host');
    const comeBack = `stopped watching; the undo goes on. See: bottle ls`;
    return stoppable(output, comeBack, async (signal) => {
      const single = wanted.length === 1 ? await progressFor(output, true) : undefined;
      const outcomes = await Promise.all(wanted.map((id) => takeDown(context, session, id, single, signal)));
      return tell(context, outcomes);
    });
  });
}

/** Of this host's name, and those that were launched here under another one. The others are told of. */
async function openIdsHere(session: Session, { output, settings }: Context): Promise<string[]> {
  const here = new Set(bottlesHere(settings));
  const open = await listBottles(session, { all: false });
  const elsewhere = open.filter(({ id, host }) => host !== settings.host && !here.has(id));
  if (elsewhere.length > 0) {
    const names = elsewhere.slice(0, 5).map(({ id, host }) => `${clean(id)} (${clean(host)})`);
    output.note(`left alone, as they are on other hosts: ${names.join(', ')}${elsewhere.length > 5 ? ', ...' : ''}`);
  }
  return open.flatMap(({ id, host }) => (host === settings.host || here.has(id) ? [id] : []));
}

async function takeDown(
  context: Context,
  session: Session,
  id: string,
  single: Progress | undefined,
  signal: AbortSignal,
): Promise<Outcome> {
  const { json, quiet } = context.output.flags;
  const silent: Progress = { show: () => undefined, done: () => undefined };
  const progress =
    single ?? (json || quiet ? silent : plainProgress(context.output, { prefix: `${id}  `, joining: true }));
  try {
    const launch = await servedLaunch(session, context, id);
    // One that is stopping already answers the same way.
    await sayIfSlow(context.output, SLOW_WORKER, () => sendUpdate(session, launch, stopUpdate));
    return { id, settled: await untilSettled(session, launch, 'gone', signal, progress.show) };
  } catch (error) {
    signal.throwIfAborted();
    return { id, error };
  } finally {
    progress.done();
  }
}

/** Every bottle is told of; the worst exit code is the command's: unreachable, unknown, held, failed. */
function tell({ output }: Context, outcomes: Outcome[]): number {
  const documents: unknown[] = [];
  let worst = 0;
  for (const { id, settled, error } of outcomes) {
    if (settled === undefined) {
      const view = viewOf(error);
      documents.push({ id, error: view });
      worst = Math.max(worst, exitCodeFor(view.code));
      if (!output.flags.json || outcomes.length === 1) reportError(error, output);
      continue;
    }
    tellTrouble(settled, 'gone', output);
    documents.push(settled.status);
    if (!output.flags.json) output.result(undefined, resultLine(settled, 'gone'));
    worst = Math.max(worst, exitCodeOf(settled, 'gone'));
  }
  const [only] = outcomes;
  // One bottle that failed is an error document like any other command's.
  const told = outcomes.length === 1 && only?.settled === undefined;
  if (output.flags.json && !told) output.result(documents, '');
  return worst;
}
