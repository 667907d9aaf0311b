import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleName, LABEL, networkName } from '../../src/core/names.ts';
import type { BottleRef, NetworkFacts } from '../../src/core/step-io.ts';
import { overlaps, subnetCandidates } from '../../src/core/subnet.ts';
import { type DockerHost, specHash } from '../../src/host/docker.ts';
import { ensureNetwork, removeNetwork } from '../../src/host/network.ts';
import { type DockerSite, dockerSite } from '../support/docker-site.ts';

let site: DockerSite;
beforeAll(async () => {
  site = await dockerSite();
});
afterAll(() => site?.dispose());

const ensure = (bottle: BottleRef, pool = site.pool, host: DockerHost = site): Promise<NetworkFacts> =>
  ensureNetwork(host, bottle, { pool, hostOnBridge: false });
const idsOf = async (bottle: BottleRef): Promise<string[]> => (await site.networksOf(bottle)).map(({ Id }) => Id);
const firstCandidate = (bottle: BottleRef, pool = site.pool): string => [...subnetCandidates(pool, bottle.id)][0] ?? '';

describe('making a network', () => {
  test("takes the id's own /28 of the pool, without an address on the host", async () => {
    const bottle = site.bottle();
    const facts = await ensure(bottle);
    expect(facts).toMatchObject({ name: networkName(bottle.id), subnet: firstCandidate(bottle) });
    const [network] = await site.networksOf(bottle);
    expect(network).toMatchObject({
      Name: networkName(bottle.id),
      Driver: 'bridge',
      Internal: true,
      EnableIPv6: false,
      IPAM: { Config: [{ Subnet: facts.subnet, Gateway: facts.gateway }] },
      Options: { 'com.docker.network.bridge.inhibit_ipv4': 'true' },
    });
  });

  test('labels it to the letter of the contract', async () => {
    const bottle = site.bottle();
    await ensure(bottle);
    const [network] = await site.networksOf(bottle);
    expect(network?.Labels).toEqual({
      [LABEL.bottle]: bottle.id,
      [LABEL.run]: bottle.runId,
      [LABEL.owner]: site.owner,
      [LABEL.step]: 'network',
      [LABEL.spec]: specHash({ pool: site.pool, hostOnBridge: false }),
    });
  });

  test('a second run adopts what the first has made', async () => {
    const bottle = site.bottle();
    const facts = await ensure(bottle);
    const ids = await idsOf(bottle);
    expect(await ensure(bottle)).toEqual(facts);
    expect(await idsOf(bottle)).toEqual(ids);
  });

  test('runs at once, as of an attempt and its killed predecessor, end with one network', async () => {
    const bottle = site.bottle();
    const facts = await Promise.all([ensure(bottle), ensure(bottle), ensure(bottle)]);
    expect(new Set(facts.map((fact) => JSON.stringify(fact))).size).toBe(1);
    expect(await idsOf(bottle)).toHaveLength(1);
  });

  test('one made to another specification is replaced', async () => {
    const bottle = site.bottle();
    await ensureNetwork(site, bottle, { pool: site.pool, hostOnBridge: true });
    const [before] = await site.networksOf(bottle);
    expect(before?.Options).toEqual({});
    await ensure(bottle);
    const after = await site.networksOf(bottle);
    expect(after).toHaveLength(1);
    expect(after[0]?.Id).not.toBe(before?.Id);
    expect(after[0]?.Options).toEqual({ 'com.docker.network.bridge.inhibit_ipv4': 'true' });
  });

  test("another run's leftover goes, with the containers on it, running or not", async () => {
    const { bottle } = await site.machine();
    const before = await idsOf(bottle);
    const next = { ...bottle, runId: 'the-next-run' };
    await ensure(next);
    const after = await site.networksOf(next);
    expect(after).toHaveLength(1);
    expect(before).not.toContain(after[0]?.Id);
    expect(after[0]?.Labels?.[LABEL.run]).toBe('the-next-run');
    expect(await site.driver.status(bottle.id)).toBe('absent');
  });
});

