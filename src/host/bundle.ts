/** A bottle's sidecar bundle: the container, its two networks, and waiting until its daemons are ready. */
import type Dockerode from 'dockerode';
import { EXIT_CONFIG, parseStatusLine } from '../core/daemons.ts';
import { BottleError } from '../core/errors.ts';
import { bundleName, LABEL } from '../core/names.ts';
import type { BundleInput, BundleResult } from '../core/step-io.ts';
import { ensureContainer, inspectContainer, removeContainers, startContainer } from './container.ts';
import { containerLines } from './container-log.ts';
import { type DockerHost, engine, labelFilter, statusOf } from './docker.ts';

/** Docker's own bridge: the bundle's way to the internet. The machine is never on it. */
const UPLINK = 'bridge';
const STOP_SECONDS = 10;
const READY_SECONDS = 30;

/**
 * Ensures the bundle and waits until each chosen daemon reports ready (its init prints every change of state).
 * @throws BottleError `BUNDLE_NOT_READY` with the bundle's last words, and what ensureContainer throws
 */
export async function ensureBundle(host: DockerHost, input: BundleInput, signal: AbortSignal): Promise<BundleResult> {
  const name = bundleName(input.bottle.id);
  const container = await ensureContainer(host, input.bottle, 'bundle', name, bundleSpec(input));
  // Before the start: a daemon must never run without its way out, and the Engine sets both up in one go.
  await connectUplink(host, container);
  const adopted = !(await startContainer(container, name));
  const daemons = adopted ? await lastReport(container, signal) : undefined;
  if (daemons !== undefined && allReady(daemons)) return { container: name, daemons };
  // A bundle that ran before may have been ready once: only what it reports from now on counts.
  return { container: name, daemons: await daemonsReady(container, name, adopted, signal) };
}

/** Stops the bundle so that its daemons can finish, then removes it. What is not this owner's is not touched. */
export async function removeBundle(host: DockerHost, id: string): Promise<void> {
  await removeContainers(host, labelFilter(host, id, 'bundle'), STOP_SECONDS);
}

/** Whether the bundle's container runs. */
export async function bundleRuns(host: DockerHost, id: string): Promise<boolean> {
  // Inspected, not listed: at the moment of its death a container is still in the list of running ones.
  const found = await inspectContainer(host, bundleName(id));
  return found?.Config.Labels[LABEL.owner] === host.owner && found.State.Running;
}

function bundleSpec({ network, image, daemons, allow }: BundleInput): Dockerode.ContainerCreateOptions {
  return {
    Image: image,
    Env: [
      `BOTTLE_DAEMONS=${daemons.join(',')}`,
      `BOTTLE_LISTEN_HOST=${network.bundleIp}`,
      `BOTTLE_ALLOW=${JSON.stringify(allow)}`,
    ],
    HostConfig: {
      NetworkMode: network.name,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      PidsLimit: 256,
      Memory: 512 * 1024 ** 2,
      NanoCpus: 2e9,
      // It has a foot in two networks and must never be a road between them.
      Sysctls: { 'net.ipv4.ip_forward': '0' },
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '2' } },
    },
    NetworkingConfig: { EndpointsConfig: { [network.name]: { IPAMConfig: { IPv4Address: network.bundleIp } } } },
  };
}

async function connectUplink(host: DockerHost, container: Dockerode.Container): Promise<void> {
  await engine('connect the bundle to its uplink', async () => {
    try {
      await host.docker.getNetwork(UPLINK).connect({ Container: container.id });
    } catch (error) {
      const already = statusOf(error) === 403 && /already (exists|attached)/i.test(String((error as Error).message));
      if (!already) throw error;
    }
  });
}

type Daemons = Record<string, string>;

const allReady = (daemons: Daemons): boolean => Object.values(daemons).every((state) => state === 'ready');

async function lastReport(container: Dockerode.Container, signal: AbortSignal): Promise<Daemons | undefined> {
  let last: Daemons | undefined;
  for await (const line of containerLines(container, { follow: false, signal })) last = parseStatusLine(line) ?? last;
  return last;
}

async function daemonsReady(
  container: Dockerode.Container,
  name: string,
  adopted: boolean,
  signal: AbortSignal,
): Promise<Daemons> {
  const deadline = AbortSignal.timeout(READY_SECONDS * 1000);
  const said: string[] = [];
  const lines = containerLines(container, {
    follow: true,
    signal: AbortSignal.any([signal, deadline]),
    ...(adopted ? { tail: 1 } : {}),
  });
  for await (const line of lines) {
    const daemons = parseStatusLine(line);
    if (daemons === undefined) said.push(line);
    else if (allReady(daemons)) return daemons;
  }
  signal.throwIfAborted();
  const { State } = await engine(`inspect container ${name}`, () => container.inspect());
  const why = State.Running ? `after ${READY_SECONDS} s` : `it ended with ${State.ExitCode}`;
  throw new BottleError(
    'BUNDLE_NOT_READY',
    `the bundle's daemons are not ready: ${why}. ${said.slice(-3).join(' | ')}`,
    {
      // Its own complaint about what it was given: the same again cannot help.
      retryable: State.Running || State.ExitCode !== EXIT_CONFIG,
      hint: `docker logs ${name}`,
    },
  );
}
