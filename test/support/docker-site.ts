/**
 * A place of its own on the real Docker Engine for one test file: an owner nobody else has, a pool of subnets nobody
 * else uses, and one call that removes by owner whatever the tests left, also when they failed.
 */
import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type Dockerode from 'dockerode';
import { agentEnvironment } from '../../src/core/agent-environment.ts';
import { type BundlePlans, daemonsOf } from '../../src/core/bundle-plans.ts';
import { LABEL } from '../../src/core/names.ts';
import type { SecretRef } from '../../src/core/secret-ref.ts';
import type { BottleRef, BundleInput, NetworkFacts } from '../../src/core/step-io.ts';
import { networkFacts, overlaps } from '../../src/core/subnet.ts';
import { connectDocker, type DockerHost, statusOf } from '../../src/host/docker.ts';
import { ensureImages, type ImageTags, imageTags } from '../../src/host/images.ts';
import { dockerDriver } from '../../src/host/machine/docker.ts';
import type { ExecRequest, MachineDriver, MachineSpec } from '../../src/host/machine/driver.ts';
import { ensureNetwork } from '../../src/host/network.ts';
import { settings as readSettings, type Settings } from '../../src/host/settings.ts';
import { testedKinds } from './tested-kinds.ts';

export interface DockerSite extends DockerHost {
  readonly settings: Settings;
  readonly images: ImageTags;
  readonly driver: MachineDriver;
  /** CIDR, a /21 for the site's bottles: no other site of this Engine has it, in whichever process. */
  readonly pool: string;
  /** A block beside the pool that no other call gives out, for a foreign network or a tiny pool. */
  subnet(prefix?: 26 | 27 | 28): string;
  /** A bottle nobody else has. */
  bottle(prefix?: string): BottleRef;
  network(bottle: BottleRef): Promise<NetworkFacts>;
  /** The smallest bundle: the allow-list proxy alone, which can be asked for its verdicts. */
  bundleInput(bottle: BottleRef, network: NetworkFacts, change?: BundleChange): BundleInput;
  machineSpec(network: NetworkFacts, plans?: BundlePlans): MachineSpec;
  /** Network, and a machine that runs on it. */
  machine(prefix?: string, plans?: BundlePlans): Promise<{ bottle: BottleRef; network: NetworkFacts }>;
  /** Somebody else's container: neither its name nor its labels are this owner's. Removed with the rest. */
  stranger(options?: Dockerode.ContainerCreateOptions): Promise<Dockerode.Container>;
  /** Somebody else's network. Removed with the rest. */
  foreignNetwork(options?: Partial<Dockerode.NetworkCreateOptions>): Promise<Dockerode.Network>;
  inspect(container: string): Promise<Dockerode.ContainerInspectInfo>;
  /** Keeps a secret in a file of the host's own; the reference to it. */
  secret(value: string): SecretRef;
  /** This owner's networks of a bottle, by Docker id. */
  networksOf(bottle: BottleRef): Promise<Dockerode.NetworkInspectInfo[]>;
  dispose(): Promise<void>;
}

/** What is other than usual in a bundle; of the plans, just those daemons that are. */
export type BundleChange = Partial<Omit<BundleInput, 'plans'>> & { plans?: Partial<BundlePlans> };

/** A bundle that lets through to these hosts and does nothing else. */
export const plansOf = (plans: Partial<BundlePlans> = {}): BundlePlans => ({
  pipelock: { allow: ['api.anthropic.com'], intercept: false },
  egress: null,
  gitGate: null,
  supervise: null,
  ca: null,
  ...plans,
});

/** Marks what {@link DockerSite.stranger} and {@link DockerSite.foreignNetwork} made, for its removal only. */
const STRANGER = 'bottleworks-test.site';

