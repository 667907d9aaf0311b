/** Whether anything happens in a machine: of itself nothing does, whatever it is made of. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BottleRef } from '../../src/core/step-io.ts';
import type { MachineDriver, MachineSpec } from '../../src/host/machine/driver.ts';
import { untilIdle } from '../../src/host/machine/idleness.ts';
import { type DockerSite, dockerSite, sh } from '../support/docker-site.ts';
import { standIn, standInTrouble } from '../support/smolvm.ts';
import { smolvmMachines } from '../support/smolvm-machines.ts';

interface Subject {
  driver: MachineDriver;
  prepare(): Promise<{ bottle: BottleRef; spec: MachineSpec }>;
  dispose(): Promise<void>;
}

async function docker(): Promise<Subject> {
  const site: DockerSite = await dockerSite();
  const prepare: Subject['prepare'] = async () => {
    const bottle = site.bottle('idle');
    return { bottle, spec: site.machineSpec(await site.network(bottle)) };
  };
  return { driver: site.driver, prepare, dispose: () => site.dispose() };
}

const trouble = standInTrouble();
if (trouble !== undefined) console.warn(`microVMs are left out: the stand-in ${trouble}`);

/** With a machine that has the most processes of its own. */
async function smolvm(): Promise<Subject> {
  const machines = await smolvmMachines({ path: standIn });
  const prepare: Subject['prepare'] = async () => {
    const made = await machines.prepare();
    return { ...made, spec: { ...made.spec, link: 'sockets' } };
  };
  return { driver: machines.driver, prepare, dispose: () => machines.dispose() };
}

const kinds: [string, () => Promise<Subject>][] = [['a container', docker]];
if (trouble === undefined) kinds.push(['a microVM by sockets', smolvm]);

describe.each(kinds)('%s', (_kind, make) => {
  let subject: Subject;
  let bottle: BottleRef;

  beforeAll(async () => {
    subject = await make();
    const made = await subject.prepare();
    bottle = made.bottle;
    await subject.driver.create(bottle, made.spec);
    await subject.driver.start(bottle);
  });
  afterAll(async () => {
    await subject.driver.delete(bottle.id);
    await subject.dispose();
  });

  /** How long it is until the machine has been idle for half a second; undefined when that does not come. */
  async function idleAfter(withinMs: number): Promise<number | undefined> {
    const ended = new AbortController();
    const began = Date.now();
    const idle = untilIdle(subject.driver, bottle.id, 500, ended.signal).then(() => Date.now() - began);
    const found = await Promise.race([idle, sleep(withinMs, undefined)]);
    ended.abort();
    return found;
  }

  test('in which nobody does anything is idle', async () => {
    expect(await idleAfter(60_000)).toBeGreaterThanOrEqual(500);
  });

  // Each tells its process id, for the test to end it.
  test.each([
    ['sleeps', 'echo $$ >/tmp/pid; exec sleep 600'],
    [
      'has a name with brackets and blanks',
      "cp /bin/sleep '/tmp/x) S 1 1 1 1'; echo $$ >/tmp/pid; exec '/tmp/x) S 1 1 1 1' 600",
    ],
    ['was left behind', 'setsid sleep 600 >/dev/null 2>&1 & echo $! >/tmp/pid; exec true'],
  ])('in which a process %s is not, until that ends', async (_what, script) => {
    const running = sh(subject.driver, bottle.id, script);
    running.catch(() => undefined);
    const begun = async (): Promise<number> => (await sh(subject.driver, bottle.id, 'test -s /tmp/pid')).exitCode;
    await expect.poll(begun).toBe(0);
    expect(await idleAfter(2000)).toBeUndefined();
    await sh(subject.driver, bottle.id, 'kill "$(cat /tmp/pid)"; rm /tmp/pid');
    await running;
    expect(await idleAfter(60_000)).toBeGreaterThanOrEqual(500);
  });
});
