/** A bundle's container: ensured, handed what it works from, removed. Its daemons are bundle-daemons.test.ts. */
import { randomUUID } from 'node:crypto';
import os from 'node:os';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Scanner } from '../../src/core/bundle-plans.ts';
import { EGRESS_PORT, EGRESS_URL, GIT_GATE_PORT, PIPELOCK_PORT, SUPERVISE_PORT } from '../../src/core/daemons.ts';
import { egressListenHost } from '../../src/core/egress-address.ts';
import { bundleName, LABEL } from '../../src/core/names.ts';
import type { BottleRef, BundleInput, NetworkFacts } from '../../src/core/step-io.ts';
import { ensureBundle, removeBundle } from '../../src/host/bundle.ts';
import { writeToContainer } from '../../src/host/container-input.ts';
import { imageScanner } from '../../src/host/images.ts';
import { type BundleChange, type DockerSite, dockerSite, plansOf } from '../support/docker-site.ts';
import { ALL_READY, daemonsIn, fullPlans, routeTo } from '../support/full-bundle.ts';
import { curl, dial, runIn } from '../support/run-in-container.ts';

let site: DockerSite;
/** One bundle of all daemons that runs, for all that leaves it as it was. */
let shared: { bottle: BottleRef; network: NetworkFacts; input: BundleInput; name: string };
const never = new AbortController().signal;
const scanner = await imageScanner();
/** Both, where the image holds the real one. */
const SCANNERS: Scanner[] = [...new Set<Scanner>(['allow-list', scanner])];
const SECRETS = { route: `route-${randomUUID()}`, repository: `repository-${randomUUID()}` };

beforeAll(async () => {
  site = await dockerSite();
  shared = await readyBundle(full());
});
afterAll(() => site?.dispose());

/** All daemons, the scanner too as it is where people use it. */
const full = (): BundleChange => ({
  scanner,
  plans: fullPlans({ route: site.secret(SECRETS.route), repository: site.secret(SECRETS.repository) }),
});

async function newInput(change: BundleChange = {}): Promise<BundleInput> {
  const bottle = site.bottle('bundle');
  return site.bundleInput(bottle, await site.network(bottle), change);
}

async function readyBundle(change: BundleChange = {}) {
  const input = await newInput(change);
  await ensureBundle(site, input, never, never);
  return { bottle: input.bottle, network: input.network, input, name: bundleName(input.bottle.id) };
}

/** Whether the scanner says of a host that it is not listed. Nothing is at that name, so all else is an error too. */
async function isUnlisted({ name, network }: { name: string; network: NetworkFacts }, host: string): Promise<boolean> {
  const proxy = `http://${network.bundleIp}:${PIPELOCK_PORT}`;
  const { stdout } = await runIn(site, name, ['curl', '-sS', '-x', proxy, '--max-time', '60', `http://${host}/`]);
  return stdout.startsWith('blocked: domain not in allowlist');
}

/** Ids of egress' routes, asked for as the agent does. */
async function routesOf({ name, network }: { name: string; network: NetworkFacts }): Promise<string[]> {
  const ask = ['curl', '-s', '-x', `http://${network.bundleIp}:${PIPELOCK_PORT}`, `${EGRESS_URL}/`];
  const { routes } = JSON.parse((await runIn(site, name, ask)).stdout) as { routes: { id: string }[] };
  return routes.map(({ id }) => id);
}

