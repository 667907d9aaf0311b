/** A bottle's private bridge: ensure it, or its absence. */
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { BottleError } from '../core/errors.ts';
import { LABEL, machineName, networkName } from '../core/names.ts';
import type { BottleRef, NetworkFacts } from '../core/step-io.ts';
import { networkFacts, overlaps, subnetCandidates, subnetOf } from '../core/subnet.ts';
import { inspectContainer, removeContainers } from './container.ts';
import {
  assertOurs,
  type DockerHost,
  engine,
  ensureGone,
  isWanted,
  isWantedOf,
  labelFilter,
  objectLabels,
  statusOf,
} from './docker.ts';
import { type EngineFacts, engineFacts, speaks } from './engine-facts.ts';

export interface NetworkSpec {
  /** CIDR out of which the /28 is taken. */
  pool: string;
  /** A machine outside Docker is dialled from the host, so there the bridge keeps its address. */
  hostOnBridge: boolean;
}

const APPEAR_SECONDS = 3;

/**
 * Adopts the bottle's network or makes one on the first free /28 of the pool. Leftovers of an earlier run of the
 * same bottle go first, with the containers on them.
 * @param had the /28 that the bottle had before its network was lost: tried first, so that nobody has to be told another
 * @throws BottleError `NETWORK_POOL_EXHAUSTED`, `NAME_TAKEN`, `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function ensureNetwork(
  host: DockerHost,
  bottle: BottleRef,
  spec: NetworkSpec,
  had?: string,
): Promise<NetworkFacts> {
  const name = networkName(bottle.id);
  const labels = objectLabels(host, bottle, 'network', spec);
  const networks = await engine('list networks', () => host.docker.listNetworks());
  assertNotTaken(host, name, networks);
  const ours = ownNetworks(host, bottle.id, networks);
  const wanted = ours.find((network) => isWantedOf(bottle, network.Labels, labels));
  if (wanted !== undefined) return factsOf(name, wanted);
  if (ours.length > 0) {
    await removeContainers(host, labelFilter(host, bottle.id));
    await removeNetwork(host, bottle.id);
  }
  return createOnFreeSubnet(host, bottle, spec, labels, networks, had);
}

/** The /28 that a bottle's machine was made for, as the container tells that knows its bundle's address; undefined for no such. */
export async function subnetOfMachine(host: DockerHost, id: string): Promise<string | undefined> {
  const found = await inspectContainer(host, machineName(id));
  const [bundleIp = ''] = found?.Config.Labels[LABEL.owner] === host.owner ? (found.HostConfig.Dns ?? []) : [];
  return subnetOf(bundleIp);
}

/** Removes every network of the bottle, or of one launch of it, whatever is still attached to it. */
export async function removeNetwork(host: DockerHost, id: string, run?: string): Promise<void> {
  const filters = labelFilter(host, id, { run });
  const networks = await engine('list networks', () => host.docker.listNetworks({ filters }));
  await Promise.all(networks.map((network) => removeOne(host, network.Id)));
}

async function createOnFreeSubnet(
  host: DockerHost,
  bottle: BottleRef,
  spec: NetworkSpec,
  labels: Record<string, string>,
  known: Dockerode.NetworkInspectInfo[],
  had: string | undefined,
): Promise<NetworkFacts> {
  const name = networkName(bottle.id);
  const facts = await engine('ask for its version', () => engineFacts(host.docker));
  let used = known.flatMap(subnetsOf);
  const patience = Date.now() + APPEAR_SECONDS * 1000;
  for (const subnet of [...(had === undefined ? [] : [had]), ...subnetCandidates(spec.pool, bottle.id)]) {
    if (used.some((other) => overlaps(other, subnet))) continue;
    const made = networkFacts(name, subnet);
    let nameInUse: boolean;
    try {
      await host.docker.createNetwork({ ...createOptions(made, spec, labels), ...onlyOneOfAName(facts) });
      return made;
    } catch (error) {
      nameInUse = statusOf(error) === 409;
      if (!nameInUse && !/pool overlaps/i.test(String((error as Error).message))) {
        return engine(`create network ${name}`, () => Promise.reject(error));
      }
    }
    // Somebody was quicker: another bottle on this subnet, or a killed predecessor of this very attempt.
    const networks = await networksWith(host, subnet, nameInUse ? 0 : patience);
    const own = ownNetworks(host, bottle.id, networks).find((network) => isWanted(network.Labels, labels));
    if (own !== undefined) return factsOf(name, own);
    assertNotTaken(host, name, networks);
    used = [...networks.flatMap(subnetsOf), subnet];
  }
  throw new BottleError('NETWORK_POOL_EXHAUSTED', `no free /28 is left in ${spec.pool}`, {
    hint: 'stop a bottle (bottle ls), or set a larger network.pool in config.yaml',
  });
}

