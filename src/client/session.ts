/** A connection to Temporal for the length of one command, and the bottle's own way to make a new one after an outage. */
import type { Client } from '@temporalio/client';
import { fullState } from '../host/disk.ts';
import type { Settings } from '../host/settings.ts';
import { connectClient } from '../host/temporal-connection.ts';
import { type TemporalTarget, temporalTarget } from '../host/temporal-target.ts';
import type { Context } from './context.ts';
import { Keeper } from './keeper.ts';
import type { Output } from './output.ts';
import { isUnreachable } from './report-error.ts';
import { sayIfSlow } from './say-if-slow.ts';

export interface Session {
  readonly target: TemporalTarget;
  readonly settings: Settings;
  /** Knows what is to be done where this host's own server or worker has died; one for the whole command. */
  readonly keeper: Keeper;
  /** The current connection's client; ask again after {@link Session.reconnect}. */
  readonly client: Client;
  /**
   * Replaces a connection that is lost: gRPC's own backs off for up to minutes after an outage.
   * @throws BottleError `TEMPORAL_UNREACHABLE`
   */
  reconnect(): Promise<void>;
  close(): Promise<void>;
}

/** @throws BottleError `TEMPORAL_UNREACHABLE`, `USAGE` when Temporal's settings cannot be used */
export async function openSession(settings: Settings, target: TemporalTarget): Promise<Session> {
  let client = await connectClient(target);
  let reconnecting: Promise<void> | undefined;
  const connectAnew = async (): Promise<void> => {
    // Somebody else who uses this session may have done it; the old one is left behind: see `close`.
    if (!isReady(client)) client = await connectClient(target);
  };
  return {
    target,
    settings,
    keeper: new Keeper(settings, target),
    get client() {
      return client;
    },
    reconnect: () => {
      reconnecting ??= connectAnew().finally(() => {
        reconnecting = undefined;
      });
      return reconnecting;
    },
    close: () => close(client),
  };
}

/** As {@link openSession}; who waits longer than a moment for the server is told. */
export async function sessionFor(output: Output, settings: Settings, target: TemporalTarget): Promise<Session> {
  // Loading it takes its time too, which is not the server's.
  await import('@temporalio/client');
  const slow = `the Temporal server at ${target.address} has not answered yet; waiting for it`;
  return sayIfSlow(output, slow, () => openSession(settings, target));
}

/** Runs `act` with a session that is closed whatever happens. */
export async function withSession<T>(context: Context, act: (session: Session) => Promise<T>): Promise<T> {
  const target = await temporalTarget(context.settings);
  // What was recorded before can still be told, mostly; whoever waits for an answer knows why there may be none.
  const full = fullState(target);
  if (full !== undefined) context.output.note(`note: ${full.message}`);
  try {
    const session = await sessionFor(context.output, context.settings, target);
    try {
      return await act(session);
    } finally {
      await session.close();
    }
  } catch (error) {
    throw fullInstead(target, error);
  }
}

/** The cause of a silence, where a full disk is one. */
function fullInstead(target: TemporalTarget, error: unknown): unknown {
  return isUnreachable(error) ? (fullState(target) ?? error) : error;
}

/**
 * Closes a connection, unless it is lost: on a closed channel, the retries that the SDK still has under way throw
 * where nobody can catch it. A lost one ends with the process.
 */
async function close(client: Client): Promise<void> {
  if (isReady(client)) await client.connection.close();
}

/** grpc.connectivityState */
const READY = 2;
const TRANSIENT_FAILURE = 3;
const SHUTDOWN = 4;
/** Longer than a connection takes that is made anew in place of one that the server has had enough of. */
const LOST_MS = 3000;

const isReady = (client: Client): boolean => stateOf(client, false) === READY;

/**
 * Tells whether the connection is lost; to be asked again and again. A server also ends good connections, after some five
 * minutes each: gRPC makes another one then, and nothing is lost as long as it can.
 */
export function lossWatcher(client: Client): () => boolean {
  let since: number | undefined;
  return () => {
    const state = stateOf(client, true);
    if (state === READY) since = undefined;
    else since ??= Date.now();
    return state === TRANSIENT_FAILURE || state === SHUTDOWN || (since !== undefined && Date.now() - since > LOST_MS);
  };
}

/** The connection was lost, and trying to get it back has failed. */
export function isBroken(client: Client): boolean {
  const state = stateOf(client, true);
  return state === TRANSIENT_FAILURE || state === SHUTDOWN;
}

/** @param connect has gRPC connect where it has no reason of its own to do so just now */
function stateOf(client: Client, connect: boolean): number {
  // Its retry interceptor hides an outage for some 20 seconds; the channel knows at once. No public way there in 1.24.
  const channel = (client.connection as unknown as { client: ChannelOwner }).client.getChannel();
  return channel.getConnectivityState(connect);
}

interface ChannelOwner {
  getChannel(): { getConnectivityState(tryToConnect: boolean): number };
}

/** What {@link untilBroken} throws. */
export class ConnectionLost extends Error {}

/** A call that ends early when the connection is lost: the SDK would go on retrying it in silence. */
export async function untilBroken<T>(session: Session, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  const { client } = session;
  const lost = Promise.withResolvers<never>();
  const isLost = lossWatcher(client);
  const timer = setInterval(() => {
    if (isLost()) lost.reject(new ConnectionLost('the connection was lost'));
  }, 250);
  const onAbort = (): void => lost.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const calling = call();
  calling.catch(() => undefined);
  try {
    return await Promise.race([calling, lost.promise]);
  } finally {
    clearInterval(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
