/**
 * Tries, from inside a real machine on a real network with a real bundle, to get anywhere but to the bundle's daemons
 * (invariant 1) and to become more than the agent (invariant 6). Each attempt is one that works where the setting it
 * is about is missing: the last group shows that for the means used here.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EGRESS_NAME, EGRESS_PORT, GIT_GATE_PORT, PIPELOCK_PORT, SUPERVISE_PORT } from '../../src/core/daemons.ts';
import { egressListenHost } from '../../src/core/egress-address.ts';
import { bundleName, machineName } from '../../src/core/names.ts';
import { GUEST } from '../../src/core/plan.ts';
import type { BottleRef, NetworkFacts } from '../../src/core/step-io.ts';
import { ensureBundle } from '../../src/host/bundle.ts';
import { imageScanner } from '../../src/host/images.ts';
import { type DockerSite, dockerSite, plansOf, sh } from '../support/docker-site.ts';
import { fullPlans } from '../support/full-bundle.ts';
import { dial, runIn } from '../support/run-in-container.ts';

interface Home {
  bottle: BottleRef;
  network: NetworkFacts;
}

let site: DockerSite;
let mine: Home;
let other: Home;
/** Listens on every address of the host. */
let listener: Server;
let port: number;

beforeAll(async () => {
  site = await dockerSite();
  [mine, other] = await Promise.all([home(), home()]);
  listener = createServer((_request, response) => response.end('the host'));
  await new Promise<void>((resolve) => listener.listen(0, '0.0.0.0', resolve));
  port = (listener.address() as AddressInfo).port;
});
afterAll(async () => {
  listener?.close();
  await site?.dispose();
});

async function home(): Promise<Home> {
  const plans = fullPlans({ route: site.secret('a route'), repository: site.secret('a repository') });
  const { bottle, network } = await site.machine('isolated', plansOf(plans));
  const input = site.bundleInput(bottle, network, { plans, scanner: await imageScanner() });
  await ensureBundle(site, input, new AbortController().signal);
  return { bottle, network };
}

type Target = readonly [address: string, port: number];

/** From the machine, as the agent. */
const from = ({ bottle }: Home, targets: readonly Target[]): Promise<string[]> =>
  dial(site, machineName(bottle.id), targets, GUEST.user);
const shell = (script: string, user?: string) =>
  sh(site.driver, mine.bottle.id, script, user === undefined ? {} : { user });
const addressOf = async (container: string, network: string): Promise<string> =>
  (await site.inspect(container)).NetworkSettings.Networks[network]?.IPAddress ?? '';
const hostAddresses = (): string[] =>
  Object.values(os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address);

/** Nobody answered, not even to refuse. */
const nowhere = (words: readonly string[]): string[] =>
  words.filter((word) => !['EHOSTUNREACH', 'ENETUNREACH', 'timeout'].includes(word));