export async function dockerSite(): Promise<DockerSite> {
  const docker = connectDocker();
  await ensureImages(docker, {
    report: (line) => console.error(line),
    kinds: testedKinds() ?? ['guest', 'codex', 'guest-full', 'bundle'],
  });
  const images = await imageTags();
  const key = randomUUID();
  const owner = `test-${key}/default`;
  const [a, b, third] = await reserveBlock(docker, images.base, key);
  const directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-site-'));
  const settings = readSettings({
    BOTTLE_HOME: path.join(directory, 'home'),
    BOTTLE_STATE: path.join(directory, 'state'),
    BOTTLE_HOST: 'test-host',
  });
  const driver = dockerDriver({ docker, owner });
  // Out of the block's upper half: the lower one is where the site's bottles take theirs.
  let given = 0;
  const site: DockerSite = {
    docker,
    owner,
    settings,
    images,
    driver,
    pool: `${a}.${b}.${third}.0/21`,
    subnet: (prefix = 28) => {
      const offset = 2048 + given;
      given += 64;
      if (given > 2048) throw new Error('this site has given out all its subnets');
      return `${a}.${b}.${third + Math.floor(offset / 256)}.${offset % 256}/${prefix}`;
    },
    bottle: (prefix = 'it') => ({ id: `${prefix}-${randomBytes(5).toString('hex')}`, runId: randomUUID() }),
    network: (bottle) => ensureNetwork(site, bottle, { pool: site.pool, hostOnBridge: false }),
    bundleInput: (bottle, network, { plans, ...change } = {}) => ({
      bottle,
      network,
      image: images.bundle,
      uplink: 'bridge',
      scanner: 'allow-list',
      plans: plansOf(plans),
      requests: [],
      ...change,
    }),
    machineSpec: (network, plans = plansOf()) => ({
      network,
      image: images.guest,
      env: agentEnvironment(network, {
        env: {},
        daemons: daemonsOf(plans),
        bundle: plans,
        provider: { template: 'claude', credential: null },
        prompt: { empty: true, digest: '' },
      }),
      resources: { cpus: 2, memoryMiB: 1024, pids: 256 },
    }),
    machine: async (prefix, plans) => {
      const bottle = site.bottle(prefix);
      const network = await site.network(bottle);
      await driver.create(bottle, site.machineSpec(network, plans));
      await driver.start(bottle);
      return { bottle, network };
    },
    stranger: async (options = {}) => {
      const container = await docker.createContainer({
        Image: images.guest,
        Cmd: ['tini', '--', 'sleep', 'infinity'],
        ...options,
        Labels: { ...options.Labels, [STRANGER]: key },
      });
      await container.start();
      return container;
    },
    foreignNetwork: (options = {}) => {
      // The Engine's own pools hold some thirty networks, of everybody on it. Engines since 26 tell no gateway that they chose.
      const { subnet: Subnet, gateway: Gateway } = networkFacts('', site.subnet());
      return docker.createNetwork({
        Name: `not-bottle-${randomUUID()}`,
        IPAM: { Driver: 'default', Config: [{ Subnet, Gateway }] },
        ...options,
        Labels: { ...options.Labels, [STRANGER]: key },
      });
    },
    secret: (value) => {
      const file = path.join(directory, `secret-${randomUUID()}`);
      writeFileSync(file, `${value}\n`, { mode: 0o600 });
      return `file:${file}`;
    },
    inspect: (container) => docker.getContainer(container).inspect(),
    networksOf: ({ id }) =>
      docker.listNetworks({ filters: { label: [`${LABEL.bottle}=${id}`, `${LABEL.owner}=${owner}`] } }),
    dispose: async () => {
      for (const label of [`${LABEL.owner}=${owner}`, `${STRANGER}=${key}`]) {
        const filters = { label: [label] };
        const containers = await docker.listContainers({ all: true, filters });
        await Promise.all(containers.map(({ Id }) => docker.getContainer(Id).remove({ force: true, v: true })));
      }
      for (const label of [`${LABEL.owner}=${owner}`, `${STRANGER}=${key}`]) {
        const networks = await docker.listNetworks({ filters: { label: [label] } });
        await Promise.all(networks.map(({ Id }) => docker.getNetwork(Id).remove()));
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return site;
}

/**
 * Takes a /20 that nobody on this Engine uses, and nobody else can take until the site is disposed of: a container's name
 * is given out once, whoever asks, so one that never runs stands for the block.
 * @returns its first three bytes
 */
async function reserveBlock(
  docker: DockerHost['docker'],
  image: string,
  key: string,
): Promise<[number, number, number]> {
  for (;;) {
    // Away from the product's own default pool, so that the tests and a person's bottles never meet.
    const [a, b, third] = [10, randomInt(64, 192), randomInt(16) * 16] as const;
    const networks = await docker.listNetworks();
    const taken = networks.flatMap(({ IPAM }) => IPAM?.Config ?? []).map(({ Subnet }) => Subnet ?? '');
    if (taken.some((subnet) => overlaps(subnet, `${a}.${b}.${third}.0/20`))) continue;
    const name = `bottle-test-subnets-${a}.${b}.${third}`;
    try {
      await docker.createContainer({ Image: image, name, Cmd: ['true'], Labels: { [STRANGER]: key } });
      return [a, b, third];
    } catch (error) {
      if (statusOf(error) !== 409) throw error;
    }
  }
}

export interface Ran {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs a command in a machine and keeps what it printed. */
export async function run(
  driver: MachineDriver,
  id: string,
  argv: readonly string[],
  options: Omit<ExecRequest, 'argv' | 'stdin' | 'stdout' | 'stderr'> & { stdin?: string | Buffer } = {},
): Promise<Ran> {
  const { stdin, ...rest } = options;
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const printed = Promise.all([buffer(stdout), buffer(stderr)]);
  try {
    const { exitCode } = await driver.exec(id, {
      ...rest,
      ...(stdin === undefined ? {} : { stdin: Readable.from(stdin.length === 0 ? [] : [Buffer.from(stdin)]) }),
      argv,
      stdout,
      stderr,
    });
    stdout.end();
    stderr.end();
    const [out, err] = await printed;
    return { exitCode, stdout: out.toString(), stderr: err.toString() };
  } finally {
    stdout.end();
    stderr.end();
  }
}

/** A shell line in a machine. */
export const sh = (
  driver: MachineDriver,
  id: string,
  script: string,
  options: Parameters<typeof run>[3] = {},
): Promise<Ran> => run(driver, id, ['sh', '-c', script], options);
