/**
 * What the operator may do as root in a running machine, such as installing packages, and the agent never.
 *
 * No process of a machine has a capability, none can get one, and an Engine gives a command in a container either what the
 * container has or everything. So a command of the operator's runs from a container of its own, for as long as it takes,
 * which sees the processes of the machine, and joins the mounts of its first one: scripts of packages look at those too. What
 * it needed for that it gives up before the command begins: what is left are capabilities about files and processes, none
 * about network, mounts or devices. It has the machine's limits, and its network. Its filter of system calls is the Engine's
 * for what it began with: unlike the agent, a script of a package may make a user namespace.
 */
import { randomBytes } from 'node:crypto';
import type Dockerode from 'dockerode';
import { asEngineTakes } from '../container-request.ts';
import { engineFacts } from '../engine-facts.ts';

/** What Debian's package manager and the scripts of its packages use. */
const LEFT = ['chown', 'dac_override', 'fowner', 'fsetid', 'kill', 'setgid', 'setuid'];
/** To look at the first process of the machine, to join its mounts, and to give up all of these. */
const TO_ENTER = ['sys_ptrace', 'sys_admin', 'sys_chroot', 'setpcap'];

const ENTER = ['nsenter', '--target', '1', '--mount', '--'];
const SETPRIV = '/usr/bin/setpriv';

/** To be run in the operator's container: exit code 0 where the machine has the program that gives up capabilities. */
export const CAN_ADMINISTER = [...ENTER, 'test', '-x', SETPRIV];

/** The command in the operator's container that becomes `argv` in the machine. */
export const administering = (argv: readonly string[], workdir: string): string[] => [
  ...ENTER,
  SETPRIV,
  '--bounding-set',
  ['-all', ...LEFT.map((name) => `+${name}`)].join(','),
  '--inh-caps',
  '-all',
  '--',
  'env',
  `--chdir=${workdir}`,
  '--',
  ...argv,
];

/** Hands the operator's container beside a machine to `use`, and removes it. */
export async function besideMachine<Value>(
  docker: Dockerode,
  machine: Dockerode.ContainerInspectInfo,
  use: (container: Dockerode.Container) => Promise<Value>,
): Promise<Value> {
  const { Memory, NanoCpus, PidsLimit } = machine.HostConfig;
  const spec: Dockerode.ContainerCreateOptions = {
    Image: machine.Image,
    User: 'root',
    WorkingDir: '/',
    Cmd: ['tini', '--', 'sleep', 'infinity'],
    Env: machine.Config.Env,
    // It goes with the machine, also when nobody is left to remove it.
    Labels: machine.Config.Labels,
    HostConfig: {
      PidMode: `container:${machine.Id}`,
      NetworkMode: `container:${machine.Id}`,
      CapDrop: ['ALL'],
      CapAdd: [...TO_ENTER, ...LEFT].map((name) => name.toUpperCase()),
      SecurityOpt: ['no-new-privileges'],
      Memory,
      NanoCpus,
      ...(PidsLimit === undefined ? {} : { PidsLimit }),
      LogConfig: { Type: 'none', Config: {} },
    },
  };
  const name = `${machine.Name.slice(1)}-root-${randomBytes(4).toString('hex')}`;
  const container = await docker.createContainer({ ...asEngineTakes(await engineFacts(docker), spec), name });
  try {
    await container.start();
    return await use(container);
  } finally {
    await container.remove({ force: true, v: true }).catch(() => undefined);
  }
}

/**
 * Root's PATH: that of the machine without what the agent may write, since a program of the agent's that root runs by
 * mistake would be the agent as root.
 * @param env of the machine, as `NAME=VALUE`
 */
export function rootPath(env: readonly string[], home: string): string {
  const path = env.find((each) => each.startsWith('PATH='))?.slice('PATH='.length) ?? DEBIAN_PATH;
  const kept = path.split(':').filter((folder) => folder.startsWith('/') && !`${folder}/`.startsWith(`${home}/`));
  return kept.length === 0 ? DEBIAN_PATH : kept.join(':');
}

export const DEBIAN_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Users of `exec` that are root, by name or number. */
export const isRoot = (user: string | undefined): boolean => user !== undefined && /^(root|0)(:|$)/.test(user);
