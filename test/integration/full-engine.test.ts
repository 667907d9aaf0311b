/** The disk of the Docker Engine gets full, or the Engine dies: both are told by name, and go by when they are mended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Dockerode from 'dockerode';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorView } from '../../src/core/errors.ts';
import { ensureContainer } from '../../src/host/container.ts';
import { dockerAt } from '../../src/host/docker-connection.ts';
import { ensureNetwork } from '../../src/host/network.ts';
import { canMount, type SmallDisk, smallDisk } from '../support/small-disk.ts';
import { importTiny } from '../support/tiny-image.ts';

const ENGINE = ['/usr/bin/dockerd', '/usr/sbin/dockerd', '/usr/local/bin/dockerd'].find((file) => existsSync(file));
const IMAGE = 'bottle-test-full:tiny';

describe.skipIf(!canMount || ENGINE === undefined)('an Engine of its own on a disk of 64 MiB', () => {
  let disk: SmallDisk;
  let engine: ChildProcess;
  let socket: string;
  let host: { docker: Dockerode; owner: string };

  beforeAll(async () => {
    disk = await smallDisk(64);
    socket = path.join(disk.directory, 'docker.sock');
    await start();
    host = { docker: dockerAt({ address: `unix://${socket}`, chosenBy: { kind: 'DOCKER_HOST' } }), owner: 'test/full' };
    await importTiny(host.docker, IMAGE);
  });
  afterAll(async () => {
    engine?.kill('SIGKILL');
    await disk?.remove();
  });

  /** In namespaces of its own, which end with it: nobody else's network or mounts are touched. */
  async function start(): Promise<void> {
    const at = (name: string): string => path.join(disk.directory, name);
    // A killed one leaves it, and the number in it may be its successor's own in namespaces that are new.
    rmSync(at('docker.pid'), { force: true });
    const places = ['--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', at('docker.pid')];
    const alone = ['--bridge', 'none', '--iptables=false', '--storage-driver', 'vfs', '--host', `unix://${socket}`];
    const namespaces = ['--mount', '--net', '--pid', '--mount-proc', '--fork', '--kill-child=SIGKILL'];
    const spawned = (): ChildProcess =>
      spawn('unshare', [...namespaces, ENGINE as string, ...places, ...alone], { stdio: 'ignore' });
    engine = spawned();
    const docker = new Dockerode({ socketPath: socket });
    for (const end = Date.now() + 120_000; ; await sleep(50)) {
      const answers = await docker.ping().then(
        () => true,
        () => false,
      );
      if (answers) return;
      if (Date.now() > end) throw new Error('the Engine did not start');
      // What was killed may hold its files for a moment yet.
      if (engine.exitCode !== null) engine = spawned();
    }
  }

  const make = async (id: string): Promise<string> => {
    const bottle = { id, runId: 'run' };
    const made = ensureContainer(host, bottle, 'machine.create', `bottle-${id}-machine`, { Image: IMAGE, Cmd: ['x'] });
    return made.then(
      () => 'made',
      (error: unknown) => errorView(error).code,
    );
  };

  test('full: the step fails with DISK_FULL, may be tried again, and succeeds when there is room', async () => {
    disk.fill();
    expect(await make('full')).toBe('DISK_FULL');
    expect(await make('full')).toBe('DISK_FULL');
    disk.makeRoom();
    expect(await make('full')).toBe('made');
    expect(await make('full')).toBe('made');
  });

  test('killed: whatever is asked of it says so, with where it is, and succeeds when it is back', async () => {
    const ended = once(engine, 'exit');
    engine.kill('SIGKILL');
    await ended;
    const failures = await Promise.allSettled([
      ensureContainer(host, { id: 'dead', runId: 'run' }, 'machine.create', 'bottle-dead-machine', { Image: IMAGE }),
      ensureNetwork(host, { id: 'dead', runId: 'run' }, { pool: '10.9.0.0/24', hostOnBridge: true }),
    ]);
    for (const failure of failures) {
      const reason = (failure as PromiseRejectedResult).reason as unknown;
      expect(errorView(reason)).toMatchObject({
        code: 'DOCKER_UNREACHABLE',
        message: expect.stringContaining(socket),
        hint: expect.any(String),
      });
    }
    await start();
    expect(await make('dead')).toBe('made');
  });
});
