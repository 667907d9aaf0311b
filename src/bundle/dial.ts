/** Opens the connection for a request that the allow-list let pass. */
import { lookup } from 'node:dns/promises';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { goesDirectly, type UpstreamProxy } from '../core/network-proxy.ts';
import { addressKind } from './address.ts';
import { dialThrough } from './proxy-dial.ts';

const DIAL_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 30_000;

export interface Address {
  address: string;
  family: number;
}

export type Resolve = (name: string) => Promise<readonly Address[]>;

/** Why a connection was not made: `refused` by us, `failed` on the way. `message` is fit for the guest. */
export class DialError extends Error {
  override readonly name = 'DialError';
  readonly kind: 'refused' | 'failed';
  constructor(kind: 'refused' | 'failed', message: string) {
    super(message);
    this.kind = kind;
  }
}

/** All addresses of a name, from the container's resolver. */
export const resolveBySystem: Resolve = (name) => lookup(name, { all: true });

/**
 * Resolves `host` once, refuses what it must not lead to, and connects to just the addresses it looked at, so that a
 * second answer of the name server cannot swap them. A literal address needs no check: its entry named it.
 * Where all goes out by a proxy, that one resolves the name and nothing is known of its addresses: it decides what in its
 * network may be reached.
 * @param options `mayBePrivate`: the entry permits private and loopback addresses
 * @throws DialError
 */
export async function dial(
  host: string,
  port: number,
  options: { mayBePrivate: boolean; resolve: Resolve; proxy?: UpstreamProxy | undefined },
): Promise<Socket> {
  const { proxy } = options;
  if (proxy !== undefined && !goesDirectly(proxy, host)) return dialThrough(proxy, host, port);
  if (isIP(host) !== 0) return open(host, port, undefined);
  return open(host, port, await resolveChecked(host, options));
}

/**
 * All addresses of a name, once it is sure that each of them may be connected to.
 * @throws DialError
 */
export async function resolveChecked(
  host: string,
  { mayBePrivate, resolve }: { mayBePrivate: boolean; resolve: Resolve },
): Promise<readonly Address[]> {
  const addresses = await resolveOrFail(host, resolve);
  for (const { address } of addresses) {
    const kind = addressKind(address);
    if (kind === 'forbidden' || (kind === 'private' && !mayBePrivate)) {
      throw new DialError('refused', `domain resolves to a ${kind} address: ${host}`);
    }
  }
  return addresses;
}

async function resolveOrFail(host: string, resolve: Resolve): Promise<readonly Address[]> {
  const addresses = await resolve(host).catch((error: NodeJS.ErrnoException) => {
    throw new DialError('failed', `cannot resolve ${host}${whyNot(error)}`);
  });
  if (addresses.length === 0) throw new DialError('failed', `cannot resolve ${host}`);
  return addresses;
}

/** A name that is not there, and a name server that is not: what to do about it is not the same. */
function whyNot({ code }: NodeJS.ErrnoException): string {
  if (code === 'ENOTFOUND') return ': there is no such name';
  return code === 'EAI_AGAIN' ? ': no name server answers' : '';
}

function open(host: string, port: number, addresses: readonly Address[] | undefined): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect({
    host,
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    ...(addresses === undefined ? {} : { lookup: pinnedTo(addresses) }),
  });
  const timer = setTimeout(() => socket.destroy(new Error('timed out')), DIAL_TIMEOUT_MS);
  // Stays on: a reset before the next owner listens must not end the process.
  socket.on('error', (error: NodeJS.ErrnoException) => {
    clearTimeout(timer);
    reject(new DialError('failed', `cannot connect to ${host}:${port} (${error.code ?? error.message})`));
  });
  socket.once('connect', () => {
    clearTimeout(timer);
    resolve(socket);
  });
  return promise;
}

/** A `lookup` that knows these addresses and asks nobody. */
export function pinnedTo(addresses: readonly Address[]): LookupFunction {
  return (_hostname, { all }, callback) => {
    const [first] = addresses;
    if (all === true) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family);
  };
}
