/** Machines as hardened containers. */
import type Dockerode from 'dockerode';
import { EGRESS_NAME } from '../../core/daemons.ts';
import { BottleError } from '../../core/errors.ts';
import { LABEL, machineName } from '../../core/names.ts';
import { GUEST } from '../../core/plan.ts';
import {
  ensureContainer,
  inspectContainer,
  isGoing,
  removeContainers,
  startContainer,
  stopContainer,
} from '../container.ts';
import { assertOurs, type DockerHost, engine, labelFilter, statusOf } from '../docker.ts';
import { bottleEvents } from '../engine-events.ts';
import { isRoot, rootPath } from './administer.ts';
import { archiveOf } from './archive.ts';
import { dockerAdminister, dockerExec } from './docker-exec.ts';
import type { MachineDriver, MachineSpec, MachineState } from './driver.ts';
import { limitsEnvironment } from './limits-environment.ts';

const STOP_SECONDS = 5;
const MIB = 1024 ** 2;

export function dockerDriver(host: DockerHost): MachineDriver {
  /** @throws BottleError `MACHINE_NOT_RUNNING` when there is none, or it is another installation's */
  async function inspected(id: string): Promise<Dockerode.ContainerInspectInfo> {
    const name = machineName(id);
    const found = await inspectContainer(host, name);
    if (found === undefined) throw notRunning(name, 'is not there');
    assertOurs(host, 'container', name, found.Config.Labels);
    return found;
  }
  /** Asked once the Engine has refused: one that somebody has paused is there, and nothing but its unpausing helps. */
  async function whyNotRunning(id: string): Promise<BottleError> {
    const name = machineName(id);
    const found = await inspectContainer(host, name);
    if (found?.State.Paused !== true) return notRunning(name, 'is not running');
    return notRunning(name, 'is paused', `docker unpause ${name}, then retry`);
  }
  const machine = async (id: string): Promise<Dockerode.Container> =>
    host.docker.getContainer((await inspected(id)).Id);

  return {
    async create(bottle, spec, signal) {
      signal?.throwIfAborted();
      const name = machineName(bottle.id);
      await ensureContainer(host, bottle, 'machine.create', name, containerSpec(bottle.id, spec), true);
    },
    async start(bottle, signal) {
      signal?.throwIfAborted();
      await startContainer(await machine(bottle.id), machineName(bottle.id));
    },
    async stop(id, run) {
      const filters = labelFilter(host, id, { step: 'machine.create', run });
      const found = await engine('list containers', () => host.docker.listContainers({ filters }));
      await Promise.all(found.map(({ Id }) => stopContainer(host.docker.getContainer(Id), STOP_SECONDS)));
    },
    async delete(id, run) {
      await removeContainers(host, labelFilter(host, id, { step: 'machine.create', run }));
    },
    async status(id) {
      const found = await inspectContainer(host, machineName(id));
      return containerState(found?.Config.Labels[LABEL.owner] === host.owner ? found : undefined);
    },
    async untilStopped(id, signal) {
      // Subscribed before the first look, so that no end falls between the two.
      for await (const event of bottleEvents(host, id, signal)) {
        if (event !== undefined && (event.step !== 'machine.create' || event.action === 'oom')) continue;
        if ((await this.status(id)) !== 'running') return;
      }
      signal.throwIfAborted();
      throw new BottleError('DOCKER_UNREACHABLE', 'the Docker Engine went away while the machine was watched');
    },
    async exec(id, request) {
      const found = await inspected(id);
      const PATH = rootPath(found.Config.Env ?? [], GUEST.home);
      const placed = isRoot(request.user) ? { ...request, env: { PATH, ...request.env } } : request;
      try {
        if (isRoot(request.user) && request.administers === true && found.State.Running)
          return await dockerAdminister(host.docker, found, placed);
        return await dockerExec(host.docker.getContainer(found.Id), placed);
      } catch (error) {
        if (statusOf(error) === 409) throw await whyNotRunning(id);
        return engine('run a command in the machine', () => Promise.reject(error));
      }
    },
    async putFiles(id, files) {
      const container = await machine(id);
      await engine('write into the machine', () => container.putArchive(archiveOf(files), { path: '/' }));
    },
  };
}

/** @param found what the Engine tells of a machine's own container; undefined for none */
export function containerState(found: Dockerode.ContainerInspectInfo | undefined): MachineState {
  if (found === undefined) return 'absent';
  if (found.State.Running) return 'running';
  if (isGoing(found)) return 'absent';
  return found.State.Status === 'created' ? 'created' : 'stopped';
}

function notRunning(name: string, what: string, hint = 'bottle status shows why'): BottleError {
  return new BottleError('MACHINE_NOT_RUNNING', `the machine ${name} ${what}`, { hint });
}

function containerSpec(id: string, { network, image, env, resources }: MachineSpec): Dockerode.ContainerCreateOptions {
  return {
    Image: image,
    Hostname: id,
    User: GUEST.user,
    WorkingDir: GUEST.workspace,
    // tini reaps what the agent leaves behind; the machine itself does nothing.
    Cmd: ['tini', '--', 'sleep', 'infinity'],
    Env: Object.entries({ ...limitsEnvironment(resources), ...env }).map(([name, value]) => `${name}=${value}`),
    HostConfig: {
      NetworkMode: network.name,
      // Docker's resolver asks the bundle what it does not know itself. Engines before 25 stay silent when nobody
      // answers them there (measured: 20 s until a lookup fails), so what asks gives up after a second.
      Dns: [network.bundleIp],
      DnsOptions: ['timeout:1', 'attempts:1'],
      ExtraHosts: [`${EGRESS_NAME}:${network.bundleIp}`],
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      // Nothing answers at the gateway: a stray direct connection fails in about 0.1 s instead of 3 s.
      Sysctls: { 'net.ipv4.neigh.eth0.retrans_time_ms': '15', 'net.ipv4.neigh.eth0.mcast_solicit': '3' },
      PidsLimit: resources.pids,
      Memory: resources.memoryMiB * MIB,
      // A browser needs more than Docker's 64 MiB. It counts within the limit of the memory.
      ShmSize: Math.min(1024, resources.memoryMiB) * MIB,
      NanoCpus: Math.round(resources.cpus * 1e9),
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: 'none', Config: {} },
    },
    NetworkingConfig: { EndpointsConfig: { [network.name]: { IPAMConfig: { IPv4Address: network.machineIp } } } },
  };
}
