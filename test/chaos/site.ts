/**
 * The installation that is broken: files, ports, owner and subnets of its own, a state on a small disk of its own where
 * this user may mount one, the Engine by a socket that can be broken. All of it goes when the run does, however that ends.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  realpathSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import Dockerode from 'dockerode';
import { LABEL } from '../../src/core/names.ts';
import { connectDocker } from '../../src/host/docker.ts';
import { dockerEndpoint } from '../../src/host/docker-endpoint.ts';
import { startServer } from '../../src/host/embedded-server.ts';
import { settings as readSettings, type Settings } from '../../src/host/settings.ts';
import { clusterOwner, connectClient } from '../../src/host/temporal-connection.ts';
import { embeddedTarget } from '../../src/host/temporal-target.ts';
import { freePort } from '../support/free-port.ts';
import { DockerRelay } from './docker-relay.ts';
import { OwnEngine } from './own-engine.ts';
import { OWNER_FILE } from './sweep.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const DISK = '512m';
const FILLER = 'filler';

export interface Site {
  readonly directory: string;
  readonly settings: Settings;
  readonly env: NodeJS.ProcessEnv;
  readonly client: Client;
  readonly owner: string;
  /** Of the ids of its bottles: on one Engine no other run has it. */
  readonly prefix: string;
  /** The Engine itself, past the socket that breaks. */
  readonly docker: Dockerode;
  readonly relay: DockerRelay;
  /** Of the run alone, where it has one: it may be broken too. */
  readonly engine: OwnEngine | undefined;
  /** Whether the state has a disk of its own, which can be filled. */
  readonly ownDisk: boolean;
  /** One in the worker's environment, one in files beside the state: they may be found nowhere else. */
  readonly secrets: readonly [variable: string, file: string];
  fillDisk(): void;
  freeDisk(): void;
  /** Ends what ran, removes everything. */
  dispose(): Promise<void>;
}

/** @param ownEngine its bottles are on an Engine of its own, not on the one that is here */
export async function chaosSite(ownEngine: boolean): Promise<Site> {
  // A real path: processes are known by it.
  const directory = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'bottle-chaos-')));
  const guard = spawn(process.execPath, [fileURLToPath(new URL('sweep.ts', import.meta.url)), directory], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = once(guard, 'exit');
  guard.unref();
  const dispose = async (): Promise<void> => {
    guard.ref();
    guard.stdin?.end();
    await ended;
  };
  try {
    return await build(directory, ownEngine, dispose, guard);
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function build(
  directory: string,
  ownEngine: boolean,
  dispose: () => Promise<void>,
  guard: ChildProcess,
): Promise<Site> {
  const state = path.join(directory, 'state');
  const home = path.join(directory, 'home');
  for (const folder of [state, ...['agents', 'bottles', 'skills'].map((name) => path.join(home, name))])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  mkdirSync(path.join(directory, 'secrets'), { mode: 0o700 });
  const ownDisk = mount(state);
  const socket = path.join(directory, 'docker.sock');
  const engine = ownEngine ? await OwnEngine.start(directory) : undefined;
  const { address } = dockerEndpoint();
  const UNIX = 'unix://';
  if (engine === undefined && !address.startsWith(UNIX))
    throw new Error(`chaos breaks the Engine's socket, and ${address} is none`);
  const relay = new DockerRelay(socket, engine?.socket ?? address.slice(UNIX.length));
  await relay.open();
  const [variable, file] = [0, 1].map(() => `chaos-${randomBytes(18).toString('base64url')}`) as [string, string];
  const env: NodeJS.ProcessEnv = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TEMPORAL|BOTTLE|DOCKER)_/.test(name))),
    BOTTLE_HOME: home,
    BOTTLE_STATE: state,
    BOTTLE_PORT: String(await freePort()),
    BOTTLE_HOST: `chaos-${process.pid}`,
    BOTTLE_CACHE: process.env['BOTTLE_CACHE'] ?? path.join(os.homedir(), '.cache', 'bottle'),
    HOME: directory,
    DOCKER_HOST: `unix://${socket}`,
    NO_COLOR: '1',
    CHAOS_TOKEN: variable,
  };
  // Away from the product's own pool and from those of the tests.
  const pool = `10.${randomInt(193, 208)}.${randomInt(64) * 4}.0/22`;
  writeFileSync(path.join(home, 'config.yaml'), `network: {pool: ${pool}}\n`);
  const settings = readSettings(env);
  const started = await startServer(settings, { detached: true });
  if (started.pid === undefined) throw new Error('no server');
  const client = await connectClient(embeddedTarget(settings));
  const owner = await clusterOwner(client);
  writeFileSync(path.join(directory, OWNER_FILE), owner);
  const filler = path.join(state, FILLER);
  return {
    directory,
    settings,
    env,
    client,
    owner,
    prefix: `c${process.pid.toString(36)}x`,
    docker: engine === undefined ? connectDocker() : new Dockerode({ socketPath: engine.socket }),
    relay,
    engine,
    ownDisk,
    secrets: [variable, file],
    fillDisk: () => fill(state, filler),
    freeDisk: () => rmSync(filler, { force: true }),
    dispose: async () => {
      relay.close();
      guard.ref();
      await dispose();
    },
  };
}

/** A disk of its own takes root on Linux; without it nothing is filled. */
function mount(state: string): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK},mode=0700`, 'tmpfs', state], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** To the last byte. */
function fill(state: string, filler: string): void {
  const descriptor = openSync(filler, 'w');
  try {
    for (let block = 1024 * 1024; block >= 1; block = Math.floor(block / 16)) {
      const zeros = Buffer.alloc(block);
      for (;;) {
        const { bavail, bsize } = statfsSync(state);
        if (bavail * bsize < block) break;
        if (writeSync(descriptor, zeros) < block) break;
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** This run's containers, of one kind or of all, whether they run or not. */
export function containersOf(
  site: Pick<Site, 'docker' | 'owner'>,
  ...labels: string[]
): Promise<Dockerode.ContainerInfo[]> {
  return site.docker.listContainers({ all: true, filters: { label: [`${LABEL.owner}=${site.owner}`, ...labels] } });
}

export function networksOf(site: Pick<Site, 'docker' | 'owner'>): Promise<Dockerode.NetworkInspectInfo[]> {
  return site.docker.listNetworks({ filters: { label: [`${LABEL.owner}=${site.owner}`] } });
}

export async function volumesOf(site: Pick<Site, 'docker' | 'owner'>): Promise<Dockerode.VolumeInspectInfo[]> {
  return (await site.docker.listVolumes({ filters: { label: [`${LABEL.owner}=${site.owner}`] } })).Volumes ?? [];
}
