/** The daemons of a real bundle: kept apart from each other, kept running, and ended in time. */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type Dockerode from 'dockerode';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Scanner } from '../../src/core/bundle-plans.ts';
import {
  DAEMON_NAMES,
  DAEMON_USERS,
  type DaemonName,
  EGRESS_URL,
  GIT_GATE_PORT,
  GIT_GATE_SECRETS,
  PIPELOCK_DIRECTORY,
  PIPELOCK_PORT,
  SUPERVISE_PORT,
} from '../../src/core/daemons.ts';
import { bundleName } from '../../src/core/names.ts';
import type { BundleInput, NetworkFacts } from '../../src/core/step-io.ts';
import { ensureBundle } from '../../src/host/bundle.ts';
import { imageScanner } from '../../src/host/images.ts';
import { type DockerSite, dockerSite } from '../support/docker-site.ts';
import {
  ALL_READY,
  type Daemons,
  daemonsIn,
  daemonsUntil,
  fullPlans,
  pidsOf,
  statesOf,
} from '../support/full-bundle.ts';
import { runIn } from '../support/run-in-container.ts';

interface Bundle {
  input: BundleInput;
  network: NetworkFacts;
  name: string;
}

let site: DockerSite;
let shared: Bundle;
const never = new AbortController().signal;
const scanner = await imageScanner();
/** Both, where the image holds the real one. */
const SCANNERS: Scanner[] = [...new Set<Scanner>(['allow-list', scanner])];
const SECRETS = { route: `route-${randomUUID()}`, repository: `repository-${randomUUID()}` };

beforeAll(async () => {
  site = await dockerSite();
  shared = await readyBundle();
});
afterAll(() => site?.dispose());

async function newBundle(kind: Scanner = scanner): Promise<Bundle> {
  const bottle = site.bottle('daemons');
  const network = await site.network(bottle);
  const plans = fullPlans({ route: site.secret(SECRETS.route), repository: site.secret(SECRETS.repository) });
  return { input: site.bundleInput(bottle, network, { scanner: kind, plans }), network, name: bundleName(bottle.id) };
}

async function readyBundle(kind?: Scanner): Promise<Bundle> {
  const bundle = await newBundle(kind);
  await ensureBundle(site, bundle.input, never, never);
  return bundle;
}

/** A bundle whose daemons are about to get their first configuration, with time to lay something in their way. */
async function waitingBundle(): Promise<Bundle> {
  const bundle = await newBundle();
  const stop = new AbortController();
  const docker = new Proxy(site.docker, {
    get(target, property) {
      const value = Reflect.get(target, property, target);
      if (property !== 'createContainer') return typeof value === 'function' ? value.bind(target) : value;
      return async (options: Dockerode.ContainerCreateOptions) =>
        Object.assign(await target.createContainer(options), { attach: () => new Promise(() => undefined) });
    },
  });
  const begun = ensureBundle({ ...site, docker }, bundle.input, stop.signal);
  begun.catch(() => undefined);
  await daemonsUntil(site, bundle.name, () => true);
  stop.abort();
  return bundle;
}

const root = (name: string, script: string, ...args: string[]) =>
  runIn(site, name, ['sh', '-c', script, 'sh', ...args]);
const as = (user: number, name: string, script: string, ...args: string[]) =>
  runIn(site, name, ['sh', '-c', script, 'sh', ...args], `${user}:${user}`);
const logOf = async (name: string): Promise<string> =>
  (await site.docker.getContainer(name).logs({ stdout: true, stderr: true, follow: false })).toString();
/** Ids of the processes whose command line has `part`, oldest first. */
async function processes(name: string, part: string): Promise<number[]> {
  const { stdout } = await root(
    name,
    'for each in /proc/[0-9]*; do printf "%s " "${each#/proc/}"; tr "\\0\\n" "  " <"$each/cmdline"; echo; done',
  );
  const lines = stdout.split('\n').filter((line) => line.includes(part) && !line.includes('/proc/[0-9]*'));
  return lines.map((line) => Number.parseInt(line, 10)).sort((a, b) => a - b);
}
const others = (daemon: DaemonName): DaemonName[] => DAEMON_NAMES.filter((name) => name !== daemon);