describe('a machine', () => {
  test("reaches its bundle's scanner, what leads to it, push gate and supervise, and no other port: not egress", async () => {
    const { bundleIp } = mine.network;
    const closed = [1, 22, 53, 80, 443, 2375];
    const open = [PIPELOCK_PORT, EGRESS_PORT, GIT_GATE_PORT, SUPERVISE_PORT];
    const words = await from(mine, [
      ...open.map((port): Target => [bundleIp, port]),
      ...closed.map((port): Target => [bundleIp, port]),
      [egressListenHost(mine.bottle.runId), EGRESS_PORT],
    ]);
    expect(words).toEqual([...open.map(() => 'connected'), ...Array(closed.length + 1).fill('ECONNREFUSED')]);
  });

  test("knows egress by its name, which leads to the bundle's pinned address", async () => {
    const { stdout } = await shell(`getent ahosts ${EGRESS_NAME}`);
    expect(new Set(stdout.split('\n').flatMap((line) => line.split(' ')[0] || []))).toEqual(
      new Set([mine.network.bundleIp]),
    );
  });

  test('does not reach the internet', async () => {
    expect(
      nowhere(
        await from(mine, [
          ['1.1.1.1', 443],
          ['1.1.1.1', 53],
          ['8.8.8.8', 53],
          ['93.184.215.14', 80],
        ]),
      ),
    ).toEqual([]);
  });

  test('does not reach the host by the gateway of its network', async () => {
    const { gateway } = mine.network;
    expect(
      nowhere(
        await from(
          mine,
          [22, 53, 80, 443, 2375, 7233, port].map((each): Target => [gateway, each]),
        ),
      ),
    ).toEqual([]);
  });

  test("does not reach the host by any of the host's addresses, though it listens on all of them", async () => {
    const addresses = hostAddresses();
    expect(addresses).toContain(os.networkInterfaces()['docker0']?.[0]?.address);
    for (const address of addresses) {
      expect(await (await fetch(`http://${address}:${port}/`)).text()).toBe('the host');
    }
    expect(
      nowhere(
        await from(
          mine,
          addresses.map((address): Target => [address, port]),
        ),
      ),
    ).toEqual([]);
  });

  test('does not reach the metadata service of a cloud, or link-local addresses', async () => {
    expect(
      nowhere(
        await from(mine, [
          ['169.254.169.254', 80],
          ['169.254.170.2', 80],
        ]),
      ),
    ).toEqual([]);
  });

  test("does not reach another bottle's bundle or machine, on their own network or on the uplink", async () => {
    const uplink = await addressOf(bundleName(other.bottle.id), 'bridge');
    expect(uplink).not.toBe('');
    const targets: Target[] = [
      [other.network.bundleIp, PIPELOCK_PORT],
      [other.network.bundleIp, GIT_GATE_PORT],
      [other.network.bundleIp, SUPERVISE_PORT],
      [other.network.machineIp, 22],
      [other.network.gateway, port],
      [uplink, PIPELOCK_PORT],
      [uplink, 80],
    ];
    expect(nowhere(await from(mine, targets))).toEqual([]);
    // It is there: its own machine gets through.
    expect(await from(other, [[other.network.bundleIp, PIPELOCK_PORT]])).toEqual(['connected']);
  });

  test("does not reach what lies behind its own bundle's other foot", async () => {
    const uplink = await addressOf(bundleName(mine.bottle.id), 'bridge');
    expect(nowhere(await from(mine, [[uplink, PIPELOCK_PORT]]))).toEqual([]);
  });

  test('resolves no name outside, and does not wait long for that', async () => {
    // Without the limits in resolv.conf a lookup fails after 20 seconds, which is how a stray one looks like a hang.
    const { exitCode, stdout } = await shell('timeout 8 getent hosts example.com');
    expect([exitCode, stdout]).toEqual([2, '']);
    expect((await shell('grep options /etc/resolv.conf')).stdout).toContain('timeout:1 attempts:1');
  });

  test('asks no resolver of its own choice: none can be reached, by UDP either', async () => {
    const script = `
      const { Resolver } = require('node:dns').promises;
      const ask = async (server) => {
        const resolver = new Resolver({ timeout: 1500, tries: 1 });
        resolver.setServers([server]);
        return resolver.resolve4('example.com').then(() => server + ' answered', (e) => e.code === 'ETIMEOUT' || e.code === 'ECONNREFUSED' ? 'none' : server + ' said ' + e.code);
      };
      Promise.all(process.argv.slice(1).map(ask)).then((words) => console.log(JSON.stringify(words)));`;
    const servers = ['1.1.1.1', '8.8.8.8', mine.network.gateway, ...hostAddresses()];
    const { stdout } = await sh(site.driver, mine.bottle.id, `node -e "$S" ${servers.join(' ')}`, {
      env: { S: script },
    });
    expect(JSON.parse(stdout)).toEqual(servers.map(() => 'none'));
  });

  test('has no IPv6: no address, no neighbour, no way to turn it on', async () => {
    expect((await shell('cat /proc/net/if_inet6 2>/dev/null | grep -v " lo$"')).stdout).toBe('');
    expect(
      nowhere(await from(mine, [['2606:4700:4700::1111', 443]])).filter((word) => word !== 'EADDRNOTAVAIL'),
    ).toEqual([]);
    const on = await shell('echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6', 'root');
    expect(on).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/read-only/i) });
  });

  test('has one network and no way to another interface', async () => {
    expect((await shell('ls /sys/class/net')).stdout.split('\n').filter(Boolean).sort()).toEqual(['eth0', 'lo']);
  });
});

