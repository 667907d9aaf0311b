/** A connection to Temporal for the length of one command, and the bottle's own way to make a new one after an outage. */
import type { Client } from '@temporalio/client';
import { connectClient } from '../host/temporal-connection.ts';
import { type TemporalTarget, temporalTarget } from '../host/temporal-target.ts';
import type { Context } from './context.ts';

export interface Session {
  readonly target: TemporalTarget;
  /** The current connection's client; ask again after {@link Session.reconnect}. */
  readonly client: Client;
  /**
   * Replaces the connection: gRPC's own backs off for up to minutes after an outage.
   * @throws BottleError `TEMPORAL_UNREACHABLE`
   */
  reconnect(): Promise<void>;
  close(): Promise<void>;
}

/** @throws BottleError `TEMPORAL_UNREACHABLE`, `USAGE` when Temporal's settings cannot be used */
export async function openSession(target: TemporalTarget): Promise<Session> {
  let client = await connectClient(target);
  return {
    target,
    get client() {
      return client;
    },
    reconnect: async () => {
      // The old one is left behind: see `close`.
      client = await connectClient(target);
    },
    close: () => close(client),
  };
}

/** Runs `act` with a session that is closed whatever happens. */
export async function withSession<T>(context: Context, act: (session: Session) => Promise<T>): Promise<T> {
  const session = await openSession(await temporalTarget(context.settings));
  try {
    return await act(session);
  } finally {
    await session.close();
  }
}

/**
 * Closes a connection, unless it is broken: on a closed channel, the retries that the SDK still has under way throw
 * where nobody can catch it. A broken one ends with the process.
 */
async function close(client: Client): Promise<void> {
  if (!isBroken(client)) await client.connection.close();
}

/** grpc.connectivityState */
const READY = 2;

/** The connection was lost and gRPC has not got it back. */
export function isBroken(client: Client): boolean {
  // Its retry interceptor hides an outage for some 20 seconds; the channel knows at once. No public way there in 1.24.
  const channel = (client.connection as unknown as { client: ChannelOwner }).client.getChannel();
  return channel.getConnectivityState(false) !== READY;
}

interface ChannelOwner {
  getChannel(): { getConnectivityState(tryToConnect: boolean): number };
}