describe('each daemon', () => {
  test('runs as a user of its own, in no further group', async () => {
    const daemons = await daemonsIn(site, shared.name);
    for (const daemon of DAEMON_NAMES) {
      const { stdout } = await root(shared.name, 'cat "/proc/$1/status"', String(daemons[daemon].pid));
      const user = DAEMON_USERS[daemon];
      for (const kind of ['Uid', 'Gid']) {
        expect(stdout).toMatch(new RegExp(`^${kind}:\t${user}\t${user}\t${user}\t${user}$`, 'm'));
      }
      // No further group, the disk's or the terminal's.
      expect(stdout).toMatch(/^Groups:\t\s*$/m);
    }
  });

  test.each(DAEMON_NAMES)(
    "is kept apart: %s reads neither another's nor init's environment, memory or open files",
    async (daemon) => {
      const daemons = await daemonsIn(site, shared.name);
      const [init] = await processes(shared.name, 'node /opt/bottle/init.js');
      expect(init).toBeDefined();
      for (const pid of [...others(daemon).map((name) => daemons[name].pid as number), init as number]) {
        const tried = await as(
          DAEMON_USERS[daemon],
          shared.name,
          'for each in environ mem maps; do head -c 1 "/proc/$1/$each" >/dev/null 2>&1 && echo "$each"; done; ls "/proc/$1/fd" "/proc/$1/cwd/"; kill -0 "$1" && echo kill',
          String(pid),
        );
        expect(tried.stdout).toBe('');
        expect(tried.stderr).toMatch(/Permission denied/);
      }
    },
  );

  test.each(DAEMON_NAMES)(
    'is kept apart: %s neither reads nor changes what is not its own on the disk',
    async (daemon) => {
      const directories: Record<DaemonName, string> = {
        pipelock: '/run/bottle/pipelock',
        egress: '/var/lib/bottle/egress',
        'git-gate': '/var/lib/bottle/git',
        supervise: '/var/lib/bottle/supervise',
      };
      const user = DAEMON_USERS[daemon];
      const own = await as(user, shared.name, 'ls -A "$1" && touch "$1/x" && rm "$1/x"', directories[daemon]);
      expect([own.exitCode, own.stderr]).toEqual([0, '']);
      for (const other of others(daemon)) {
        const tried = await as(user, shared.name, 'ls "$1"; touch "$1/x"', directories[other]);
        expect(tried).toMatchObject({
          stdout: '',
          stderr: expect.stringMatching(/Permission denied[\s\S]*Permission denied/),
        });
      }
      const writable = await as(
        user,
        shared.name,
        'find / -xdev -writable ! -type l ! -path "/proc/*" ! -path "$1*" 2>/dev/null',
        directories[daemon],
      );
      expect(
        writable.stdout.split('\n').filter((path) => !/^(\/dev\/|\/(var\/)?tmp$|\/run\/lock$|$)/.test(path)),
      ).toEqual([]);
      const socket = await as(user, shared.name, 'curl -sS --unix-socket /run/bottle/init.sock http://init/');
      expect(socket).toMatchObject({ stdout: '', exitCode: 7 });
    },
  );

  test("finds its secrets where only it can: git-gate's are in files of its own, egress' in no file", async () => {
    const found = await root(
      shared.name,
      'grep -rlF -e "$1" -e "$2" / --exclude-dir=proc --exclude-dir=sys 2>/dev/null',
      SECRETS.route,
      SECRETS.repository,
    );
    // Root without DAC_OVERRIDE cannot look into the directories, so each user looks for itself.
    const seen = await Promise.all(
      DAEMON_NAMES.map((daemon) =>
        as(
          DAEMON_USERS[daemon],
          shared.name,
          'grep -rlF -e "$1" -e "$2" /run /var /tmp /etc /opt /home /root 2>/dev/null',
          SECRETS.route,
          SECRETS.repository,
        ),
      ),
    );
    expect(found.stdout).toBe('');
    expect(
      Object.fromEntries(
        DAEMON_NAMES.map((daemon, at) => [daemon, seen[at]?.stdout.split('\n').sort().join(' ').trim()]),
      ),
    ).toEqual({
      pipelock: '',
      egress: '',
      'git-gate': '/var/lib/bottle/git/secrets/app/credential /var/lib/bottle/git/secrets/app/hook.json',
      supervise: '',
    });
  });
});

