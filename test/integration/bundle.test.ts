import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PIPELOCK_PORT } from '../../src/core/daemons.ts';
import { bundleName, LABEL } from '../../src/core/names.ts';
import type { BottleRef, BundleInput, NetworkFacts } from '../../src/core/step-io.ts';
import { ensureBundle, removeBundle } from '../../src/host/bundle.ts';
import { type DockerSite, dockerSite } from '../support/docker-site.ts';
import { curl, dial, runIn } from '../support/run-in-container.ts';

let site: DockerSite;
/** One bundle that runs, for all that leaves it as it was. */
let shared: { bottle: BottleRef; network: NetworkFacts; input: BundleInput; name: string };
const never = new AbortController().signal;

beforeAll(async () => {
  site = await dockerSite();
  shared = await readyBundle();
});
afterAll(() => site?.dispose());

async function newInput(change: Partial<BundleInput> = {}): Promise<BundleInput> {
  const bottle = site.bottle('bundle');
  return { ...site.bundleInput(bottle, await site.network(bottle)), ...change };
}

async function readyBundle(change: Partial<BundleInput> = {}) {
  const input = await newInput(change);
  await ensureBundle(site, input, never);
  return { bottle: input.bottle, network: input.network, input, name: bundleName(input.bottle.id) };
}

/** What the proxy says of a host, asked at the bundle's own address from inside it. */
const verdict = async (name: string, { bundleIp }: NetworkFacts, host: string): Promise<unknown> =>
  JSON.parse((await curl(site, name, `http://${bundleIp}:${PIPELOCK_PORT}/verdict?host=${host}`)).stdout).verdict;

