/** `bottle down`: undo everything of one or more bottles, and return when it is gone. */
import { BottleError, ERROR_CODES, type ErrorCode } from '../../core/errors.ts';
import { someAtATime } from '../../core/some-at-a-time.ts';
import type { StatusDocument } from '../../core/status.ts';
import { bottlesHere } from '../../host/host-pin.ts';
import { describeBottle, mergeStatus, within } from '../bottle-status.ts';
import { overAnOutage } from '../care.ts';
import { concludeAll } from '../conclude.ts';
import type { Context } from '../context.ts';
import { ensureServed, withEngine } from '../engine.ts';
import { stoppable } from '../interrupt.ts';
import { listBottles } from '../list-bottles.ts';
import { openLaunch, type ServedLaunch } from '../open-launch.ts';
import type { Output } from '../output.ts';
import { type Progress, progressFor, severalProgress } from '../render/progress.ts';
import { clean } from '../render/text.ts';
import { Troubles } from '../render/troubles.ts';
import { isUnreachable, viewOf } from '../report-error.ts';
import type { Session } from '../session.ts';
import { type Settled, untilSettled } from '../settle.ts';
import { stopLaunch } from '../stop-launch.ts';
import type { LastHeard } from '../update.ts';
import { livesHere } from '../worker-presence.ts';

const RECORD_MS = 10_000;
/** Stops that are asked for at a time: what the first ones undo is work for the worker that has to take the next. */
const AT_A_TIME = 8;

interface Outcome {
  id: string;
  settled?: Settled;
  /** The server has taken it down, and a worker of `host` carries it out when there is one. */
  recorded?: StatusDocument;
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
  return withEngine(context, async (session) => {
    const wanted = all ? await overAnOutage(session, output, () => openIdsHere(session, context)) : [...new Set(ids)];
    if (wanted.length === 0) output.note('no open bottles on this host');
    const comeBack = `stopped watching; the undo goes on. See: bottle ls`;
    return stoppable(output, comeBack, async (signal) => {
      const single = wanted.length === 1 ? await progressFor(output, true) : undefined;
      // What all of them wait for is said once.
      const troubles = new Troubles();
      const site: Site = { session, output, troubles, signal, limited: someAtATime(AT_A_TIME) };
      const outcomes = await Promise.all(
        wanted.map((id) => takeDown(site, id, single ?? severalProgress(output, id, troubles))),
      );
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

interface Site {
  session: Session;
  output: Output;
  troubles: Troubles;
  signal: AbortSignal;
  /** From when on there was a worker to answer. */
  heard?: LastHeard;
  limited: ReturnType<typeof someAtATime>;
}

async function takeDown(site: Site, id: string, progress: Progress): Promise<Outcome> {
  const { session, signal } = site;
  try {
    const stopped = await site.limited(() => stopOne(site, id));
    if (!('launch' in stopped)) return stopped;
    return { id, settled: await untilSettled(session, stopped.launch, 'gone', signal, progress.show) };
  } catch (error) {
    signal.throwIfAborted();
    return { id, error };
  } finally {
    progress.done();
  }
}

/** @returns the launch, which is being undone, or is to be by a worker that lives; or what became of it where there is none */
async function stopOne(site: Site, id: string): Promise<Outcome | { launch: ServedLaunch }> {
  const { session, output, troubles, signal } = site;
  signal.throwIfAborted();
  const launch = await openLaunch(session, id);
  try {
    await ensureServed(session, output, launch.host, id);
    site.heard ??= { at: Date.now(), otherWay: true };
    await stopLaunch(session, output, launch, troubles, site.heard);
    return { launch };
  } catch (error) {
    if (!isUnreachable(error)) throw error;
    return recordStop(session, launch, error);
  }
}

/**
 * Where nobody is there to take the update, the server itself keeps the wish: as a cancel request, which every launch knows.
 * @param why no worker of its host answers; where that is this host, the person has something to mend
 */
async function recordStop(
  session: Session,
  launch: ServedLaunch,
  why: unknown,
): Promise<Outcome | { launch: ServedLaunch }> {
  const { client, settings, target } = session;
  const { id, runId, host } = launch;
  const ours = host === settings.host ? target.kind === 'embedded' : bottlesHere(settings).includes(id);
  try {
    await within(RECORD_MS, () => client.workflow.getHandle(id, undefined, { firstExecutionRunId: runId }).cancel());
  } catch (error) {
    // It was taken after all, and is over already.
    if (error instanceof Error && error.name === 'WorkflowNotFoundError') return { launch };
    throw error;
  }
  // One that is only too busy to answer comes to it.
  if (await livesHere(session, host)) return { launch };
  if (!ours) return { id, recorded: mergeStatus(undefined, await describeBottle(session, id, runId), session) };
  const { code, message, hint = 'bottle doctor' } = viewOf(why);
  const known = code in ERROR_CODES ? (code as ErrorCode) : 'WORKER_UNREACHABLE';
  const later = `that ${id} goes down is recorded, and carried out when its worker runs`;
  return { id, error: new BottleError(known, `${message}; ${later}`, { hint, cause: why }) };
}

function tell({ output }: Context, outcomes: Outcome[]): number {
  const told = outcomes.map(({ recorded, ...outcome }) =>
    recorded === undefined
      ? outcome
      : { ...outcome, as: { document: { ...recorded, recorded: true }, line: recordedLine(recorded) } },
  );
  return concludeAll(told, 'gone', output);
}

const recordedLine = ({ id, host }: StatusDocument): string =>
  `no worker serves ${clean(host)}: that ${clean(id)} goes down is recorded, and carried out when one does (on that host: bottle serve --detach)`;
