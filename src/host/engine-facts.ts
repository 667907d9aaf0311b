/** What an Engine says of itself. How things are asked of it follows from this, and from nothing else. */
import os from 'node:os';
import type Dockerode from 'dockerode';

export interface EngineFacts {
  readonly product: 'Docker Engine' | 'Podman';
  /** As the Engine writes it: `28.5.2+dfsg4`. */
  readonly version: string;
  /** The newest version of the API that it speaks. */
  readonly apiVersion: string;
  /** `linux/amd64`. */
  readonly platform: string;
  /** Whether it runs as an ordinary user, who can give a container no more than is theirs. */
  readonly rootless: boolean;
  readonly cgroupVersion: 1 | 2;
  /** Which limits of a container it can hold. The others it drops with a warning that nobody sees, or refuses. */
  readonly limits: { readonly memory: boolean; readonly pids: boolean; readonly cpus: boolean };
  readonly size: EngineSize;
}

export interface EngineSize {
  readonly cores: number;
  readonly memoryMiB: number;
  /** Whether containers use this computer's own memory and disk, and not another's, or a virtual machine's. */
  readonly isHere: boolean;
  /** Where it keeps containers, as seen from the Engine. */
  readonly root: string;
}

const MIB = 1024 ** 2;

const kept = new WeakMap<Dockerode, Promise<EngineFacts>>();

/**
 * Asked once for a connection, then kept, until {@link forgetEngine}.
 * @throws the Engine's error
 */
export function engineFacts(docker: Dockerode): Promise<EngineFacts> {
  const known = kept.get(docker);
  if (known !== undefined) return known;
  const asked = ask(docker);
  kept.set(docker, asked);
  asked.catch(() => kept.delete(docker));
  return asked;
}

/** After a refusal: another Engine may have come up behind the same socket, as it does when one is upgraded. */
export function forgetEngine(docker: Dockerode): void {
  kept.delete(docker);
}

/** Whether the Engine speaks that version of the API, or a newer one. */
export function speaks({ apiVersion }: Pick<EngineFacts, 'apiVersion'>, wanted: string): boolean {
  return compareVersions(apiVersion, wanted) >= 0;
}

/** @returns negative, zero or positive, as for a sort; of two texts like `1.9` and `1.46` */
export function compareVersions(one: string, other: string): number {
  const [a, b] = [one, other].map((text) => text.split('.').map(Number)) as [number[], number[]];
  return (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0);
}

/** The part of `/info` that is read here; the types of dockerode know less. */
interface Info {
  SecurityOptions?: string[] | null;
  CgroupVersion?: string;
  MemoryLimit?: boolean;
  PidsLimit?: boolean;
  CpuCfsQuota?: boolean;
  NCPU: number;
  MemTotal: number;
  KernelVersion: string;
  DockerRootDir: string;
}

async function ask(docker: Dockerode): Promise<EngineFacts> {
  const [version, info] = await Promise.all([docker.version(), docker.info() as Promise<Info>]);
  return {
    product: (version.Components ?? []).some(({ Name }) => /podman/i.test(Name)) ? 'Podman' : 'Docker Engine',
    version: version.Version,
    apiVersion: version.ApiVersion,
    platform: `${version.Os}/${version.Arch}`,
    rootless: (info.SecurityOptions ?? []).some((option) => /^name=rootless\b/.test(option)),
    cgroupVersion: info.CgroupVersion === '2' ? 2 : 1,
    // What is not told is there: an Engine says so when it lacks one.
    limits: {
      memory: info.MemoryLimit !== false,
      pids: info.PidsLimit !== false,
      cpus: info.CpuCfsQuota !== false,
    },
    size: {
      cores: info.NCPU,
      memoryMiB: info.MemTotal / MIB,
      isHere: process.platform === 'linux' && info.KernelVersion === os.release() && info.MemTotal === os.totalmem(),
      root: info.DockerRootDir,
    },
  };
}
