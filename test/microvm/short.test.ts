/** One microVM of the real smolvm from its making to its end, on a host where it boots. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import os from 'node:os';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BottleRef } from '../../src/core/step-io.ts';
import type { MachineSpec } from '../../src/host/machine/driver.ts';
import { obtainSmolvm } from '../../src/host/smolvm-package.ts';
import { run, sh } from '../support/docker-site.ts';
import { type SmolvmMachines, smolvmMachines } from '../support/smolvm-machines.ts';

const PORT = 8888;
let machines: SmolvmMachines;
let made: { bottle: BottleRef; spec: MachineSpec };
let id: string;

beforeAll(async () => {
  machines = await smolvmMachines(await obtainSmolvm((line) => console.error(line)));
  made = await machines.prepare();
  id = made.bottle.id;
});
afterAll(() => machines?.dispose());

const took: string[] = [];
async function timed<T>(what: string, act: () => Promise<T>): Promise<T> {
  const began = performance.now();
  try {
    return await act();
  } finally {
    took.push(`${what} ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }
}
afterAll(() => console.info(`microVM: ${took.join(', ')}`));

test('is made and boots', async () => {
  await timed('create', () => machines.driver.create(made.bottle, made.spec));
  expect(await machines.driver.status(id)).toBe('created');
  await timed('start', () => machines.driver.start(made.bottle));
  expect(await machines.driver.status(id)).toBe('running');
});

test('runs commands under a kernel of its own, with their streams and exit codes', async () => {
  const kernel = (await run(machines.driver, id, ['uname', '-r'])).stdout.trim();
  expect(kernel).toMatch(/^\d+\.\d+/);
  expect(kernel).not.toBe(os.release());
  const said = await timed('exec', () => sh(machines.driver, id, 'cat; echo err >&2; exit 7', { stdin: 'in\n' }));
  expect(said).toEqual({ exitCode: 7, stdout: 'in\n', stderr: 'err\n' });
});

test('takes files with their modes and owners', async () => {
  const content = Buffer.from('content\n');
  await machines.driver.putFiles(id, [{ path: '/home/agent/put', mode: 0o640, content }]);
  const { stdout } = await sh(machines.driver, id, 'stat -c "%a %U %G" /home/agent/put; cat /home/agent/put');
  expect(stdout).toBe('640 agent agent\ncontent\n');
});

test('reaches its bundle, and neither the host nor anybody else; no name leads anywhere', async () => {
  const { network } = made.spec;
  const bundle = await machines.site.docker.createContainer({
    Image: machines.site.images.machine,
    Cmd: ['socat', `TCP-LISTEN:${PORT},fork,reuseaddr`, 'SYSTEM:echo bundle'],
    Labels: { 'bottleworks.owner': machines.site.owner },
    HostConfig: { NetworkMode: network.name },
    NetworkingConfig: { EndpointsConfig: { [network.name]: { IPAMConfig: { IPv4Address: network.bundleIp } } } },
  });
  await bundle.start();
  const dial = async (address: string): Promise<string> =>
    (await sh(machines.driver, id, `timeout 10 bash -c 'exec 3<>/dev/tcp/${address}/${PORT} && cat <&3' 2>&1`)).stdout;
  const host = createServer((socket) => void socket.end('host\n'));
  host.listen(PORT, '0.0.0.0');
  await once(host, 'listening');
  try {
    await expect.poll(() => dial(network.bundleIp)).toBe('bundle\n');
    expect(await dial('egress')).toBe('bundle\n');
    for (const other of [network.gateway, '127.0.0.1', '1.1.1.1', '198.51.100.1', '169.254.169.254', '8.8.8.8']) {
      expect(await heardOutside(other)).toBe('host\n');
      expect(await dial(other)).not.toContain('host');
    }
    expect((await sh(machines.driver, id, 'getent hosts example.com')).exitCode).not.toBe(0);
  } finally {
    host.close();
    await bundle.remove({ force: true });
  }
});

/** What a neighbour of the machine is told there, so that silence in it means something. */
const heardOutside = async (address: string): Promise<string> => text(connect(PORT, address));

test('stops, starts again with what was written in it, and is gone when deleted', async () => {
  await timed('stop', () => machines.driver.stop(id));
  expect(await machines.driver.status(id)).toBe('stopped');
  await timed('start again', () => machines.driver.start(made.bottle));
  expect((await sh(machines.driver, id, 'cat /home/agent/put')).stdout).toBe('content\n');
  await timed('delete', () => machines.driver.delete(id));
  expect(await machines.remains(id)).toEqual([]);
});