/**
 * All networks, once one of them is on `subnet`: the Engine takes a subnet some time before it lists its network, and
 * whoever went on meanwhile would make the bottle a second one.
 */
async function networksWith(host: DockerHost, subnet: string, end: number): Promise<Dockerode.NetworkInspectInfo[]> {
  for (;;) {
    const networks = await engine('list networks', () => host.docker.listNetworks());
    if (Date.now() > end || networks.flatMap(subnetsOf).some((other) => overlaps(other, subnet))) return networks;
    await sleep(25);
  }
}

/** @throws BottleError `NAME_TAKEN` */
function assertNotTaken(host: DockerHost, name: string, networks: Dockerode.NetworkInspectInfo[]): void {
  for (const network of networks) if (network.Name === name) assertOurs(host, 'network', name, network.Labels);
}

function createOptions(
  { name, subnet, gateway }: NetworkFacts,
  { hostOnBridge }: NetworkSpec,
  labels: Record<string, string>,
): Dockerode.NetworkCreateOptions {
  return {
    Name: name,
    Driver: 'bridge',
    Internal: true,
    EnableIPv6: false,
    IPAM: { Driver: 'default', Config: [{ Subnet: subnet, Gateway: gateway }] },
    // `Internal` filters forwarding only: without this the machine reaches the host, and through it every other
    // bridge's gateway (measured). A bridge without an address answers nothing.
    Options: hostOnBridge ? {} : { 'com.docker.network.bridge.inhibit_ipv4': 'true' },
    Labels: labels,
  };
}

/** Since API 1.44 names are the Engine's to keep apart; before, it makes two networks of one name unless told not to. */
const onlyOneOfAName = (facts: EngineFacts): { CheckDuplicate?: true } =>
  speaks(facts, '1.44') ? {} : { CheckDuplicate: true };

async function removeOne(host: DockerHost, networkId: string): Promise<void> {
  const network = host.docker.getNetwork(networkId);
  try {
    await network.remove();
  } catch (error) {
    if (statusOf(error) === 404) return;
    await detachAll(network);
    await ensureGone('remove network', () => network.remove());
  }
}

/** Whatever else a person connected to the bottle's bridge is let go, not removed: it is theirs. */
async function detachAll(network: Dockerode.Network): Promise<void> {
  let attached: string[] = [];
  await ensureGone('inspect network', async () => {
    attached = Object.keys(((await network.inspect()) as Dockerode.NetworkInspectInfo).Containers ?? {});
  });
  for (const container of attached) {
    await ensureGone('disconnect from network', () => network.disconnect({ Container: container, Force: true }));
  }
}

function ownNetworks(
  host: DockerHost,
  id: string,
  networks: Dockerode.NetworkInspectInfo[],
): Dockerode.NetworkInspectInfo[] {
  return networks.filter(({ Labels }) => Labels?.[LABEL.bottle] === id && Labels[LABEL.owner] === host.owner);
}

const subnetsOf = (network: Dockerode.NetworkInspectInfo): string[] =>
  (network.IPAM?.Config ?? []).flatMap(({ Subnet }) => (Subnet === undefined ? [] : [Subnet]));

function factsOf(name: string, network: Dockerode.NetworkInspectInfo): NetworkFacts {
  return networkFacts(name, subnetsOf(network)[0] ?? '');
}
