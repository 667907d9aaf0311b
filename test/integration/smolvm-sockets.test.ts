/** Machines without a network: what they dial on their own loopback gets to the bundle, and nothing else gets anywhere. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EGRESS_URL, PIPELOCK_PORT, SUPERVISE_PORT } from '../../src/core/daemons.ts';
import { BUNDLE_PORTS, seenFromMachine } from '../../src/core/machine-link.ts';
import { bundleName, machineName } from '../../src/core/names.ts';
import type { BottleRef, NetworkFacts } from '../../src/core/step-io.ts';
import { ensureBundle } from '../../src/host/bundle.ts';
import { type BundleConnections, bundleConnections } from '../../src/host/machine/smolvm/bundle-session.ts';
import { callSmolvm } from '../../src/host/machine/smolvm/cli.ts';
import {
  ensureRelay,
  hasLink,
  isLinked,
  linkDirectory,
  makeLink,
  relays,
} from '../../src/host/machine/smolvm/relay.ts';
import { ensureNetwork } from '../../src/host/network.ts';
import { obtainSmolvm } from '../../src/host/smolvm-package.ts';
import { type DockerSite, dockerSite, sh } from '../support/docker-site.ts';
import { runIn } from '../support/run-in-container.ts';
import { standIn, standInTrouble } from '../support/smolvm.ts';
import { type SmolvmMachines, smolvmMachines } from '../support/smolvm-machines.ts';

const NEVER = new AbortController().signal;

describe("connections to a bundle over one command's streams", () => {
  let site: DockerSite;
  let container: Dockerode.Container;
  let name: string;
  let connections: BundleConnections;

  /** In the bundle's place: at one port what comes back is what was sent, and it ends when that does; at another, an end is answered. */
  const SERVERS = `const net = require('node:net');
    net.createServer({ allowHalfOpen: true }, (s) => s.on('error', () => 0).pipe(s)).listen(${SUPERVISE_PORT});
    net.createServer({ allowHalfOpen: true }, (s) => { let n = 0; s.on('error', () => 0); s.on('data', (d) => (n += d.length)); s.on('end', () => setTimeout(() => s.end('got ' + n), 1500)); }).listen(${PIPELOCK_PORT});
    console.log('listening');`;

  beforeAll(async () => {
    site = await dockerSite();
    container = await site.stranger({ Image: site.images.bundle, Cmd: ['node', '-e', SERVERS] });
    name = (await container.inspect()).Name.slice(1);
    connections = bundleConnections(site.docker, name, '127.0.0.1');
    await untilEchoed();
  });
  afterAll(() => site.dispose());

  async function exchange(port: number, sent: Buffer): Promise<Buffer> {
    const connection = await connections.open(port);
    const came = buffer(connection);
    connection.end(sent);
    return came;
  }
  const echoed = (sent: Buffer) => exchange(SUPERVISE_PORT, sent);
  /** The container may be just starting. */
  async function untilEchoed(): Promise<void> {
    for (const end = Date.now() + 120_000; ; await sleep(50)) {
      const came = await echoed(Buffer.from('x')).catch(() => undefined);
      if (came?.toString() === 'x') return;
      if (Date.now() > end) throw new Error('nothing comes back');
    }
  }
  const relaysInside = async (): Promise<string> =>
    (
      await runIn(site, name, [
        'sh',
        '-c',
        'cat /proc/[0-9]*/cmdline | tr "\\0" " " | grep -o -e "--relay 12[7]" | wc -l',
      ])
    ).stdout.trim();

  test('bring back what was sent, byte for byte, however much and of many at once', async () => {
    const all = [
      ...Array.from({ length: 60 }, () => randomBytes(20_000)),
      randomBytes(30_000_000),
      randomBytes(30_000_000),
    ];
    const came = await Promise.all(all.map(echoed));
    expect(came.map((each, index) => each.equals(all[index] as Buffer))).toEqual(all.map(() => true));
    expect(await relaysInside()).toBe('1');
  });

  test('may say their end and still get an answer', async () => {
    expect((await exchange(PIPELOCK_PORT, Buffer.from('12345'))).toString()).toBe('got 5');
  });

  test('one whose reader is slow holds up no other, and is not read ahead without bounds', async () => {
    const slow = await connections.open(SUPERVISE_PORT);
    const piece = randomBytes(1024 * 1024);
    // A window of HTTP/2 either way, and what the sockets before and behind the daemon hold: some tens of MB, as the kernel likes.
    const most = 512;
    let [written, taken] = [0, 0];
    do {
      const before = taken;
      written += 1;
      slow.write(piece, () => {
        taken += 1;
      });
      await Promise.race([once(slow, 'drain'), sleep(2000)]);
      if (taken === before && slow.writableNeedDrain) break;
    } while (written < most);
    expect(await echoed(Buffer.from('meanwhile'))).toEqual(Buffer.from('meanwhile'));
    expect(written).toBeLessThan(most);
    slow.end();
    const [sent, came] = [createHash('sha256'), createHash('sha256')];
    for (let n = 0; n < written; n += 1) sent.update(piece);
    for await (const chunk of slow) came.update(chunk as Buffer);
    expect(came.digest('hex')).toBe(sent.digest('hex'));
  });

  test.each([
    ['nobody listens', 9418],
    ['nobody may dial', 22],
  ])('one to a port where %s ends, and the others go on', async (_what, port) => {
    const other = await connections.open(SUPERVISE_PORT);
    await expect(exchange(port, Buffer.from('hello')).then(String))
      .resolves.toBe('')
      .catch(() => undefined);
    expect(await echoed(Buffer.from('still'))).toEqual(Buffer.from('still'));
    other.end('there');
    expect((await buffer(other)).toString()).toBe('there');
  });

  test('end with their container, and new ones find the next', async () => {
    const open: Duplex = await connections.open(SUPERVISE_PORT);
    open.on('error', () => undefined);
    open.resume();
    const closed = once(open, 'close');
    await container.restart({ t: 0 });
    await closed;
    await untilEchoed();
  });
});

