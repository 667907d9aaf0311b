/** A machine in which a limit ends a process: its launch hears of it, and so does who ran the command. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ActivityHost } from '../../src/activities/activity-host.ts';
import { watch } from '../../src/activities/watch.ts';
import { limitsMet, limitsMetSoFar } from '../../src/client/limits-note.ts';
import { bundleName, machineName } from '../../src/core/names.ts';
import type { BottleRef, WatchInput, WatchNews } from '../../src/core/step-io.ts';
import { untilProcessLimit } from '../../src/host/process-limit.ts';
import { type ActivitySite, activityEnvironment, activitySite } from '../support/activity-site.ts';
import { run, sh } from '../support/docker-site.ts';
import { runIn } from '../support/run-in-container.ts';

const resources = { cpus: 2, memoryMiB: 256, pids: 64 };
const EATS = ['node', '-e', 'a = []; for (;;) a.push(Buffer.alloc(1e7, 1))'];

let site: ActivitySite;
let bottle: BottleRef;
beforeAll(async () => {
  site = await activitySite();
  bottle = site.bottle('limits');
  const network = await site.network(bottle);
  await site.driver.create(bottle, { ...site.machineSpec(network), resources });
  await Promise.all([site.driver.start(bottle), site.step('bundle', site.bundleInput(bottle, network))]);
});
afterAll(() => site?.dispose());

const host = (): ActivityHost => ({
  docker: site.docker,
  owner: site.owner,
  settings: site.settings,
  server: { kind: 'embedded', address: '127.0.0.1:7233' },
  stopping: new AbortController().signal,
  uiUrl: () => null,
});
const patience = (): AbortSignal => AbortSignal.timeout(60_000);
const hears = (more: Partial<WatchInput>) => {
  const daemons = { pipelock: 'ready' as const };
  // No launch has made this bottle, so the host keeps no plan of it: as if that had been told already.
  const input: WatchInput = { bottle, driver: 'docker', daemons, cursor: null, idleMs: null, stateGone: true, ...more };
  return activityEnvironment().run(
    (watched: WatchInput) => watch(host(), watched, patience()),
    input,
  ) as Promise<WatchNews>;
};
const met = (exitCode: number, since: string) =>
  limitsMet(site, bottle.id, { driver: 'docker', resources }, { exitCode, since });

describe('a program that takes more memory than the machine has', () => {
  test('is ended, and its person and its launch are told of which limit', async () => {
    const since = new Date().toISOString();
    const { exitCode } = await run(site.driver, bottle.id, EATS);
    expect(exitCode).toBe(137);
    expect(await met(exitCode, since)).toEqual([
      `${bottle.id}: a process of the machine was killed for memory: it reached the limit of 256 MiB (resources.memoryMiB)`,
    ]);
    expect(await limitsMetSoFar(site, bottle.id, { driver: 'docker', resources })).toEqual([
      expect.stringMatching(/: 1 killed for memory in the machine, the last at \d{4}-.*Z: the limit of 256 MiB/),
    ]);
    // Also when nobody watched just then: the Engine still knows.
    expect(await hears({ killsSince: since })).toMatchObject({
      steps: [],
      killed: [{ part: 'machine', count: 1, at: expect.stringMatching(/^\d{4}-.*Z$/) }],
    });
  });

  test('before the command is none of its business', async () => {
    expect(await met(137, new Date().toISOString())).toEqual([]);
  });
});

test('a program that takes more memory than the bundle has is told as that, to the launch and by `logs`, whatever the driver', async () => {
  const limit = 128 * 1024 ** 2;
  const bundle = bundleName(bottle.id);
  await site.docker.getContainer(bundle).update({ Memory: limit, MemorySwap: limit });
  const killsSince = new Date().toISOString();
  expect((await runIn(site, bundle, EATS)).exitCode).toBe(137);
  const { killed, steps } = await hears({ killsSince });
  expect({ killed, steps }).toMatchObject({ steps: [], killed: [{ part: 'bundle' }] });
  // A microVM's bundle is a container all the same.
  for (const driver of ['docker', 'smolvm'] as const) {
    expect((await limitsMetSoFar(site, bottle.id, { driver, resources })).join()).toMatch(
      /: \d+ killed for memory in the bundle, the last at \d{4}-.*Z: the bundle's own limit of memory/,
    );
  }
});

test('a machine that has as many processes as it may says so to who cannot start another, and to its launch', async () => {
  const { id } = bottle;
  const { exitCode } = await sh(site.driver, id, 'for i in $(seq 200); do sleep 300 & done');
  expect(exitCode).not.toBe(0);
  expect(await met(exitCode, new Date().toISOString())).toEqual([
    `${id}: the machine has as many processes as it may: 64 (resources.pids)`,
  ]);
  const killsSince = new Date().toISOString();
  const { outOfPids, ...others } = await hears({ killsSince });
  expect(others).toMatchObject({ steps: [], refused: [] });
  expect(outOfPids).toMatchObject({ at: expect.stringMatching(/^\d{4}-.*Z$/) });
  expect((await limitsMetSoFar(site, id, { driver: 'docker', resources })).at(-1)).toMatch(
    /: the machine had as many processes as it may(, \d+ refused)?: the limit of 64 \(resources\.pids\)$/,
  );

  // Where the Engine's kernel is not ours, its numbers of processes are of others, or of none: the Engine is asked.
  // The shell is gone, which leaves room for one more; but whether the Engine can start one in so little room is chance.
  await site.docker.getContainer(machineName(id)).update({ PidsLimit: 32 });
  const elsewhere = await untilProcessLimit({ ...site, docker: withoutPid(site.docker) }, id, {}, patience());
  expect(elsewhere).toEqual({ at: expect.stringMatching(/^\d{4}-.*Z$/) });
});

/** An Engine in a virtual machine, as far as a container's process goes. */
const withoutPid = (docker: ActivitySite['docker']): ActivitySite['docker'] =>
  Object.assign(Object.create(docker), {
    getContainer: (name: string) => {
      const container = docker.getContainer(name);
      return Object.assign(Object.create(container), {
        inspect: async () => ({ ...(await container.inspect()), State: { Pid: 0 } }),
      });
    },
  });