describe('ensuring a bundle', () => {
  test.each(SCANNERS)('returns once the proxy answers, not before: %s', async (kind) => {
    const input = await newInput({ scanner: kind });
    const { container, daemons } = await ensureBundle(site, input, never, never);
    expect([container, daemons]).toEqual([bundleName(input.bottle.id), { pipelock: 'ready' }]);
    const health = await curl(site, container, `http://${input.network.bundleIp}:${PIPELOCK_PORT}/health`, '-f');
    expect(health).toMatchObject({ exitCode: 0 });
  });

  test('returns once every daemon is ready that the plans need', async () => {
    expect(await ensureBundle(site, shared.input, never, never)).toEqual({
      container: shared.name,
      daemons: ALL_READY,
    });
  });

  test('run again adopts the container that runs, and restarts no daemon', async () => {
    const [before, daemons] = [await site.inspect(shared.name), await daemonsIn(site, shared.name)];
    for (let run = 0; run < 2; run++) await ensureBundle(site, shared.input, never, never);
    const after = await site.inspect(shared.name);
    expect([after.Id, after.State.StartedAt]).toEqual([before.Id, before.State.StartedAt]);
    expect(await daemonsIn(site, shared.name)).toEqual(daemons);
  });

  test('twice at once, as an attempt and its killed predecessor do, ends with one container', async () => {
    const input = await newInput();
    await Promise.all([ensureBundle(site, input, never), ensureBundle(site, input, never, never)]);
    const filters = { label: [`${LABEL.owner}=${site.owner}`, `${LABEL.bottle}=${input.bottle.id}`] };
    expect(await site.docker.listContainers({ all: true, filters })).toHaveLength(1);
  });

  test.each(SCANNERS)('with another allow-list hands it over, to the same container (%s)', async (kind) => {
    const bundle = await readyBundle({ scanner: kind });
    const before = await site.inspect(bundle.name);
    const { pipelock } = await daemonsIn(site, bundle.name);
    expect(await isUnlisted(bundle, 'new.invalid')).toBe(true);
    const plans = plansOf({ pipelock: { allow: ['new.invalid'], intercept: false } });
    await ensureBundle(site, { ...bundle.input, plans }, never, never);
    expect(await isUnlisted(bundle, 'new.invalid')).toBe(false);
    expect(await isUnlisted(bundle, 'api.anthropic.com')).toBe(true);
    const after = await site.inspect(bundle.name);
    expect([after.Id, after.State.StartedAt]).toEqual([before.Id, before.State.StartedAt]);
    const now = (await daemonsIn(site, bundle.name)).pipelock;
    // The real one takes a host more only when it starts anew; that is no restart after a death.
    expect(now.pid === pipelock.pid).toBe(kind === 'allow-list');
    expect([now.state, now.restarts]).toEqual(['ready', 0]);
  });

  test('with another route hands it over, and restarts nobody', async () => {
    const bundle = await readyBundle(full());
    const [before, daemons] = [await site.inspect(bundle.name), await daemonsIn(site, bundle.name)];
    expect(await routesOf(bundle)).toEqual(['echo.test']);
    const { plans } = bundle.input;
    const changed = { ...plans, egress: { routes: [routeTo('pkg.test'), ...(plans.egress?.routes ?? [])] } };
    await ensureBundle(site, { ...bundle.input, plans: changed }, never, never);
    expect(await routesOf(bundle)).toEqual(['pkg.test', 'echo.test']);
    const after = await site.inspect(bundle.name);
    expect([after.Id, after.State.StartedAt]).toEqual([before.Id, before.State.StartedAt]);
    expect(await daemonsIn(site, bundle.name)).toEqual(daemons);
  });

  test('with a secret that has changed hands it over: the container and its label stay', async () => {
    const bundle = await readyBundle(full());
    const before = await site.inspect(bundle.name);
    const other = fullPlans({ route: site.secret('another-1'), repository: site.secret('another-2') });
    await ensureBundle(site, { ...bundle.input, plans: plansOf(other) }, never, never);
    const after = await site.inspect(bundle.name);
    expect([after.Id, after.Config.Labels]).toEqual([before.Id, before.Config.Labels]);
  });

  test('that needs another daemon makes it anew', async () => {
    const bundle = await readyBundle();
    const before = await site.inspect(bundle.name);
    const plans = { ...bundle.input.plans, supervise: { maxPending: 1 } };
    const { daemons } = await ensureBundle(site, { ...bundle.input, plans }, never, never);
    expect(daemons).toEqual({ pipelock: 'ready', egress: 'ready', supervise: 'ready' });
    expect((await site.inspect(bundle.name)).Id).not.toBe(before.Id);
  });

  test('after a kill starts it again, and waits for the new daemons, not for what the log told of the old', async () => {
    const bundle = await readyBundle(full());
    const { input, name } = bundle;
    const container = site.docker.getContainer(name);
    // Fast enough to fall into one second of the log with the ready line of the first life.
    for (let life = 0; life < 3; life++) {
      await container.kill();
      await container.wait();
      expect((await ensureBundle(site, input, never, never)).daemons).toEqual(ALL_READY);
      expect(await routesOf(bundle)).toEqual(['echo.test']);
    }
  });

  test('that was created but never started, by a predecessor killed half-way, starts it', async () => {
    const { input, name } = await readyBundle();
    const { Id } = await site.inspect(name);
    await site.docker.getContainer(name).stop({ t: 0 });
    await site.docker.getNetwork('bridge').disconnect({ Container: name, Force: true });
    await ensureBundle(site, input, never, never);
    const { Id: now, NetworkSettings } = await site.inspect(name);
    expect(now).toBe(Id);
    expect(Object.keys(NetworkSettings.Networks).sort()).toEqual(['bridge', input.network.name].sort());
  });

  test('on a network that was made anew under the same name makes the bundle anew', async () => {
    const { input, name } = await readyBundle();
    await site.docker.getNetwork(input.network.name).disconnect({ Container: name, Force: true });
    await site.docker.getNetwork(input.network.name).remove();
    await site.docker.getContainer(name).kill();
    await site.network(input.bottle);
    await ensureBundle(site, input, never, never);
    expect((await site.inspect(name)).NetworkSettings.Networks[input.network.name]?.IPAddress).toBe(
      input.network.bundleIp,
    );
  });

  test('that runs and was never given anything, by a predecessor killed in between, is given it now', async () => {
    const input = await newInput(full());
    const name = bundleName(input.bottle.id);
    const killed = new AbortController();
    const gone = ensureBundle({ ...site, docker: deafDocker() }, input, killed.signal);
    gone.catch(() => undefined);
    await expect.poll(() => statusOf(name)).toBe('running');
    const states = () => daemonsIn(site, name).catch(() => undefined);
    await expect.poll(states).toMatchObject({ pipelock: { state: 'starting' } });
    const before = await site.inspect(name);
    expect((await ensureBundle(site, input, never, never)).daemons).toEqual(ALL_READY);
    const after = await site.inspect(name);
    expect([after.Id, after.State.StartedAt]).toEqual([before.Id, before.State.StartedAt]);
    killed.abort();
    await expect(gone).rejects.toBe(killed.signal.reason);
  });

  test('whose predecessor was killed in the midst of handing it over takes the whole thing', async () => {
    const bundle = await readyBundle(full());
    await writeToContainer(site.docker.getContainer(bundle.name), '{"revision":"half","config":{"egress":{"rou');
    const plans = { ...bundle.input.plans, egress: { routes: [routeTo('other.test')] } };
    await ensureBundle(site, { ...bundle.input, plans }, never, never);
    expect(await routesOf(bundle)).toEqual(['other.test']);
  });

  test('does not take what is no delivery, says nothing of it, and goes on as it was', async () => {
    const bundle = await readyBundle(full());
    const daemons = await daemonsIn(site, bundle.name);
    const container = site.docker.getContainer(bundle.name);
    for (const wrong of [
      'word-7f3',
      '{"revision":"x y-7f3","config":{}}',
      '{"revision":"r","config":{"egress":"7f3"}}',
    ]) {
      await writeToContainer(container, `${wrong}\n`);
    }
    await expect.poll(async () => (await logOf(bundle.name)).match(/a delivery that cannot be read/g)).toHaveLength(3);
    expect(await logOf(bundle.name)).not.toContain('7f3');
    expect(await daemonsIn(site, bundle.name)).toEqual(daemons);
    await ensureBundle(site, bundle.input, never, never);
  });

  test('of which a secret is missing names the reference, for a person to mend, and starts nothing', async () => {
    const secrets = { route: 'file:/no/such-secret', repository: 'env:BOTTLE_TEST_UNSET' };
    const input = await newInput({ plans: fullPlans(secrets) });
    await expect(ensureBundle(site, input, never, never)).rejects.toMatchObject({
      code: 'SECRET_MISSING',
      retryable: false,
      message: expect.stringMatching(
        /file:\/no\/such-secret \(ENOENT\).*env:BOTTLE_TEST_UNSET \(the variable is not set\)/,
      ),
    });
    await expect(site.inspect(bundleName(input.bottle.id))).rejects.toMatchObject({ statusCode: 404 });
  });

  test('whose way out is not there says so, for a person to mend, and goes on once it is', async () => {
    const uplink = `not-bottle-${randomUUID()}`;
    const input = await newInput({ uplink });
    await expect(ensureBundle(site, input, never, never)).rejects.toMatchObject({
      code: 'UPLINK_MISSING',
      retryable: false,
      message: expect.stringContaining(uplink),
      hint: expect.stringContaining('network.uplink'),
    });
    expect(await statusOf(bundleName(input.bottle.id))).toBe('absent');
    await site.foreignNetwork({ Name: uplink });
    await ensureBundle(site, input, never, never);
    const { NetworkSettings } = await site.inspect(bundleName(input.bottle.id));
    expect(Object.keys(NetworkSettings.Networks).sort()).toEqual([input.network.name, uplink].sort());
  });

  test('whose way out was made anew under the same name, as after a reboot, is connected to the new one', async () => {
    const uplink = `not-bottle-${randomUUID()}`;
    const first = await site.foreignNetwork({ Name: uplink });
    const { input, name } = await readyBundle({ uplink });
    await site.docker.getContainer(name).kill();
    await first.remove();
    const { id } = await site.foreignNetwork({ Name: uplink });
    await ensureBundle(site, input, never, never);
    expect((await site.inspect(name)).NetworkSettings.Networks[uplink]?.NetworkID).toBe(id);
  });

  test("fails with the bundle's own words when it cannot make sense of its environment", async () => {
    const input = await newInput({ scanner: 'mystery' as never });
    const failure = {
      code: 'BUNDLE_NOT_READY',
      retryable: false,
      message: expect.stringMatching(/it ended with 64.*BOTTLE_SCANNER is "mystery" \(known: pipelock/),
      hint: expect.stringContaining(bundleName(input.bottle.id)),
    };
    await expect(ensureBundle(site, input, never, never)).rejects.toMatchObject(failure);
    // The second attempt of a held step meets what the first has left.
    await expect(ensureBundle(site, input, never, never)).rejects.toMatchObject(failure);
  });

  test('whose standard input leads nowhere says so, and is started anew by the next attempt', async () => {
    const input = await newInput();
    const name = bundleName(input.bottle.id);
    const nowhere = (container: Dockerode.Container): Dockerode.Container =>
      Object.assign(container, { attach: async () => new PassThrough() });
    const docker = new Proxy(site.docker, {
      get(target, property) {
        const value = Reflect.get(target, property, target);
        if (property === 'getContainer') return (id: string) => nowhere(target.getContainer(id));
        if (property === 'createContainer')
          return async (options: Dockerode.ContainerCreateOptions) => nowhere(await target.createContainer(options));
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const patience = new AbortController();
    const first = ensureBundle({ ...site, docker }, input, never, patience.signal);
    first.catch(() => undefined);
    await expect.poll(() => logOf(name).catch(() => ''), { timeout: 60_000 }).toContain('[init] status ');
    patience.abort();
    await expect(first).rejects.toMatchObject({
      code: 'BUNDLE_NOT_READY',
      retryable: true,
      message: expect.stringContaining('it has not taken what it was given: it is to be started anew'),
    });
    await ensureBundle(site, input, never, never);
    expect(await logOf(name)).toMatch(/\[init\] given [\w-]+\n.*\[init\] applied /s);
  });

  test('that ended before it could be given anything fails as well, and nobody waits for its next life', async () => {
    const input = await newInput({ scanner: 'mystery' as never });
    const docker = new Proxy(site.docker, {
      get(target, property) {
        const value = Reflect.get(target, property, target);
        if (property !== 'createContainer') return typeof value === 'function' ? value.bind(target) : value;
        return async (options: Dockerode.ContainerCreateOptions) => {
          const container = await target.createContainer(options);
          const attach = container.attach.bind(container);
          return Object.assign(container, {
            attach: (how: Dockerode.ContainerAttachOptions) => container.wait().then(() => attach(how)),
          });
        };
      },
    });
    await expect(ensureBundle({ ...site, docker }, input, never, never)).rejects.toMatchObject({
      code: 'BUNDLE_NOT_READY',
      message: expect.stringContaining('it ended with 64'),
    });
  });

  test('of an image that is not there says so', async () => {
    const input = await newInput({ image: 'bottleworks/bundle:no-such' });
    await expect(ensureBundle(site, input, never, never)).rejects.toMatchObject({
      code: 'IMAGE_MISSING',
      retryable: false,
      message: expect.stringContaining('bottleworks/bundle:no-such'),
    });
  });

  test('cancelled while it waits ends at once', async () => {
    // A bundle that runs and never reports: the guest image's own idle command.
    const input = await newInput({ image: site.images.guest });
    const controller = new AbortController();
    const ended = ensureBundle(site, input, controller.signal);
    ended.catch(() => undefined);
    await expect.poll(() => statusOf(bundleName(input.bottle.id))).toBe('running');
    const reason = new Error('cancelled');
    controller.abort(reason);
    const late = sleep(25_000, 'still waiting', { ref: false });
    expect(await Promise.race([ended.catch((error: unknown) => error), late])).toBe(reason);
  });

  test("does not take somebody else's container of that name", async () => {
    const input = await newInput();
    const foreign = await site.stranger({ name: bundleName(input.bottle.id) });
    await expect(ensureBundle(site, input, never, never)).rejects.toMatchObject({ code: 'NAME_TAKEN' });
    await removeBundle(site, input.bottle.id);
    expect((await foreign.inspect()).State.Running).toBe(true);
  });
});

describe('removing a bundle', () => {
  test('lets its daemons end by themselves, within the grace', async () => {
    const { bottle, name } = await readyBundle(full());
    const ended = site.docker.getContainer(name).wait();
    await removeBundle(site, bottle.id);
    // 137 would be a kill.
    expect(await ended).toMatchObject({ StatusCode: 0 });
    await expect(site.inspect(name)).rejects.toMatchObject({ statusCode: 404 });
  });

  test('of which there is none is success, also twice at once', async () => {
    const { bottle } = await readyBundle();
    await Promise.all([removeBundle(site, bottle.id), removeBundle(site, bottle.id)]);
    await removeBundle(site, bottle.id);
  });

  test("leaves the bottle's machine, and another owner's bundle", async () => {
    const { bottle } = await site.machine();
    await removeBundle(site, bottle.id);
    expect(await site.driver.status(bottle.id)).toBe('running');
    await removeBundle({ ...site, owner: `${site.owner}-other` }, shared.bottle.id);
    expect((await site.inspect(shared.name)).State.Running).toBe(true);
  });
});

describe('the container', () => {
  test('is hardened and limited', async () => {
    const { HostConfig } = await site.inspect(shared.name);
    expect(HostConfig).toMatchObject({
      CapDrop: ['ALL'],
      // To give each daemon a user of its own, and to end them.
      CapAdd: ['SETUID', 'SETGID', 'KILL'],
      Privileged: false,
      SecurityOpt: ['no-new-privileges'],
      PidsLimit: 256,
      Memory: 512 * 1024 ** 2,
      NanoCpus: 2e9,
      RestartPolicy: { Name: 'no' },
      Binds: null,
      PortBindings: {},
    });
  });

  test('carries the labels of the contract, and its environment says no more than what to start', async () => {
    const { Config } = await site.inspect(shared.name);
    expect(Config.Labels).toMatchObject({
      [LABEL.bottle]: shared.bottle.id,
      [LABEL.run]: shared.bottle.runId,
      [LABEL.owner]: site.owner,
      [LABEL.step]: 'bundle',
      [LABEL.spec]: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(Config.Env?.filter((line) => !/^(PATH|LANG)=/.test(line)).sort()).toEqual([
      'BOTTLE_DAEMONS=pipelock,egress,git-gate,supervise',
      `BOTTLE_SCANNER=${scanner}`,
      'BOTTLE_SEPARATE_USERS=1',
    ]);
  });

  test('shows no secret: not in what the Engine knows of it, not in its log, not in a command line', async () => {
    await ensureBundle(site, shared.input, never, never);
    const places = [
      JSON.stringify(await site.inspect(shared.name)),
      await logOf(shared.name),
      (await runIn(site, shared.name, ['sh', '-c', 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ'])).stdout,
    ];
    expect(places[1]).toContain('[init] applied ');
    for (const place of places) {
      for (const secret of Object.values(SECRETS)) expect(place).not.toContain(secret);
    }
  });

  test("has its pinned address on the bottle's network, and only init has capabilities: the three it needs", async () => {
    const { NetworkSettings } = await site.inspect(shared.name);
    expect(NetworkSettings.Networks[shared.network.name]?.IPAddress).toBe(shared.network.bundleIp);
    const status = async (pid: number): Promise<string> =>
      (await runIn(site, shared.name, ['cat', `/proc/${pid}/status`])).stdout;
    // KILL, SETGID, SETUID: bits 5 to 7 of capability.h.
    expect(await status(1)).toMatch(/^CapEff:\t00000000000000e0$/m);
    for (const { pid } of Object.values(await daemonsIn(site, shared.name))) {
      expect(await status(pid as number)).toMatch(/^CapPrm:\t0+\nCapEff:\t0+$/m);
      expect(await status(pid as number)).toMatch(/^NoNewPrivs:\t1$/m);
    }
  });

  test('answers on its pinned address only, egress on one of its own: not towards the internet', async () => {
    const { NetworkSettings } = await site.inspect(shared.name);
    const uplink = NetworkSettings.Networks['bridge']?.IPAddress as string;
    const outsider = await site.stranger();
    const ports = [PIPELOCK_PORT, EGRESS_PORT, GIT_GATE_PORT, SUPERVISE_PORT];
    // Refused, not unreachable: the outsider gets as far as the bundle, and nothing there listens to it.
    const words = await dial(
      site,
      outsider.id,
      ports.map((port) => [uplink, port] as const),
    );
    expect(words).toEqual(ports.map(() => 'ECONNREFUSED'));
    expect(await dial(site, shared.name, [[shared.network.bundleIp, PIPELOCK_PORT]])).toEqual(['connected']);
    const listening = await runIn(site, shared.name, ['cat', '/proc/net/tcp', '/proc/net/tcp6']);
    expect(listeners(listening.stdout).sort()).toEqual(
      [
        `${egressListenHost(shared.bottle.runId)}:${EGRESS_PORT}`,
        ...ports.map((port) => `${shared.network.bundleIp}:${port}`),
      ].sort(),
    );
  });

  test('is no road: not even with a route through it does a peer come out at the other side', async () => {
    const beyond = await site.stranger({ Cmd: ['sleep', 'infinity'] });
    const target = (await beyond.inspect()).NetworkSettings.Networks['bridge']?.IPAddress as string;
    const peer = await site.stranger({
      HostConfig: { NetworkMode: shared.network.name, CapAdd: ['NET_ADMIN'] },
    });
    const { exitCode, stderr } = await runIn(site, peer.id, [
      ...['ip', 'route', 'replace', 'default', 'via', shared.network.bundleIp],
    ]);
    expect([exitCode, stderr]).toEqual([0, '']);
    const gateway = os.networkInterfaces()['docker0']?.[0]?.address as string;
    const words = await dial(site, peer.id, [
      [target, 9],
      [gateway, 9],
    ]);
    // "Refused" would come from the other side.
    expect(words).toEqual(['timeout', 'timeout']);
  });
});

const statusOf = (name: string): Promise<string> =>
  site.inspect(name).then(
    ({ State }) => State.Status,
    () => 'absent',
  );

const logOf = async (name: string): Promise<string> =>
  (await site.docker.getContainer(name).logs({ stdout: true, stderr: true, follow: false })).toString();

/** The Engine as a process sees it that is killed before it has written to any container. */
function deafDocker(): Dockerode {
  return new Proxy(site.docker, {
    get(target, property) {
      const value = Reflect.get(target, property, target);
      if (property !== 'createContainer') return typeof value === 'function' ? value.bind(target) : value;
      return async (options: Dockerode.ContainerCreateOptions) => {
        const container = await target.createContainer(options);
        return Object.assign(container, { attach: () => new Promise(() => undefined) });
      };
    },
  });
}

/** Listening sockets of the container's own processes, from /proc/net/tcp. Docker's resolver is not one of them. */
function listeners(table: string): string[] {
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '0A')
    .map((fields) => {
      const [address = '', port = ''] = (fields[1] ?? '').split(':');
      const octets = (address.match(/../g) ?? []).map((hex) => Number.parseInt(hex, 16)).reverse();
      return `${octets.join('.')}:${Number.parseInt(port, 16)}`;
    })
    .filter((listener) => !listener.startsWith('127.0.0.11:'));
}
