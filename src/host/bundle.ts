/** A bottle's sidecar bundle: the container, its two networks, and waiting until its daemons are ready. */
import type Dockerode from 'dockerode';
import { BottleError } from '../core/errors.ts';
import { bundleName } from '../core/names.ts';
import type { BundleInput, BundleResult } from '../core/step-io.ts';
import { ensureContainer, removeContainers, startContainer } from './container.ts';
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
  await startContainer(container, name);
  return { container: name, daemons: await daemonsReady(container, name, signal) };
}

/** Stops the bundle so that its daemons can finish, then removes it. What is not this owner's is not touched. */
export async function removeBundle(host: DockerHost, id: string): Promise<void> {
  await removeContainers(host, labelFilter(host, id, 'bundle'), STOP_SECONDS);
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

const STATUS_LINE = /^\[init\] status (\{.*\})$/;

async function daemonsReady(
  container: Dockerode.Container,
  name: string,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const deadline = AbortSignal.timeout(READY_SECONDS * 1000);
  const last: string[] = [];
  for await (const line of containerLines(container, AbortSignal.any([signal, deadline]))) {
    const status = STATUS_LINE.exec(line)?.[1];
    if (status === undefined) {
      last.push(line);
      if (last.length > 3) last.shift();
      continue;
    }
    const daemons = JSON.parse(status) as Record<string, string>;
    if (Object.values(daemons).every((state) => state === 'ready')) return daemons;
  }
  signal.throwIfAborted();
  const why = deadline.aborted ? `not ready after ${READY_SECONDS} s` : 'it ended';
  throw new BottleError('BUNDLE_NOT_READY', `the bundle's daemons did not become ready: ${why}. ${last.join(' | ')}`, {
    hint: `docker logs ${name}`,
  });
}