describe('the pool', () => {
  test('two bottles that want the same /28 at once get different ones', async () => {
    const pool = site.subnet(26);
    const bottles = sameCandidate(pool, 2);
    const facts = await Promise.all(bottles.map((bottle) => ensure(bottle, pool)));
    expect(new Set(facts.map(({ subnet }) => subnet)).size).toBe(2);
    for (const { subnet } of facts) expect(overlaps(subnet, pool)).toBe(true);
  });

  test("somebody else's network on the candidate is passed by", async () => {
    const bottle = site.bottle();
    // A pool of its own: on the site's, another test's bottle may be on the candidate already.
    const pool = site.subnet(26);
    await site.foreignNetwork({ IPAM: { Driver: 'default', Config: [{ Subnet: firstCandidate(bottle, pool) }] } });
    const facts = await ensure(bottle, pool);
    expect(facts.subnet).toBe([...subnetCandidates(pool, bottle.id)][1]);
  });

  test('somebody who takes the candidate in the very moment is passed by, too', async () => {
    const bottle = site.bottle();
    const pool = site.subnet(26);
    let interfered = 0;
    // The Engine as it looks when another program is quicker by one call.
    const docker = new Proxy(site.docker, {
      get(target, property) {
        const value = Reflect.get(target, property, target);
        if (property !== 'createNetwork') return typeof value === 'function' ? value.bind(target) : value;
        return async (options: Parameters<typeof target.createNetwork>[0]) => {
          interfered += 1;
          if (interfered === 1) await site.foreignNetwork({ IPAM: options.IPAM as never });
          return target.createNetwork(options);
        };
      },
    });
    const facts = await ensure(bottle, pool, { docker, owner: site.owner });
    expect(interfered).toBe(2);
    expect(facts.subnet).toBe([...subnetCandidates(pool, bottle.id)][1]);
  });

  test('of which nothing is left is an error of its own, for a person to mend', async () => {
    const pool = site.subnet(27);
    const bottles = [site.bottle(), site.bottle()];
    const facts = [await ensure(bottles[0] as BottleRef, pool), await ensure(bottles[1] as BottleRef, pool)];
    expect(new Set(facts.map(({ subnet }) => subnet)).size).toBe(2);
    const third = site.bottle();
    await expect(ensure(third, pool)).rejects.toMatchObject({
      code: 'NETWORK_POOL_EXHAUSTED',
      retryable: false,
      message: expect.stringContaining(pool),
      hint: expect.stringContaining('network.pool'),
    });
    expect(await idsOf(third)).toEqual([]);
    await removeNetwork(site, (bottles[0] as BottleRef).id);
    expect((await ensure(third, pool)).subnet).toBe(facts[0]?.subnet);
  });

  test('of one /28 holds one bottle', async () => {
    const pool = site.subnet(28);
    expect((await ensure(site.bottle(), pool)).subnet).toBe(pool);
    await expect(ensure(site.bottle(), pool)).rejects.toMatchObject({ code: 'NETWORK_POOL_EXHAUSTED' });
  });

  /** Bottles whose ids' hashes pick the same first /28. */
  function sameCandidate(pool: string, count: number): BottleRef[] {
    const first = site.bottle();
    const same = [first];
    while (same.length < count) {
      const next = site.bottle();
      if (firstCandidate(next, pool) === firstCandidate(first, pool)) same.push(next);
    }
    return same;
  }
});

describe("somebody else's network of that name", () => {
  test.each([
    ['without our labels', 'was not made by bottle', () => ({})],
    ["with another owner's labels", 'belongs to another', (id: string) => labels(id, 'somebody/else')],
  ])('%s is an error, and stays', async (_what, message, labelsOf) => {
    const bottle = site.bottle();
    const foreign = await site.foreignNetwork({ Name: networkName(bottle.id), Labels: labelsOf(bottle.id) });
    await expect(ensure(bottle)).rejects.toMatchObject({
      code: 'NAME_TAKEN',
      retryable: false,
      message: expect.stringContaining(message),
    });
    await removeNetwork(site, bottle.id);
    expect(await foreign.inspect()).toMatchObject({ Name: networkName(bottle.id) });
  });

  test('made in the very moment is the same error, not an exhausted pool', async () => {
    const bottle = site.bottle();
    const docker = new Proxy(site.docker, {
      get(target, property) {
        const value = Reflect.get(target, property, target);
        if (property !== 'createNetwork') return typeof value === 'function' ? value.bind(target) : value;
        return async (options: Parameters<typeof target.createNetwork>[0]) => {
          if ((await site.docker.listNetworks({ filters: { name: [options.Name] } })).length === 0)
            await site.foreignNetwork({ Name: options.Name });
          return target.createNetwork(options);
        };
      },
    });
    await expect(ensure(bottle, site.pool, { docker, owner: site.owner })).rejects.toMatchObject({
      code: 'NAME_TAKEN',
    });
  });

  const labels = (id: string, owner: string) => ({
    [LABEL.bottle]: id,
    [LABEL.run]: 'run',
    [LABEL.owner]: owner,
    [LABEL.step]: 'network',
    [LABEL.spec]: specHash({ pool: site.pool, hostOnBridge: false }),
  });
});

describe('removing a network', () => {
  test('of which there is none is success, also twice at once', async () => {
    const bottle = site.bottle();
    await removeNetwork(site, bottle.id);
    await ensure(bottle);
    await Promise.all([removeNetwork(site, bottle.id), removeNetwork(site, bottle.id)]);
    await removeNetwork(site, bottle.id);
    expect(await idsOf(bottle)).toEqual([]);
  });

  test("lets go what a person connected to it, and leaves that person's containers running", async () => {
    const bottle = site.bottle();
    const facts = await ensure(bottle);
    const [one, two] = await Promise.all([site.stranger({ HostConfig: { NetworkMode: facts.name } }), site.stranger()]);
    await site.docker.getNetwork(facts.name).connect({ Container: two.id });
    await removeNetwork(site, bottle.id);
    expect(await idsOf(bottle)).toEqual([]);
    for (const container of [one, two]) {
      const { State, NetworkSettings } = await container.inspect();
      expect(State.Running).toBe(true);
      expect(Object.keys(NetworkSettings.Networks)).not.toContain(facts.name);
    }
  });

  test("never touches another owner's, even of the same bottle id", async () => {
    const bottle = site.bottle();
    const stranger = { docker: site.docker, owner: `${site.owner}-other` };
    await ensure(bottle);
    const ids = await idsOf(bottle);
    await removeNetwork(stranger, bottle.id);
    expect(await idsOf(bottle)).toEqual(ids);
  });

  test("leaves another bottle's network and containers alone", async () => {
    const [mine, other] = [site.bottle('x'), site.bottle('x-y')];
    await ensure(mine);
    const { name } = await ensure(other);
    await site.docker.createContainer({
      Image: site.images.guest,
      name: bundleName(other.id),
      Labels: { [LABEL.owner]: site.owner, [LABEL.bottle]: other.id },
      HostConfig: { NetworkMode: name },
    });
    await removeNetwork(site, mine.id);
    await ensure({ ...mine, runId: 'next' });
    expect(await idsOf(other)).toHaveLength(1);
    expect(await site.inspect(bundleName(other.id))).toMatchObject({ State: { Status: 'created' } });
  });
});