describe.each(['agent', 'root'])('%s in a machine', (user) => {
  test('has no capability, and cannot get one', async () => {
    const { stdout } = await shell('cat /proc/self/status', user);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(stdout).toMatch(new RegExp(`^${set}:\\t0+$`, 'm'));
    }
    expect(stdout).toMatch(/^NoNewPrivs:\t1$/m);
    expect(stdout).toMatch(/^Seccomp:\t2$/m);
  });

  test.each([
    ['set a route', 'ip route replace default via $BUNDLE', /not permitted/i],
    ['give itself an address', 'ip address add $FREE dev eth0', /not permitted/i],
    ['take its interface down', 'ip link set eth0 down', /not permitted/i],
    ['make an interface', 'ip link add dummy0 type dummy', /not permitted/i],
    ['name its neighbours', 'ip neighbour replace $BUNDLE lladdr 02:00:00:00:00:01 dev eth0', /not permitted/i],
    ['forward packets', 'echo 1 > /proc/sys/net/ipv4/ip_forward', /read-only/i],
    ['change how it is traced', 'echo core > /proc/sys/kernel/core_pattern', /read-only|permission denied/i],
    ['make a namespace', 'unshare --user --map-root-user true', /not permitted|failed/i],
    ['make a device', 'mknod /tmp/disk b 8 0', /not permitted/i],
    ['open a raw socket', 'perl -e "socket(S, 2, 3, 1) or die qq(\\$!)"', /not permitted/i],
    ['open a packet socket', 'perl -e "socket(S, 17, 3, 0) or die qq(\\$!)"', /not permitted/i],
    ['bring in a filter', 'tc qdisc add dev eth0 root pfifo', /not permitted/i],
  ])('cannot %s', async (_what, script, words) => {
    const { bundleIp, machineIp } = mine.network;
    const free = machineIp.replace(/\d+$/, (last) => String(Number(last) + 4));
    const { exitCode, stderr } = await sh(site.driver, mine.bottle.id, `LC_ALL=C; ${script}`, {
      user,
      env: { BUNDLE: bundleIp, FREE: `${free}/28` },
    });
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(words);
  });
});

describe('the agent', () => {
  test('does not become root: what is setuid does not count', async () => {
    // The image has none, so root marks one.
    await shell('cp /bin/bash /tmp/marked && chmod 4755 /tmp/marked', 'root');
    const { stdout } = await shell('find / -xdev -perm /6000 -type f 2>/dev/null');
    expect(stdout).toBe('/tmp/marked\n');
    const tried = await shell('/tmp/marked -p -c "id -u"; su -c id root </dev/null; newgrp root </dev/null; id -u');
    expect(tried.stdout).toMatch(/^1000\n/);
    expect(tried.stdout.trim().split('\n').at(-1)).toBe(String(GUEST.uid));
    expect(tried.stdout).not.toMatch(/uid=0/);
  });

  test("writes nothing that is root's: programs, names, the resolver's settings", async () => {
    for (const file of ['/usr/local/bin/claude', '/etc/passwd', '/etc/hosts', '/etc/resolv.conf', '/usr/bin/git']) {
      expect(await shell(`LC_ALL=C; echo x >> ${file}`)).toMatchObject({ stderr: expect.stringMatching(/denied/) });
    }
  });

  test('sees no process but those of its machine, and no Docker', async () => {
    expect((await shell('cat /proc/1/comm; ls /var/run/docker.sock 2>&1')).stdout).toMatch(/^tini\n.*No such file/s);
  });
});

describe('its limits', () => {
  test('are those of the plan, and nothing is mounted from the host', async () => {
    const { HostConfig, Mounts } = await site.inspect(machineName(mine.bottle.id));
    expect(HostConfig).toMatchObject({
      CapDrop: ['ALL'],
      CapAdd: null,
      Privileged: false,
      SecurityOpt: ['no-new-privileges'],
      PidsLimit: 256,
      Memory: 1024 * 1024 ** 2,
      NanoCpus: 2e9,
      Binds: null,
      PidMode: '',
      PortBindings: {},
    });
    expect(Mounts).toEqual([]);
  });

  test('hold: a fork bomb ends at the number of processes, and the machine lives on', async () => {
    const bomb = `
      for (1..400) {
        $child = fork;
        if (!defined $child) { print "limit\n"; last }
        if (!$child) { sleep 60; exit }
        push @children, $child;
      }
      kill 9, @children; wait for @children; print scalar(@children)`;
    const { stdout } = await sh(site.driver, mine.bottle.id, 'perl -e "$BOMB"', { env: { BOMB: bomb } });
    expect(stdout).toMatch(/^limit\n\d+$/);
    expect(Number(stdout.split('\n')[1])).toBeLessThan(256);
    expect(await shell('echo alive')).toMatchObject({ stdout: 'alive\n' });
  });
});

describe('what the attempts are worth', () => {
  test('on a network whose bridge keeps its address, the same dial reaches the host', async () => {
    const leaky = await site.foreignNetwork({ Internal: true });
    const gateway = (await leaky.inspect()).IPAM?.Config?.[0]?.Gateway ?? '';
    const open = await site.stranger({ HostConfig: { NetworkMode: leaky.id, CapDrop: ['ALL'] } });
    expect(await dial(site, open.id, [[gateway, port]])).toEqual(['connected']);
  });

  test('with the capability, the same commands work', async () => {
    const able = await site.stranger({ HostConfig: { NetworkMode: mine.network.name, CapAdd: ['NET_ADMIN'] } });
    const route = ['ip', 'route', 'replace', 'default', 'via', mine.network.bundleIp];
    expect(await runIn(site, able.id, route)).toMatchObject({ exitCode: 0 });
  });
});
