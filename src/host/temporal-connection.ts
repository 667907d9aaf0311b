/** Connections to Temporal, of the client and of the worker, with errors that say what to do. */
import type { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { BottleError } from '../core/errors.ts';
import { probeEndpoint } from './endpoint-probe.ts';
import { hostAndPort, isLoopback, type TemporalTarget } from './temporal-target.ts';

export { clusterOwner, ensureSearchAttributes } from './temporal-cluster.ts';
export { type TemporalTarget, temporalTarget } from './temporal-target.ts';

/** A server on this computer answers at once or not at all; one far away may need a handshake or two. */
const CONNECT_TIMEOUT_MS = { here: 5_000, elsewhere: 10_000 } as const;

/** The server itself ends what it is asked to wait for after some 20 s. */
const LONGEST_CALL_MS = 60_000;

const MOST_RECEIVED_BYTES = 64 * 1024 ** 2;

/**
 * A client of the target's namespace, connected. Close it by `client.connection.close()`.
 * @throws BottleError `TEMPORAL_UNREACHABLE`
 */
export async function connectClient(target: TemporalTarget): Promise<Client> {
  const { Client, Connection, defaultGrpcRetryOptions, makeGrpcRetryInterceptor } = await import('@temporalio/client');
  const connection = Connection.lazy({
    ...freshOptions(target),
    connectTimeout: timeoutMs(target),
    interceptors: [
      // A call without a deadline of its own would wait for ever for a server that has stopped in the middle of its work.
      // (gRPC's type asks for its own class, where whatever the next one returns is meant.)
      (options, nextCall) =>
        nextCall({ ...options, deadline: options.deadline ?? Date.now() + LONGEST_CALL_MS }) as never,
      makeGrpcRetryInterceptor(defaultGrpcRetryOptions()),
    ],
    channelArgs: {
      // gRPC shares broken connections, and how long to wait after them, among all clients of a process: one made
      // anew because a server came back must not wait for the last one's back-off.
      'grpc.use_local_subchannel_pool': 1,
      // A status with long questions in it passes the 4 MiB that gRPC takes unless told otherwise.
      'grpc.max_receive_message_length': MOST_RECEIVED_BYTES,
      // A proxy of the environment is not for this computer's own servers, and trying them again costs nothing.
      ...(isLocal(target)
        ? {
            'grpc.enable_http_proxy': 0,
            'grpc.initial_reconnect_backoff_ms': 50,
            'grpc.max_reconnect_backoff_ms': 1000,
          }
        : {}),
    },
  });
  try {
    await firstFailureOf(connection.ensureConnected(), target);
  } catch (error) {
    await connection.close();
    throw unreachable(target, error);
  }
  return new Client({ connection, namespace: target.namespace });
}

/**
 * The worker's connection. Install the SDK's Runtime before the first call. Close it by `connection.close()`.
 * @throws BottleError `TEMPORAL_UNREACHABLE`
 */
export async function connectWorker(target: TemporalTarget): Promise<NativeConnection> {
  const { NativeConnection } = await import('@temporalio/worker');
  const connecting = NativeConnection.connect({
    ...freshOptions(target),
    // Compressing what never leaves the computer only costs time.
    ...(isLocal(target) ? { grpcCompression: { codec: 'none' } as const } : {}),
  });
  try {
    return await firstFailureOf(withDeadline(connecting, timeoutMs(target)), target);
  } catch (error) {
    // It cannot be called off, so whatever comes of it later is closed.
    connecting.then((late) => late.close()).catch(() => undefined);
    throw unreachable(target, error);
  }
}

const isLocal = (target: TemporalTarget): boolean => isLoopback(hostAndPort(target.address).host);
const timeoutMs = (target: TemporalTarget): number => CONNECT_TIMEOUT_MS[isLocal(target) ? 'here' : 'elsewhere'];

/** A copy: the SDK writes into the metadata it is given. */
function freshOptions(target: TemporalTarget): TemporalTarget['connectionOptions'] {
  const { metadata, ...options } = target.connectionOptions;
  return metadata === undefined ? options : { ...options, metadata: { ...metadata } };
}

/** The connection; if a plain handshake fails too, then with the reason that one gives, and as soon as it does. */
async function firstFailureOf<T>(connecting: Promise<T>, target: TemporalTarget): Promise<T> {
  connecting.catch(() => undefined);
  // Behind a proxy a direct handshake would prove nothing.
  if (!isLocal(target) && hasProxy()) return connecting;
  const { tls } = target.connectionOptions;
  const endpoint = { ...hostAndPort(target.address), ...(tls === undefined ? {} : { tls }) };
  const reachable = probeEndpoint(endpoint, timeoutMs(target));
  try {
    return await Promise.race([connecting, reachable.then(() => connecting)]);
  } catch (error) {
    await reachable;
    throw error;
  }
}

/** The variables that @grpc/grpc-js obeys. */
function hasProxy(): boolean {
  return ['grpc_proxy', 'https_proxy', 'http_proxy'].some((name) => Boolean(process.env[name]));
}

async function withDeadline<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function unreachable(target: TemporalTarget, error: unknown): BottleError {
  if (BottleError.is(error)) return error;
  const what = target.kind === 'embedded' ? 'the embedded Temporal server' : 'the Temporal server';
  const { reason, hint } = explain(target, error);
  return new BottleError('TEMPORAL_UNREACHABLE', `${what} at ${target.address} ${reason}`, {
    hint: target.kind === 'embedded' ? 'start it: bottle serve --detach' : hint,
    cause: withoutSecrets(target, error),
  });
}

/** As @grpc/grpc-js and the worker's own gRPC word the statuses UNAUTHENTICATED and PERMISSION_DENIED. */
const REFUSED_CREDENTIALS =
  /UNAUTHENTICATED|PERMISSION_DENIED|valid authentication credentials|does not have permission to execute/;
const CHECK_ADDRESS = "check TEMPORAL_ADDRESS, or the address in Temporal's profile file";

function explain(target: TemporalTarget, error: unknown): { reason: string; hint: string } {
  const code = codeOf(error);
  const text = messagesOf(error);
  if (REFUSED_CREDENTIALS.test(text)) {
    return {
      reason: 'refuses the credentials',
      hint: `check TEMPORAL_API_KEY (or api_key in the profile) and that it is valid for namespace ${target.namespace}`,
    };
  }
  if (code !== undefined && /CERT|ISSUER|SIGNATURE|^ERR_(TLS|SSL)|EPROTO|^CRL/.test(code)) {
    return {
      reason: `has no TLS certificate that can be trusted (${code})`,
      hint: 'check TEMPORAL_TLS_SERVER_CA_CERT_PATH and TEMPORAL_TLS_SERVER_NAME, and that the server speaks TLS',
    };
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return { reason: 'has no such host name', hint: CHECK_ADDRESS };
  const hint = `${CHECK_ADDRESS}, and whether that server wants TLS (TEMPORAL_TLS)`;
  return { reason: code === undefined ? 'does not answer' : `does not answer (${code})`, hint };
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** The messages of an error and of its causes: the SDK wraps gRPC's. */
function messagesOf(error: unknown): string {
  const messages: string[] = [];
  for (let each = error; each instanceof Error && messages.length < 5; each = each.cause) messages.push(each.message);
  return messages.join('; ');
}

/** A server may quote in its answer what it was sent. */
function withoutSecrets(target: TemporalTarget, error: unknown): Error {
  const { apiKey, metadata } = target.connectionOptions;
  const secrets = [apiKey, ...Object.values(metadata ?? {})].filter((secret) => secret !== undefined && secret !== '');
  return new Error(
    secrets.reduce<string>((text, secret) => text.replaceAll(secret as string, '***'), messagesOf(error)),
  );
}