test('no copy of its container has a credential, and none is on a disk of the host', async () => {
  const container = site.docker.getContainer(shared.name);
  const needles = [SECRETS.route, SECRETS.repository, 'refs/heads/*'].map((text) => Buffer.from(text));
  const longest = Math.max(...needles.map(({ length }) => length));
  const seen = new Set<string>();
  let rest = Buffer.alloc(0);
  for await (const chunk of await container.export()) {
    const text = Buffer.concat([rest, chunk as Buffer]);
    for (const needle of needles) if (text.includes(needle)) seen.add(needle.toString());
    rest = text.subarray(-longest);
  }
  // The last one stands in the program itself: what is looked for would be found.
  expect([...seen]).toEqual(['refs/heads/*']);
  const changed = ((await container.changes()) as { Path: string }[]).map(({ Path }) => Path);
  expect(changed).toContain(GIT_GATE_SECRETS);
  expect(changed.filter((path) => path.startsWith(`${GIT_GATE_SECRETS}/`))).toEqual([]);
  expect(changed.filter((path) => path.startsWith(`${PIPELOCK_DIRECTORY}/`))).toEqual([]);
});

/** The container's own health check, now instead of in a quarter minute. */
async function health(name: string): Promise<number> {
  const { Config } = await site.inspect(name);
  const [kind, ...argv] = Config.Healthcheck?.Test ?? [];
  expect(kind).toBe('CMD');
  return (await runIn(site, name, argv)).exitCode;
}

const FREE_PORT_9100 = `require('node:net').createServer().listen(${SUPERVISE_PORT}, process.argv[1], () => console.log('listening'))`;

describe('a daemon that cannot start', () => {
  test('because its port is taken fails alone; once the port is free it comes back by itself', async () => {
    const { input, network, name } = await waitingBundle();
    expect(await health(name)).not.toBe(0);
    await root(
      name,
      'node -e "$1" "$2" >/tmp/in-the-way 2>&1 & while [ ! -s /tmp/in-the-way ]; do sleep 0.02; done',
      FREE_PORT_9100,
      network.bundleIp,
    );
    const ensured = ensureBundle(site, input, never, never);
    const failed = await daemonsUntil(site, name, (daemons) => daemons.supervise.state === 'failed');
    expect(statesOf(failed)).toEqual({ ...ALL_READY, supervise: 'failed' });
    expect(pidsOf(await daemonsIn(site, name)).slice(0, 3)).toEqual(pidsOf(failed).slice(0, 3));
    expect(await health(name)).toBe(22);
    expect(await logOf(name)).toMatch(/\[supervise\] error: listen EADDRINUSE/);
    // The others do their work meanwhile.
    expect((await through(network, name, `${EGRESS_URL}/`)).stdout).toContain('"routes"');
    const [inTheWay] = await processes(name, 'createServer');
    await root(name, 'kill -9 "$1"', String(inTheWay));
    expect((await ensured).daemons).toEqual(ALL_READY);
    expect(await health(name)).toBe(0);
  });

  test('is what the step fails with, in the words of that daemon, and may be tried again', async () => {
    const { input, name } = await waitingBundle();
    await giveGateDirectory(name, 0);
    const patience = new AbortController();
    const ended = ensureBundle(site, input, never, patience.signal);
    ended.catch(() => undefined);
    const broken = { ...ALL_READY, 'git-gate': 'failed' };
    await daemonsUntil(site, name, (daemons) => isDeepStrictEqual(statesOf(daemons), broken));
    // What the gate said of it may be still on its way.
    await expect.poll(() => logOf(name)).toMatch(/\[git-gate\].*EACCES/);
    patience.abort();
    await expect(ended).rejects.toMatchObject({
      code: 'BUNDLE_NOT_READY',
      retryable: true,
      message: expect.stringMatching(/after \d+ s git-gate is failed\. .*git-gate.*EACCES/),
      hint: `docker logs ${name}`,
    });
    await giveGateDirectory(name, DAEMON_USERS['git-gate']);
    expect((await ensureBundle(site, input, never, never)).daemons).toEqual(ALL_READY);
  });
});

