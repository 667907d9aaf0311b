/** What a bottle stands on, as the Engine and the machine's driver tell of it now: what of it is gone, and how it went. */
import type Dockerode from 'dockerode';
import type { Loss } from '../core/healing.ts';
import { bundleName, LABEL, machineName, networkName } from '../core/names.ts';
import type { MachineInput } from '../core/step-io.ts';
import { dependentsOf, type StepId } from '../core/steps.ts';
import { inspectContainer } from './container.ts';
import { type DockerHost, engine, labelFilter } from './docker.ts';
import { containerState } from './machine/docker.ts';
import type { MachineState } from './machine/driver.ts';
import { type MachineHost, machineDriver } from './machine/drivers.ts';

/**
 * Looks at the bridge, the bundle and the machine of a bottle that has been made.
 * @returns the steps that make again what is gone, in the order of the launch, with `check` after them; none when all stands
 * @throws BottleError `DOCKER_UNREACHABLE`, `DOCKER_ERROR`, and what the driver's `status` throws
 */
export async function lossOf(host: MachineHost, { bottle, driver }: MachineInput): Promise<Loss> {
  const isContainer = driver === 'docker';
  const [networks, bundle, [state, machine]] = await Promise.all([
    ownNetworks(host, bottle.id),
    ownContainer(host, bundleName(bottle.id)),
    isContainer ? containerMachine(host, bottle.id) : [await machineDriver(driver, host).status(bottle.id), undefined],
  ]);
  const lost = new Map<StepId, string>();
  const bridge = networkName(bottle.id);
  if (networks.length === 0) lost.set('network', `the network ${bridge} is gone`);
  const bundleGone =
    fallOf('bundle', bundle) ?? detachedFrom('bundle', bundle, bridge, networks) ?? cutOff(bundle, bridge);
  if (bundleGone !== undefined) lost.set('bundle', bundleGone);
  const machineGone = state === 'running' ? undefined : (fallOf('machine', machine) ?? `the machine is ${state}`);
  if (state === 'absent') lost.set('machine.create', machineGone ?? '');
  else if (machineGone !== undefined) lost.set('machine.start', machineGone);
  // With the files in it: what it has lost is only its place on the bridge, and that is given back to it.
  const machineCut = isContainer && state !== 'absent' ? detachedFrom('machine', machine, bridge, networks) : undefined;
  if (machineCut !== undefined) lost.set('machine.create', machineCut);
  return { steps: inOrder(lost, state === 'absent'), why: Object.fromEntries(lost) };
}

/** What has been lost runs again, what a machine takes with it when it is gone, and the proof that all is as it was. */
function inOrder(lost: ReadonlyMap<StepId, string>, machineIsGone: boolean): StepId[] {
  if (lost.size === 0) return [];
  const again = new Set<StepId>([...lost.keys(), ...(machineIsGone ? dependentsOf('machine.create') : []), 'check']);
  return dependentsOf('prepare').filter((step) => again.has(step));
}

async function ownNetworks(host: DockerHost, id: string): Promise<string[]> {
  const found = await engine('list networks', () => host.docker.listNetworks({ filters: labelFilter(host, id) }));
  return found.map(({ Id }) => Id);
}

/** A machine that is a container, looked at once: its state as the driver has it, and all that the Engine tells of it. */
async function containerMachine(
  host: DockerHost,
  id: string,
): Promise<[MachineState, Dockerode.ContainerInspectInfo | undefined]> {
  const found = await ownContainer(host, machineName(id));
  return [containerState(found), found];
}

/** Inspected, not listed: at the moment of its death a container is still in the list of running ones. */
async function ownContainer(host: DockerHost, name: string): Promise<Dockerode.ContainerInspectInfo | undefined> {
  const found = await inspectContainer(host, name);
  return found?.Config.Labels[LABEL.owner] === host.owner ? found : undefined;
}

function fallOf(what: string, found: Dockerode.ContainerInspectInfo | undefined): string | undefined {
  if (found === undefined) return `the ${what} is gone`;
  const { Running, OOMKilled, ExitCode } = found.State;
  if (Running) return undefined;
  return `the ${what} has ended with exit code ${ExitCode}${OOMKilled ? ', killed for memory' : ''}`;
}

/** Of one that was never started the Engine tells no network's id, and its start puts it there by name. */
function detachedFrom(
  what: string,
  found: Dockerode.ContainerInspectInfo | undefined,
  bridge: string,
  networks: readonly string[],
): string | undefined {
  if (found === undefined) return undefined;
  const at = found.NetworkSettings.Networks[bridge]?.NetworkID;
  return at === '' || (at !== undefined && networks.includes(at))
    ? undefined
    : `the ${what} is not on its network any more`;
}

/** It stands on one network more, whatever that is called: its way out. */
const cutOff = (found: Dockerode.ContainerInspectInfo | undefined, bridge: string): string | undefined =>
  Object.keys(found?.NetworkSettings.Networks ?? {}).some((name) => name !== bridge)
    ? undefined
    : 'the bundle has no way out any more';