describe('ensuring a bundle', () => {
  test('returns once the proxy answers, not before', async () => {
    const input = await newInput();
    const { container, daemons } = await ensureBundle(site, input, never);
    expect([container, daemons]).toEqual([bundleName(input.bottle.id), { pipelock: 'ready' }]);
    const health = await curl(site, container, `http://${input.network.bundleIp}:${PIPELOCK_PORT}/health`);
    expect(health).toMatchObject({ exitCode: 0, stdout: '{"status":"ok"}' });
  });

  test('run again adopts the container that runs', async () => {
    const before = await site.inspect(shared.name);
    expect(await ensureBundle(site, shared.input, never)).toEqual({
      container: shared.name,
      daemons: { pipelock: 'ready' },
    });
    const after = await site.inspect(shared.name);
    expect([after.Id, after.State.StartedAt]).toEqual([before.Id, before.State.StartedAt]);
  });

  test('twice at once, as an attempt and its killed predecessor do, ends with one container', async () => {
    const input = await newInput();
    await Promise.all([ensureBundle(site, input, never), ensureBundle(site, input, never)]);
    const filters = { label: [`${LABEL.owner}=${site.owner}`, `${LABEL.bottle}=${input.bottle.id}`] };
    expect(await site.docker.listContainers({ all: true, filters })).toHaveLength(1);
  });

  test('with another allow-list replaces it, and the new list counts', async () => {
    const { input, name, network } = await readyBundle();
    const before = await site.inspect(name);
    expect(await verdict(name, network, 'new.example.com')).toBe('deny');
    await ensureBundle(site, { ...input, allow: ['new.example.com'] }, never);
    expect((await site.inspect(name)).Id).not.toBe(before.Id);
    expect(await verdict(name, network, 'new.example.com')).toBe('allow');
    expect(await verdict(name, network, 'api.anthropic.com')).toBe('deny');
  });

  test('after a kill starts it again, and waits for the new daemons, not for what the log told of the old', async () => {
    const { input, name, network } = await readyBundle();
    const container = site.docker.getContainer(name);
    // Fast enough to fall into one second of the log with the ready line of the first life.
    for (let life = 0; life < 3; life++) {
      await container.kill();
      await container.wait();
      await ensureBundle(site, input, never);
      const health = await curl(site, name, `http://${network.bundleIp}:${PIPELOCK_PORT}/health`);
      expect(health).toMatchObject({ exitCode: 0 });
    }
  });

  test('that was created but never started, by a predecessor killed half-way, starts it', async () => {
    const { input, name } = await readyBundle();
    const { Id } = await site.inspect(name);
    await site.docker.getContainer(name).stop({ t: 0 });
    await site.docker.getNetwork('bridge').disconnect({ Container: name, Force: true });
    await ensureBundle(site, input, never);
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
    await ensureBundle(site, input, never);
    expect((await site.inspect(name)).NetworkSettings.Networks[input.network.name]?.IPAddress).toBe(
      input.network.bundleIp,
    );
  });

  test('without any daemon is ready at once, and idles', async () => {
    const { name } = await readyBundle({ daemons: [] });
    expect((await site.inspect(name)).State.Running).toBe(true);
  });

  test("fails with the bundle's own words when it does not know a daemon", async () => {
    const input = await newInput({ daemons: ['mystery' as never] });
    await expect(ensureBundle(site, input, never)).rejects.toMatchObject({
      code: 'BUNDLE_NOT_READY',
      message: expect.stringMatching(/it ended.*unknown daemon "mystery" \(known: pipelock/),
      hint: expect.stringContaining(bundleName(input.bottle.id)),
    });
    // The second attempt of a held step meets what the first has left.
    await expect(ensureBundle(site, input, never)).rejects.toMatchObject({ code: 'BUNDLE_NOT_READY' });
  });

  test('of an image that is not there says so', async () => {
    const input = await newInput({ image: 'bottleworks/bundle:no-such' });
    await expect(ensureBundle(site, input, never)).rejects.toMatchObject({
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
    await expect
      .poll(() =>
        site.inspect(bundleName(input.bottle.id)).then(
          ({ State }) => State.Running,
          () => false,
        ),
      )
      .toBe(true);
    const reason = new Error('cancelled');
    controller.abort(reason);
    const late = sleep(5000, 'still waiting', { ref: false });
    expect(await Promise.race([ended.catch((error: unknown) => error), late])).toBe(reason);
  });

  test("does not take somebody else's container of that name", async () => {
    const input = await newInput();
    const foreign = await site.stranger({ name: bundleName(input.bottle.id) });
    await expect(ensureBundle(site, input, never)).rejects.toMatchObject({ code: 'NAME_TAKEN' });
    await removeBundle(site, input.bottle.id);
    expect((await foreign.inspect()).State.Running).toBe(true);
  });
});

describe('removing a bundle', () => {
  test('lets its daemons end by themselves, within the grace', async () => {
    const { bottle, name } = await readyBundle();
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
    await removeBundle({ docker: site.docker, owner: `${site.owner}-other` }, shared.bottle.id);
    expect((await site.inspect(shared.name)).State.Running).toBe(true);
  });
});

describe('the container', () => {
  test('is hardened and limited', async () => {
    const { HostConfig } = await site.inspect(shared.name);
    expect(HostConfig).toMatchObject({
      CapDrop: ['ALL'],
      CapAdd: null,
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

  test('carries the labels of the contract and nothing secret', async () => {
    const { Config } = await site.inspect(shared.name);
    expect(Config.Labels).toMatchObject({
      [LABEL.bottle]: shared.bottle.id,
      [LABEL.run]: shared.bottle.runId,
      [LABEL.owner]: site.owner,
      [LABEL.step]: 'bundle',
      [LABEL.spec]: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(Config.Env?.filter((line) => !/^(PATH|LANG)=/.test(line)).sort()).toEqual([
      'BOTTLE_ALLOW=["api.anthropic.com"]',
      'BOTTLE_DAEMONS=pipelock',
      `BOTTLE_LISTEN_HOST=${shared.network.bundleIp}`,
    ]);
  });

  test("has its pinned address on the bottle's network, and no capability inside", async () => {
    const { NetworkSettings } = await site.inspect(shared.name);
    expect(NetworkSettings.Networks[shared.network.name]?.IPAddress).toBe(shared.network.bundleIp);
    const status = await runIn(site, shared.name, ['cat', '/proc/1/status']);
    expect(status.stdout).toMatch(/^CapEff:\t0+$/m);
    expect(status.stdout).toMatch(/^NoNewPrivs:\t1$/m);
  });

  test('answers on its pinned address only: not towards the internet', async () => {
    const { NetworkSettings } = await site.inspect(shared.name);
    const uplink = NetworkSettings.Networks['bridge']?.IPAddress as string;
    const outsider = await site.stranger();
    // Refused, not unreachable: the outsider gets as far as the bundle, and nothing there listens to it.
    expect(await dial(site, outsider.id, [[uplink, PIPELOCK_PORT]])).toEqual(['ECONNREFUSED']);
    expect(await dial(site, shared.name, [[shared.network.bundleIp, PIPELOCK_PORT]])).toEqual(['connected']);
    const listening = await runIn(site, shared.name, ['cat', '/proc/net/tcp', '/proc/net/tcp6']);
    expect(listeners(listening.stdout)).toEqual([`${shared.network.bundleIp}:${PIPELOCK_PORT}`]);
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
