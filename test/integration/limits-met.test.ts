/** A machine in which a limit ends a process: its launch hears of it, and so does who ran the command. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ActivityHost } from '../../src/activities/activity-host.ts';
import { watch } from '../../src/activities/watch.ts';
import { killedSoFar, limitsMet } from '../../src/client/limits-note.ts';
import type { BottleRef, WatchInput } from '../../src/core/step-io.ts';
import { type ActivitySite, activityEnvironment, activitySite } from '../support/activity-site.ts';
import { run, sh } from '../support/docker-site.ts';

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
  stopping: new AbortController().signal,
  uiUrl: () => null,
});
const patience = (): AbortSignal => AbortSignal.timeout(60_000);
const met = (exitCode: number, since: string) =>
  limitsMet(site, bottle.id, { driver: 'docker', resources }, { exitCode, since });

describe('a program that takes more memory than the machine has', () => {
  test('is ended, and its person and its launch are told of which limit', async () => {
    const since = new Date().toISOString();
    const input = {
      bottle,
      driver: 'docker' as const,
      daemons: { pipelock: 'ready' as const },
      cursor: null,
      idleMs: null,
      killsSince: since,
    };
    const { exitCode } = await run(site.driver, bottle.id, EATS);
    expect(exitCode).toBe(137);
    expect(await met(exitCode, since)).toEqual([
      `${bottle.id}: a process of the machine was killed for memory: it reached the limit of 256 MiB (resources.memoryMiB)`,
    ]);
    expect(await killedSoFar(site, bottle.id, { driver: 'docker', resources })).toEqual([
      expect.stringMatching(/: 1 killed for memory in the machine, the last at \d{4}-.*Z: the limit of 256 MiB/),
    ]);
    // Also when nobody watched just then: the Engine still knows.
    const heard = activityEnvironment().run((watched: WatchInput) => watch(host(), watched, patience()), input);
    expect(await heard).toMatchObject({
      steps: [],
      killed: [{ part: 'machine', count: 1, at: expect.stringMatching(/^\d{4}-.*Z$/) }],
    });
  });

  test('before the command is none of its business', async () => {
    expect(await met(137, new Date().toISOString())).toEqual([]);
  });
});

test('a machine that has as many processes as it may says so to who cannot start another', async () => {
  const { id } = bottle;
  const { exitCode } = await sh(site.driver, id, 'for i in $(seq 200); do sleep 30 & done');
  expect(exitCode).not.toBe(0);
  expect(await met(exitCode, new Date().toISOString())).toEqual([
    `${id}: the machine has as many processes as it may: 64 (resources.pids)`,
  ]);
});