describe('a daemon that is killed', () => {
  test.each(DAEMON_NAMES)('%s is started again with what it had; the others do not notice', async (daemon) => {
    const before = await daemonsIn(site, shared.name);
    await root(shared.name, 'kill -9 "$1"', String(before[daemon].pid));
    const isBack = (daemons: Daemons): boolean =>
      daemons[daemon].state === 'ready' && daemons[daemon].restarts === before[daemon].restarts + 1;
    const after = await daemonsUntil(site, shared.name, isBack);
    for (const other of others(daemon)) expect(after[other]).toEqual(before[other]);
    expect(after[daemon].pid).not.toBe(before[daemon].pid);
    expect((await through(shared.network, shared.name, `${EGRESS_URL}/`)).stdout).toContain('"echo.test"');
    expect(await health(shared.name)).toBe(0);
  });
});

test('SIGHUP to the container has every daemon take its configuration again, and ends none', async () => {
  const before = await daemonsIn(site, shared.name);
  const reloads = async (): Promise<number> =>
    (await logOf(shared.name)).match(/"event":"config_reload"/g)?.length ?? 0;
  const known = await reloads();
  await site.docker.getContainer(shared.name).kill({ signal: 'SIGHUP' });
  if (scanner === 'pipelock') await expect.poll(reloads).toBeGreaterThan(known);
  expect((await through(shared.network, shared.name, `${EGRESS_URL}/`)).stdout).toContain('"echo.test"');
  expect(await daemonsIn(site, shared.name)).toEqual(before);
  // What comes after it is taken as ever.
  await ensureBundle(site, shared.input, never, never);
});

describe('the end', () => {
  test.each(SCANNERS)('comes within the grace, by itself, with uploads under way that never end (%s)', async (kind) => {
    const { network, name } = await readyBundle(kind);
    const client = await site.stranger({ HostConfig: { NetworkMode: network.name } });
    const uploads = [
      [PIPELOCK_PORT, `POST ${EGRESS_URL}/echo.test/ HTTP/1.1\r\nHost: egress:9099`, ''],
      [
        GIT_GATE_PORT,
        `POST /app.git/git-receive-pack HTTP/1.1\r\nHost: gate\r\nContent-Type: application/x-git-receive-pack-request`,
        // The length of git's longest line: anything shorter would come to its end, and anything else end git.
        'fff0',
      ],
      [SUPERVISE_PORT, `POST /mcp HTTP/1.1\r\nHost: supervise\r\nContent-Type: application/json`, ''],
    ];
    // Prints how many have been connected and begun, then sends a byte now and then until it is cut off.
    const script = `
      const net = require('node:net');
      let begun = 0;
      for (const [port, head, start] of JSON.parse(process.argv[2])) {
        const socket = net.connect(port, process.argv[1], () => {
          socket.write(head + '\\r\\nContent-Length: 1000000\\r\\n\\r\\n' + start);
          setInterval(() => socket.write('x'), 100);
          begun += 1;
          require('node:fs').writeFileSync('/tmp/begun', String(begun));
        });
        socket.on('error', () => {});
      }`;
    void runIn(site, client.id, ['node', '-e', script, network.bundleIp, JSON.stringify(uploads)]);
    await expect.poll(async () => (await runIn(site, client.id, ['cat', '/tmp/begun'])).stdout).toBe('3');
    await expect.poll(() => processes(name, 'git receive-pack')).not.toEqual([]);
    const container = site.docker.getContainer(name);
    const ended = container.wait();
    await container.stop({ t: 10 });
    // 137 would be Docker's patience at its end.
    expect(await ended).toMatchObject({ StatusCode: 0 });
    expect(await logOf(name)).toMatch(/\[init\] stopping/);
  });

  test('comes as well before anything was delivered', async () => {
    const { name } = await waitingBundle();
    const container = site.docker.getContainer(name);
    const ended = container.wait();
    await container.stop({ t: 10 });
    expect(await ended).toMatchObject({ StatusCode: 0 });
  });
});

const through = ({ bundleIp }: NetworkFacts, name: string, url: string) =>
  runIn(site, name, ['curl', '-sS', '--max-time', '60', '-x', `http://${bundleIp}:${PIPELOCK_PORT}`, url]);

/** Whose the gate's directory is: nobody in the bundle could change that. */
async function giveGateDirectory(name: string, user: number): Promise<void> {
  const archive = pack();
  archive.entry({ name: 'var/lib/bottle/git', type: 'directory', mode: 0o700, uid: user, gid: user });
  archive.finalize();
  await site.docker.getContainer(name).putArchive(archive as unknown as NodeJS.ReadableStream, { path: '/' });
}
