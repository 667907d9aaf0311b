/**
 * How a machine reaches its bundle. By its `address`, where packets go from one to the other; or by `sockets`, where the
 * machine has no network device at all: what it dials on its own loopback is carried to the bundle over sockets of the host.
 */
import { EGRESS_PORT, GIT_GATE_PORT, PIPELOCK_PORT, SUPERVISE_PORT } from './daemons.ts';
import type { NetworkFacts } from './step-io.ts';

export const LINKS = ['address', 'sockets'] as const;
export type Link = (typeof LINKS)[number];

/** What of a bundle a machine may dial. */
export const BUNDLE_PORTS = [PIPELOCK_PORT, EGRESS_PORT, GIT_GATE_PORT, SUPERVISE_PORT] as const;

/** Where a machine without a network finds what is the bundle's. */
export const LOOPBACK = '127.0.0.1';

/**
 * The bottle's addresses, as they are from inside the machine.
 * @param link undefined in histories that are older than the choice
 */
export function seenFromMachine(network: NetworkFacts, link: Link | undefined): NetworkFacts {
  return link === 'sockets' ? { ...network, bundleIp: LOOPBACK } : network;
}
