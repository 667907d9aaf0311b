/** Containers of a bottle: ensure one from its spec, or the absence of all that a filter finds. */
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { BottleError } from '../core/errors.ts';
import type { BottleRef } from '../core/step-io.ts';
import { asEngineTakes } from './container-request.ts';
import {
  assertOurs,
  type DockerHost,
  engine,
  ensureGone,
  isWanted,
  isWantedOf,
  objectLabels,
  statusOf,
} from './docker.ts';
import { engineFacts, forgetEngine } from './engine-facts.ts';

const APPEAR_SECONDS = 3;

/**
 * Adopts the container of that name when it was made from the same spec in the same run, replaces it when it
 * differs, creates it when it is missing. Does not start it.
 * @param keeps whether one that has lost its networks is put on them again rather than replaced: it holds somebody's work
 * @throws BottleError `NAME_TAKEN`, `IMAGE_MISSING`, `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function ensureContainer(
  host: DockerHost,
  bottle: BottleRef,
  step: string,
  name: string,
  spec: Dockerode.ContainerCreateOptions,
  keeps = false,
): Promise<Dockerode.Container> {
  const labels = objectLabels(host, bottle, step, spec);
  const existing = await inspectContainer(host, name);
  if (existing !== undefined) {
    assertOurs(host, 'container', name, existing.Config.Labels);
    const same = keeps ? isWantedOf(bottle, existing.Config.Labels, labels) : isWanted(existing.Config.Labels, labels);
    const wanted = !isGoing(existing) && same;
    const attached = wanted && (await isAttached(host, existing, spec));
    if (wanted && !attached && keeps) await attach(host, existing, spec);
    if (wanted && (attached || keeps)) return host.docker.getContainer(existing.Id);
    await removeContainer(host.docker.getContainer(existing.Id));
  }
  const facts = await engine('ask for its version', () => engineFacts(host.docker));
  try {
    return await host.docker.createContainer({ ...asEngineTakes(facts, spec), name, Labels: labels });
  } catch (error) {
    forgetEngine(host.docker);
    if (statusOf(error) === 404 && /no such image/i.test(String((error as Error).message))) {
      throw new BottleError('IMAGE_MISSING', `the image ${spec.Image} is not on this host`, {
        hint: 'bottle image build',
      });
    }
    // The killed predecessor of this attempt got there first: what it makes is what is wanted.
    const now = statusOf(error) === 409 ? await appearing(host, name) : undefined;
    if (now !== undefined && isWanted(now.Config.Labels, labels)) return host.docker.getContainer(now.Id);
    if (now !== undefined) assertOurs(host, 'container', name, now.Config.Labels);
    return engine(`create container ${name}`, () => Promise.reject(error));
  }
}

/** Whether a container is still on the networks it was made for: they may have been taken from it, or made anew. */
async function isAttached(
  host: DockerHost,
  { NetworkSettings }: Dockerode.ContainerInspectInfo,
  { NetworkingConfig }: Dockerode.ContainerCreateOptions,
): Promise<boolean> {
  for (const name of Object.keys(NetworkingConfig?.EndpointsConfig ?? {})) {
    const endpoint = NetworkSettings.Networks[name];
    if (endpoint === undefined) return false;
    // Filled in when the container is first started; until then only the name counts.
    if (endpoint.NetworkID === '') continue;
    const networks = await engine('list networks', () =>
      host.docker.listNetworks({ filters: { id: [endpoint.NetworkID] } }),
    );
    if (networks.length === 0) return false;
  }
  return true;
}

/** Puts a container, running or not, on the networks it was made for, at its addresses there. */
async function attach(
  host: DockerHost,
  existing: Dockerode.ContainerInspectInfo,
  spec: Dockerode.ContainerCreateOptions,
): Promise<void> {
  const facts = await engine('ask for its version', () => engineFacts(host.docker));
  const wanted = asEngineTakes(facts, spec).NetworkingConfig?.EndpointsConfig ?? {};
  for (const [name, EndpointConfig] of Object.entries(wanted)) {
    const network = host.docker.getNetwork(name);
    // What it remembers of one that was removed would keep it from being started.
    if (existing.NetworkSettings.Networks[name] !== undefined) {
      await network.disconnect({ Container: existing.Id, Force: true }).catch(() => undefined);
    }
    await engine(`connect to network ${name}`, () => network.connect({ Container: existing.Id, EndpointConfig }));
  }
}

/** The Engine reserves a name some time before it knows a container of it, so "in use" may mean "soon". */
async function appearing(host: DockerHost, name: string): Promise<Dockerode.ContainerInspectInfo | undefined> {
  for (const end = Date.now() + APPEAR_SECONDS * 1000; ; ) {
    const found = await inspectContainer(host, name);
    if (found !== undefined || Date.now() > end) return found;
    await sleep(25);
  }
}

/** @returns what the Engine knows of a container; undefined when there is none of that name or id */
export async function inspectContainer(
  host: DockerHost,
  name: string,
): Promise<Dockerode.ContainerInspectInfo | undefined> {
  return engine(`inspect container ${name}`, async () => {
    try {
      return await host.docker.getContainer(name).inspect();
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  });
}

/** Whether a container is being removed, or its removal has failed half-way: it can never be started again. */
export function isGoing({ State }: Dockerode.ContainerInspectInfo): boolean {
  return State.Status === 'removing' || State.Dead;
}

/** Starts a container; one that runs is left alone, and then the answer is false. */
export async function startContainer(container: Dockerode.Container, name: string): Promise<boolean> {
  return engine(`start container ${name}`, async () => {
    try {
      await container.start();
      return true;
    } catch (error) {
      if (statusOf(error) !== 304) throw error;
      return false;
    }
  });
}

/**
 * Removes every container a label filter finds, running or not, with its anonymous volumes.
 * @param graceSeconds how long a running one may take to end by itself after SIGTERM; 0 kills at once
 */
export async function removeContainers(
  host: DockerHost,
  filters: { label: string[] },
  graceSeconds = 0,
): Promise<void> {
  const found = await engine('list containers', () => host.docker.listContainers({ all: true, filters }));
  await Promise.all(
    found.map(async ({ Id, State }) => {
      const container = host.docker.getContainer(Id);
      if (graceSeconds > 0 && State === 'running') await stopContainer(container, graceSeconds);
      await removeContainer(container);
    }),
  );
}

/** Asks a container to end and waits; one that is stopped or gone already is fine. */
export async function stopContainer(container: Dockerode.Container, graceSeconds: number): Promise<void> {
  await ensureGone('stop container', () => container.stop({ t: graceSeconds }));
}

/** Kills and removes one container, and returns when it is gone. */
export async function removeContainer(container: Dockerode.Container): Promise<void> {
  try {
    await container.remove({ force: true, v: true });
  } catch (error) {
    if (statusOf(error) === 404) return;
    // 409: a killed predecessor's removal is still under way; it is gone when the Engine says "removed".
    if (statusOf(error) !== 409) await engine('remove container', () => Promise.reject(error));
    await ensureGone('wait for removal', () => container.wait({ condition: 'removed' }));
  }
}
