/** Makes sure that Temporal and a worker are there before a launch or a decision, starting our own where that is what is meant. */
import { BottleError } from '../core/errors.ts';
import { assertRoom } from '../host/disk.ts';
import { hasDatabase } from '../host/embedded-database.ts';
import type { Settings } from '../host/settings.ts';
import { type TemporalTarget, temporalTarget } from '../host/temporal-target.ts';
import type { Context } from './context.ts';
import { ensureServer } from './keeper.ts';
import type { Output } from './output.ts';
import { type Session, sessionFor } from './session.ts';
import { assertMatchable, matchWorker } from './worker-match.ts';
import { assertWorker } from './worker-presence.ts';

const MOST_DEATHS = 3;

/**
 * A session with a worker behind it. On this host and with no other server configured, both are started if need be.
 * One that runs works with what this command has afterwards.
 * @param variables of the environment that matter to what is to be done
 * @throws BottleError `DISK_FULL`, `TEMPORAL_UNREACHABLE`, `WORKER_UNREACHABLE`, `WORKER_DIFFERS`, or why one of ours did not start
 */
export async function readyEngine(
  settings: Settings,
  target: TemporalTarget,
  host: string,
  output: Output,
  variables: readonly string[],
): Promise<Session> {
  assertRoom(target);
  if (host === settings.host) await assertMatchable(settings, variables);
  return overDeaths(target, async () => {
    if (target.kind === 'embedded') await ensureServer(settings, target, output);
    const session = await sessionFor(output, settings, target);
    try {
      await serve(session, output, host);
      if (host === settings.host) await matchWorker(session, output, variables);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  });
}

const isDeath = (error: unknown): boolean =>
  BottleError.is(error) &&
  error.retryable &&
  ['TEMPORAL_UNREACHABLE', 'SERVER_FAILED', 'WORKER_FAILED'].includes(error.code);

/** A server or worker of ours that dies while it starts, or just after it was found, is started again, a few times. */
export async function overDeaths<T>(target: TemporalTarget, act: () => Promise<T>): Promise<T> {
  for (let deaths = 0; ; deaths += 1) {
    try {
      return await act();
    } catch (error) {
      if (target.kind !== 'embedded' || deaths === MOST_DEATHS || !isDeath(error)) throw error;
    }
  }
}

/**
 * Runs `act` with a session of a server that is started if need be, as far as it is this host's own.
 * @throws BottleError `DISK_FULL`, `TEMPORAL_UNREACHABLE`, or why ours did not start
 */
export async function withEngine<T>({ settings, output }: Context, act: (session: Session) => Promise<T>): Promise<T> {
  const target = await temporalTarget(settings);
  // A decision that nobody can record would be waited for in vain.
  assertRoom(target);
  // Without a database there is no bottle to decide about, and nothing is begun for that.
  const ours = target.kind === 'embedded' && hasDatabase(settings);
  const session = await overDeaths(target, async () => {
    if (ours) await ensureServer(settings, target, output);
    return sessionFor(output, settings, target);
  });
  try {
    return await act(session);
  } finally {
    await session.close();
  }
}

/**
 * A worker for `host`: this host's own is started if need be, unless a server elsewhere is used.
 * @param bottle whose host it is
 * @throws BottleError `WORKER_UNREACHABLE`, or why ours did not start
 */
export async function ensureServed(session: Session, output: Output, host: string, bottle?: string): Promise<void> {
  await overDeaths(session.target, () => serve(session, output, host, bottle));
}

async function serve(session: Session, output: Output, host: string, bottle?: string): Promise<void> {
  const { settings, target, keeper } = session;
  if (host === settings.host && target.kind === 'embedded') await keeper.ensureWorker(output);
  else await assertWorker(session, settings, host, bottle);
}
