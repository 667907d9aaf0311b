/**
 * `bottle adopt`: a new launch on the server that is used now takes a lost bottle over as it is, with the agent's work in it. Nothing
 * of the machine is made anew; after it all commands work as ever.
 */
import { BottleError } from '../../core/errors.ts';
import { planVariables } from '../../core/plan-variables.ts';
import type { LaunchMemo, StatusDocument } from '../../core/status.ts';
import { type Adoptable, adoptable } from '../../host/adoptable.ts';
import { findLost, type LostBottle } from '../../host/lost.ts';
import { readStateOwner } from '../../host/state-owner.ts';
import { clusterOwner, temporalTarget } from '../../host/temporal-connection.ts';
import { type BottleRun, describeBottle, isOpen, launchOf, mergeStatus, queryStatus } from '../bottle-status.ts';
import { overAnOutage } from '../care.ts';
import { concludeAll } from '../conclude.ts';
import type { Context } from '../context.ts';
import { readyEngine } from '../engine.ts';
import { whereOpen } from '../former-server.ts';
import { stoppable } from '../interrupt.ts';
import { startLaunch } from '../launch.ts';
import { dockerHost } from '../local-machine.ts';
import type { Output } from '../output.ts';
import { lostText } from '../render/lost-text.ts';
import { progressFor, severalProgress } from '../render/progress.ts';
import { Troubles } from '../render/troubles.ts';
import type { Session } from '../session.ts';
import { type Settled, untilSettled } from '../settle.ts';
import { matchWorker } from '../worker-match.ts';

export interface AdoptOptions {
  /** Also one whose launch is open on a server that answers. */
  force?: boolean;
  wait: boolean;
}

interface Outcome {
  id: string;
  settled?: Settled;
  /** Without `settled`: as it is, unwaited for; or why it could not be adopted. */
  status?: StatusDocument;
  error?: unknown;
}

/** @param ids none: all whose database is gone */
export async function run(context: Context, ids: string[], { force = false, wait }: AdoptOptions): Promise<number> {
  const { output, settings } = context;
  const session = await readyEngine(settings, await temporalTarget(settings), settings.host, output, []);
  try {
    const lost = await findLost({ ...(await dockerHost(context)), settings });
    const wanted = [
      ...new Set(ids.length > 0 ? ids : lost.flatMap((each) => (each.database === 'gone' ? [each.id] : []))),
    ];
    const left = lost.filter(({ id }) => !wanted.includes(id));
    const site: Site = { context, session, lost, force };
    return await stoppable(output, 'stopped watching; the adoption goes on. See: bottle ls', async (signal) => {
      const several = wanted.length === 1 ? undefined : new Troubles();
      const outcomes = await Promise.all(
        wanted.map(async (id): Promise<Outcome> => {
          try {
            const launch = await adoptOne(site, id);
            if (!wait) return { id, status: await asItIs(session, launch) };
            const progress =
              several === undefined ? await progressFor(output, true) : severalProgress(output, id, several);
            const settled = untilSettled(session, launch, 'ready', signal, progress.show);
            return { id, settled: await settled.finally(() => progress.done()) };
          } catch (error) {
            signal.throwIfAborted();
            return { id, error };
          }
        }),
      );
      return tell(output, outcomes, left);
    });
  } finally {
    await session.close();
  }
}

interface Site {
  context: Context;
  session: Session;
  lost: readonly LostBottle[];
  force: boolean;
}

/** @returns the launch that adopts it, whoever began that one, and whether or not it has come to it yet */
async function adoptOne({ context, session, lost, force }: Site, id: string): Promise<BottleRun> {
  const { output, settings } = context;
  const found = lost.find((each) => each.id === id);
  if (found === undefined) return adoptedBefore(session, id);
  const known = await adoptable(settings, found);
  const joined = await adoptingNow(session, id, found);
  if (joined !== undefined) return joined;
  if (!force) await assertNotOpen(context, found);
  await matchWorker(session, output, planVariables(known.plan));
  return overAnOutage(session, output, () => start(session, found, known));
}

async function start(session: Session, lost: LostBottle, { input }: Adoptable): Promise<BottleRun> {
  try {
    return await startLaunch(session, { ...input, host: session.settings.host, name: lost.id });
  } catch (error) {
    // Somebody else has begun to at the same time.
    const joined =
      BottleError.is(error) && error.code === 'BOTTLE_EXISTS' ? await adoptingNow(session, lost.id, lost) : undefined;
    if (joined === undefined) throw error;
    return joined;
  }
}

/** The open launch of that id, where it adopts that very bottle. @throws BottleError `BOTTLE_EXISTS` when it is another one */
async function adoptingNow(session: Session, id: string, { run }: LostBottle): Promise<BottleRun | undefined> {
  const open = await openOne(session, id);
  if (open === undefined) return undefined;
  if (((open.memo ?? {}) as Partial<LaunchMemo>).adopts === run) return launchOf(open);
  throw new BottleError('BOTTLE_EXISTS', `there is an open bottle ${id} of this server, which is another one`, {
    hint: `take that one down first: bottle down ${id}`,
  });
}

/** @throws BottleError `NO_SUCH_BOTTLE` unless a launch of this server has adopted it, and is open */
async function adoptedBefore(session: Session, id: string): Promise<BottleRun> {
  const state = await readStateOwner(session.settings, id);
  const isOurs = state?.adopted !== undefined && state.owner === (await clusterOwner(session.client));
  const open = isOurs ? await openOne(session, id) : undefined;
  if (open !== undefined && launchOf(open).runId === state?.run) return launchOf(open);
  throw new BottleError('NO_SUCH_BOTTLE', `no bottle of another Temporal server is called ${id}`, {
    hint: 'bottle gc --dry-run lists them; those of this server: bottle ls',
  });
}

async function openOne(session: Session, id: string) {
  try {
    const description = await describeBottle(session, id);
    return isOpen(description) ? description : undefined;
  } catch (error) {
    if (BottleError.is(error) && error.code === 'NO_SUCH_BOTTLE') return undefined;
    throw error;
  }
}

/** @throws BottleError `NOT_ADOPTABLE`: whoever uses that server steers it */
async function assertNotOpen({ settings }: Context, { id, hint }: LostBottle): Promise<void> {
  const state = await readStateOwner(settings, id);
  const where = state === undefined ? undefined : await whereOpen(id, state);
  if (where === undefined) return;
  const back = hint === undefined ? '' : `${hint}; or, `;
  throw new BottleError('NOT_ADOPTABLE', `the launch of ${id} is open on ${where}`, {
    hint: `${back}if nobody is to steer it from there any more: bottle adopt ${id} --force`,
  });
}

async function asItIs(session: Session, launch: BottleRun): Promise<StatusDocument> {
  const answer = await queryStatus(session, launch).catch(() => undefined);
  return mergeStatus(answer, await describeBottle(session, launch.id, launch.runId), session);
}

function tell(output: Output, outcomes: readonly Outcome[], left: readonly LostBottle[]): number {
  const told = outcomes.map(({ status, ...outcome }) => {
    if (status === undefined) return outcome;
    const line = `${outcome.id} is ${status.phase}; follow it with: bottle status ${outcome.id} --watch`;
    return { ...outcome, as: { document: status, line } };
  });
  const worst = concludeAll(told, 'ready', output);
  if (outcomes.length === 0) output.note('no bottle of a database that is gone');
  for (const each of left) output.note(lostText(each));
  return worst;
}
