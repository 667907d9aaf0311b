/** One Engine in namespaces of its own: brought up, given images, and ended with all that it made. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import Dockerode from 'dockerode';
import { type EngineFacts, engineFacts } from '../../src/host/engine-facts.ts';
import type { EngineKind } from './engines.ts';

const SCRIPT = fileURLToPath(new URL('namespaces.sh', import.meta.url));
const START_SECONDS = 60;

export interface RunningEngine {
  readonly facts: EngineFacts;
  readonly docker: Dockerode;
  readonly dockerHost: string;
  /** Of a process in whose network the Engine has its bridges: whoever tests it is a neighbour there, as on one host. */
  readonly networkOf: number;
  stop(): Promise<void>;
}

/**
 * @param lower its root file system, which stays as it is
 * @param place a folder of its own; what it keeps there (images) is used again
 * @throws Error with its last words when it does not come up; nothing is left running then
 */
export async function startEngine(kind: EngineKind, lower: string, place: string): Promise<RunningEngine> {
  for (const name of ['upper', 'work', 'run', 'root']) rmSync(path.join(place, name), { recursive: true, force: true });
  for (const name of ['upper', 'work', 'run', 'root', 'data']) mkdirSync(path.join(place, name), { recursive: true });
  const group = `bottle-${kind.name}-${process.pid}`;
  // Mounts, network and processes end with the first process of the namespaces, that one with `unshare`, and that with this
  // program, also when it is killed.
  const flags = ['--mount', '--net', '--pid', '--fork', '--kill-child=SIGKILL', '--propagation', 'private'];
  const command = ['--pdeathsig', 'KILL', 'unshare', ...flags, 'sh', SCRIPT, lower, place, kind.start, group];
  const child = spawn('setpriv', command, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const ended = once(child, 'exit');
  const endWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    process.off('exit', endWithUs);
    await removeGroups(group);
  };
  try {
    const socketPath = path.join(place, 'run/docker.sock');
    const docker = new Dockerode({ socketPath });
    const facts = await answering(docker, () => child.exitCode ?? child.signalCode);
    const networkOf = networkProcess(child.pid as number, kind);
    return { facts, docker, dockerHost: `unix://${socketPath}`, networkOf, stop };
  } catch (error) {
    const log = path.join(place, 'run/engine.log');
    const words = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').slice(-8).join('\n') : '';
    await stop();
    throw new Error(`${kind.name} did not start: ${(error as Error).message}\n${said}${words}`);
  }
}

async function answering(docker: Dockerode, ended: () => unknown): Promise<EngineFacts> {
  for (const end = Date.now() + START_SECONDS * 1000; ; await sleep(100)) {
    try {
      return await engineFacts(docker);
    } catch (error) {
      if (ended() !== null || Date.now() > end) throw error;
    }
  }
}

/** A rootless Engine's bridges are in the namespace that RootlessKit made, where the Engine is. */
function networkProcess(unshare: number, kind: EngineKind): number {
  const wanted = kind.start === 'podman' ? 'podman' : 'dockerd';
  const below = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(below)];
  const found = below(unshare).find((pid) => commandOf(pid) === wanted);
  if (found === undefined) throw new Error(`no process ${wanted} below ${unshare}`);
  return found;
}

/** Of each of its threads: whoever writes in Go starts processes from any. */
const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
const commandOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();

/** Control groups are the kernel's to keep: nobody removes them with the processes that were in them. */
export async function removeGroups(group: string): Promise<void> {
  const controllers = readdirSync('/sys/fs/cgroup', { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const top of ['/sys/fs/cgroup', ...controllers.map(({ name }) => `/sys/fs/cgroup/${name}`)]) {
    const directory = path.join(top, group);
    if (!existsSync(directory)) continue;
    // The last process may take a moment to be gone.
    for (let left = 20; left > 0; left -= 1) {
      try {
        removeTree(directory);
        break;
      } catch {
        await sleep(50);
      }
    }
  }
}

/** Its files are the kernel's too: just the folders can be removed. */
function removeTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(path.join(directory, entry.name));
  rmdirSync(directory);
}

/** Nothing but the images of an earlier run, in case that it was cut short; and of those, just the ones that are wanted. */
export async function tidy({ docker }: RunningEngine, wanted: readonly string[]): Promise<void> {
  for (const { Id } of await docker.listContainers({ all: true })) {
    await docker.getContainer(Id).remove({ force: true, v: true });
  }
  for (const { Id, Name } of await docker.listNetworks()) {
    if (!['bridge', 'host', 'none', 'podman'].includes(Name)) await docker.getNetwork(Id).remove();
  }
  for (const tag of await tagsOn(docker)) if (!wanted.includes(tag)) await docker.getImage(tag).remove({ force: true });
}

/** Carries over the images that are not there yet. @returns how many */
export async function carryImages(
  from: Dockerode,
  { docker }: Pick<RunningEngine, 'docker'>,
  tags: readonly string[],
): Promise<number> {
  const there = await tagsOn(docker);
  const missing = tags.filter((tag) => !there.includes(tag));
  if (missing.length === 0) return 0;
  // All in one archive: layers that they share go once.
  // The types of dockerode do not know it.
  const { getImages } = from as unknown as { getImages(of: { names: string[] }): Promise<NodeJS.ReadableStream> };
  const archive = await getImages.call(from, { names: missing });
  const log = await docker.loadImage(archive);
  await pipeline(log, async (chunks) => {
    for await (const _chunk of chunks);
  });
  const now = await tagsOn(docker);
  const lost = missing.filter((tag) => !now.includes(tag));
  if (lost.length > 0) throw new Error(`images were not taken: ${lost.join(', ')}`);
  return missing.length;
}

/** Podman puts a host before names that have none. */
async function tagsOn(docker: Dockerode): Promise<string[]> {
  const images = await docker.listImages();
  return images.flatMap(({ RepoTags }) => RepoTags ?? []).map((tag) => tag.replace(/^localhost\//, ''));
}