const trouble = standInTrouble();
if (trouble !== undefined) console.warn(`no machine without a network is tried: the stand-in ${trouble}`);

describe.skipIf(trouble !== undefined)('a machine that is linked by sockets', () => {
  let machines: SmolvmMachines;
  let bottle: BottleRef;
  let network: NetworkFacts;
  const spec = () => ({
    ...machines.site.machineSpec(seenFromMachine(network, 'sockets')),
    network,
    link: 'sockets' as const,
  });
  const inside = (script: string) => sh(machines.driver, bottle.id, script);
  const status = (url: string, ...options: string[]) =>
    inside(`curl -s -o /dev/null -w '%{http_code}' --max-time 60 ${options.join(' ')} ${url}`);
  const relayPids = async (): Promise<number[]> =>
    (await relays(machines.host.settings, machineName(bottle.id))).map(({ pid }) => pid);

  beforeAll(async () => {
    machines = await smolvmMachines({ path: standIn });
    bottle = machines.site.bottle('vm');
    network = await ensureNetwork(machines.site, bottle, { pool: machines.site.pool, hostOnBridge: false });
    const input = machines.site.bundleInput(bottle, network, { plans: { supervise: { maxPending: 3 } } });
    await machines.driver.create(bottle, spec());
    await Promise.all([ensureBundle(machines.site, input, NEVER), machines.driver.start(bottle)]);
  });
  afterAll(async () => {
    await machines.driver.delete(bottle.id);
    await machines.dispose();
  });

  test("reaches the scanner and what else is the bundle's, at once after its start", async () => {
    expect((await status(`http://127.0.0.1:${PIPELOCK_PORT}/health`, "--noproxy '*'")).stdout).toBe('200');
    expect((await status(`http://127.0.0.1:${SUPERVISE_PORT}/mcp`, "--noproxy '*'")).stdout).toBe('405');
    expect((await status('http://unlisted.bottle.invalid/')).stdout).toBe('403');
    // By its name, and by the proxy that would be used otherwise.
    for (const how of ["--noproxy '*'", "--noproxy ''"]) {
      expect([how, (await status(`${EGRESS_URL}/`, how)).stdout]).toEqual([how, '200']);
    }
  });

  test('has no network device, no way to the host or the bridge, and no names', async () => {
    const { stdout } = await inside('ls /sys/class/net; ip -4 route; getent ahostsv4 example.com || echo none');
    expect(stdout.trim().split(/\s+/)).toEqual(['lo', 'none']);
    for (const address of [network.bundleIp, network.gateway, '1.1.1.1', '172.17.0.1']) {
      const { exitCode } = await inside(
        `curl -s --noproxy '*' --connect-timeout 2 http://${address}:${PIPELOCK_PORT}/health`,
      );
      expect([address, exitCode]).toEqual([address, 7]);
    }
  });

  test('whose way to the bundle has died does not count as running, is heard of, and is mended by a start, as it is', async () => {
    await inside('echo kept > /tmp/kept');
    const before = await relayPids();
    expect(before).toHaveLength(1);
    const heard = machines.driver.untilStopped(bottle.id, NEVER);
    process.kill(before[0] as number, 'SIGKILL');
    await heard;
    expect(await machines.driver.status(bottle.id)).toBe('stopped');
    await Promise.all([machines.driver.start(bottle), machines.driver.start(bottle)]);
    expect(await machines.driver.status(bottle.id)).toBe('running');
    expect(await relayPids()).toHaveLength(1);
    expect((await inside('cat /tmp/kept')).stdout).toBe('kept\n');
    expect((await status(`http://127.0.0.1:${PIPELOCK_PORT}/health`, "--noproxy '*'")).stdout).toBe('200');
  });

  test('finds the bundle again that was started anew', async () => {
    await machines.site.docker.getContainer(bundleName(bottle.id)).restart({ t: 0 });
    const input = machines.site.bundleInput(bottle, network, { plans: { supervise: { maxPending: 3 } } });
    await ensureBundle(machines.site, input, NEVER);
    expect((await status(`http://127.0.0.1:${PIPELOCK_PORT}/health`, "--noproxy '*'")).stdout).toBe('200');
  });

  test('leaves no process and no socket, however often and from whom it is told to go', async () => {
    await machines.driver.stop(bottle.id);
    expect(await relayPids()).toEqual([]);
    await machines.driver.start(bottle);
    expect((await status(`http://127.0.0.1:${PIPELOCK_PORT}/health`, "--noproxy '*'")).stdout).toBe('200');
    await machines.driver.delete(bottle.id);
    expect(await relayPids()).toEqual([]);
    expect(existsSync(linkDirectory(machines.host.settings, machineName(bottle.id)))).toBe(false);
    await expect.poll(() => inBundle(machines, bottle.id, '--relay')).toBe(false);
    expect(await machines.remains(bottle.id)).toEqual([]);
  });
});

