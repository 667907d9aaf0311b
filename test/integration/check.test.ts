import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleName, machineName } from '../../src/core/names.ts';
import type { BottleRef, NetworkFacts } from '../../src/core/step-io.ts';
import { ensureNetwork } from '../../src/host/network.ts';
import { type ActivitySite, activitySite } from '../support/activity-site.ts';
import { runIn } from '../support/run-in-container.ts';

interface Home {
  bottle: BottleRef;
  network: NetworkFacts;
}

let site: ActivitySite;
let good: Home;
beforeAll(async () => {
  site = await activitySite();
  good = await site.ready('check');
});
afterAll(() => site?.dispose());

const ALLOW = ['api.anthropic.com'];
const check = ({ bottle, network }: Home, allow: string[] = ALLOW) =>
  site.step('check', { bottle, network, driver: 'docker', allow });

/** What is wrong according to the check, one finding a line. */
async function findings(home: Home, allow?: string[]): Promise<string[]> {
  const failure = await check(home, allow).then(
    () => ({ type: 'none', message: '' }),
    (error: { type: string; message: string }) => error,
  );
  expect(failure).toMatchObject({ type: 'CHECK_FAILED', nonRetryable: false });
  return failure.message.split('; ');
}

describe('the check', () => {
  test('passes a bottle as it should be, and any number of times', async () => {
    await expect(check(good)).resolves.toBeNull();
    await expect(Promise.all([check(good), check(good)])).resolves.toEqual([null, null]);
  });

  test('passes a bottle that lists no host at all', async () => {
    await expect(check(good, [])).resolves.toBeNull();
  });

  test('finds a listed host that the proxy does not let through', async () => {
    expect(await findings(good, ['forgotten.example.com'])).toEqual([
      expect.stringMatching(/^a listed host is refused .*"deny"/),
    ]);
  });

  test('finds a machine that is on another network too', async () => {
    const bridge = site.docker.getNetwork('bridge');
    await bridge.connect({ Container: machineName(good.bottle.id) });
    try {
      expect(await findings(good)).toContainEqual(
        expect.stringMatching(/^the machine is on another network than its own .*172\.\d+/),
      );
    } finally {
      await bridge.disconnect({ Container: machineName(good.bottle.id), Force: true });
    }
    await expect(check(good)).resolves.toBeNull();
  });

  test('finds a bridge that answers at the gateway', async () => {
    const bottle = site.bottle('check');
    const network = await ensureNetwork(site, bottle, { pool: site.pool, hostOnBridge: true });
    await Promise.all([
      site.step('bundle', site.bundleInput(bottle, network)),
      site.driver.create(bottle, site.machineSpec(network)).then(() => site.driver.start(bottle)),
    ]);
    expect(await findings({ bottle, network })).toEqual([
      expect.stringMatching(/^the host can be reached through the gateway .*refused/i),
    ]);
  });

  test('finds a proxy that lets through what nobody listed', async () => {
    const home = await site.machine('check');
    await site.step('bundle', {
      ...site.bundleInput(home.bottle, home.network),
      allow: [...ALLOW, 'unlisted.bottle.invalid'],
    });
    expect(await findings(home)).toEqual([
      expect.stringMatching(/^an unlisted host is not refused /),
      expect.stringMatching(/^an unlisted host is not refused over TLS /),
    ]);
  });

  test('finds an agent that is not there, or does not start', async () => {
    const home = await site.ready('check');
    await runIn(site, machineName(home.bottle.id), ['rm', '/usr/local/bin/claude']);
    expect(await findings(home)).toEqual([expect.stringMatching(/^the agent does not run .*not found/)]);
    await site.driver.putFiles(home.bottle.id, [
      { path: '/usr/local/bin/claude', mode: 0o755, content: Buffer.from('#!/bin/sh\necho broken >&2; exit 1\n') },
    ]);
    expect(await findings(home)).toEqual([expect.stringMatching(/^the agent does not run .*broken/)]);
  });

  test('finds a bundle that has stopped', async () => {
    const home = await site.ready('check');
    await site.docker.getContainer(bundleName(home.bottle.id)).stop();
    expect(await findings(home)).toEqual([
      expect.stringMatching(/^the way out through the bundle does not answer /),
      expect.stringMatching(/^a listed host is refused /),
      expect.stringMatching(/^an unlisted host is not refused /),
      expect.stringMatching(/^an unlisted host is not refused over TLS /),
    ]);
  });

  test('of a machine that does not run is that error, not a finding', async () => {
    const home = await site.ready('check');
    await site.driver.stop(home.bottle.id);
    await expect(check(home)).rejects.toMatchObject({ type: 'MACHINE_NOT_RUNNING' });
  });
});