test('a process whose sockets are not there is replaced by one that listens', async () => {
  const site = await dockerSite();
  try {
    const { id } = site.bottle('vm');
    const name = machineName(id);
    makeLink(site.settings, name, '10.9.8.2');
    await ensureRelay(site.settings, id);
    const [first] = await relays(site.settings, name);
    await ensureRelay(site.settings, id);
    expect((await relays(site.settings, name)).map(({ pid }) => pid)).toEqual([first?.pid]);
    for (const port of BUNDLE_PORTS) rmSync(path.join(linkDirectory(site.settings, name), String(port)));
    expect(await isLinked(site.settings, name)).toBe(false);
    await ensureRelay(site.settings, id);
    const [second] = await relays(site.settings, name);
    expect(second?.pid).not.toBe(first?.pid);
    expect(await isLinked(site.settings, name)).toBe(true);
    rmSync(linkDirectory(site.settings, name), { recursive: true });
  } finally {
    await site.dispose();
  }
});

test('the process behind a machine ends by itself when its directory is gone', async () => {
  const site = await dockerSite();
  try {
    const { id } = site.bottle('vm');
    makeLink(site.settings, machineName(id), '10.9.8.2');
    await ensureRelay(site.settings, id);
    expect(await relays(site.settings, machineName(id))).toHaveLength(1);
    rmSync(linkDirectory(site.settings, machineName(id)), { recursive: true });
    await expect.poll(() => relays(site.settings, machineName(id))).toEqual([]);
  } finally {
    await site.dispose();
  }
});

async function inBundle({ site }: SmolvmMachines, id: string, word: string): Promise<boolean> {
  const { stdout } = await runIn(site, bundleName(id), ['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" "\\n"']);
  return stdout.split('\n').includes(word);
}

test('the real smolvm makes such a machine without a network', async () => {
  const real = await obtainSmolvm((line) => console.error(line));
  const machines = await smolvmMachines(real);
  try {
    const { bottle, spec } = await machines.prepare();
    await machines.driver.create(bottle, { ...spec, link: 'sockets' });
    const told = await callSmolvm(
      machines.smolvm,
      ['machine', 'status'],
      ['--json', '--name', machineName(bottle.id)],
      {
        timeoutMs: 60_000,
      },
    );
    expect(JSON.parse(told.stdout)).toMatchObject({
      network: false,
      ports: 0,
      mounts: 0,
      cmd: ['tini', '--', 'sh', '-c', expect.any(String)],
    });
    expect(JSON.parse(told.stdout)).not.toHaveProperty('allowed_cidrs');
    expect(hasLink(machines.host.settings, machineName(bottle.id))).toBe(true);
    await machines.driver.delete(bottle.id);
    expect(hasLink(machines.host.settings, machineName(bottle.id))).toBe(false);
  } finally {
    await machines.dispose();
  }
});
