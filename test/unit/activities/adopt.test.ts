/** What the steps of a launch do with a bottle that it has adopted, and with one that was adopted from it. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ActivityHost } from '../../../src/activities/activity-host.ts';
import { inNameOfMaker } from '../../../src/activities/adopt.ts';
import { createActivities, createWaitingActivities } from '../../../src/activities/index.ts';
import type { Maker } from '../../../src/core/step-io.ts';
import { bottlePath } from '../../../src/host/bottle-state.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import { adoptState, claimState } from '../../../src/host/state-owner.ts';
import { type PlayedObjects, playedObjects } from '../../support/played-objects.ts';

const server = { kind: 'embedded', address: '127.0.0.1:7233' } as const;
const BEFORE: Maker = { owner: 'before/default', run: 'run-1' };
const NOW: Maker = { owner: 'now/default', run: 'run-9' };
const OBJECTS = ['bottle-demo', 'bottle-demo-bundle', 'bottle-demo-machine'];

let settings: Settings;
let objects: PlayedObjects;
beforeEach(async () => {
  settings = readSettings({ BOTTLE_STATE: mkdtempSync(path.join(os.tmpdir(), 'bottle-adopt-')), BOTTLE_HOST: 'h' });
  objects = playedObjects();
  objects.make('demo', BEFORE);
  await claimState(settings, { id: 'demo', runId: BEFORE.run }, { owner: BEFORE.owner, server });
  await adoptState(settings, { id: 'demo', runId: NOW.run }, { owner: NOW.owner, server }, BEFORE);
});
afterEach(() => rmSync(settings.state, { recursive: true, force: true }));

const hostOf = ({ owner }: Maker) => ({ docker: objects.docker, owner, settings, server }) as unknown as ActivityHost;
const call = (of: Maker, name: string, madeBy?: Maker): Promise<unknown> => {
  const host = hostOf(of);
  const activities: Record<string, unknown> = { ...createActivities(host), ...createWaitingActivities(host) };
  const bottle = { id: 'demo', runId: of.run, ...(madeBy === undefined ? {} : { madeBy }) };
  const activity = activities[name] as (input: unknown) => Promise<unknown>;
  return new MockActivityEnvironment().run(activity, { bottle, driver: 'docker' });
};

test.each(['machine.start', 'bundle', 'provision.agent', 'survey', 'reread', 'watch'])(
  '%s of the launch before is refused for good',
  async (name) => {
    await expect(call(BEFORE, name)).rejects.toMatchObject({ type: 'ADOPTED', nonRetryable: true });
  },
);

test.each(['machine.stop', 'machine.delete', 'bundle.remove', 'network.remove', 'state.remove'])(
  '%s of the launch before has nothing to undo, and touches nothing',
  async (name) => {
    expect(await call(BEFORE, name)).toMatchObject({ value: null });
    expect(objects.names()).toEqual(OBJECTS);
    expect(existsSync(bottlePath(settings, 'demo'))).toBe(true);
  },
);

test('the undo of the launch that has adopted it goes by the name of the one that made it', async () => {
  await call(NOW, 'machine.delete', BEFORE);
  await call(NOW, 'bundle.remove', BEFORE);
  expect(objects.names()).toEqual(['bottle-demo']);
  await call(NOW, 'network.remove', BEFORE);
  await call(NOW, 'state.remove', BEFORE);
  expect(objects.names()).toEqual([]);
  expect(existsSync(bottlePath(settings, 'demo'))).toBe(false);
});

test('one that ends before its steps came to what was there, or that lost what prepare told, leaves nothing either', async () => {
  await call(NOW, 'state.remove');
  expect(objects.names()).toEqual([]);
  expect(existsSync(bottlePath(settings, 'demo'))).toBe(false);
});

test('one that was never given the bottle takes nothing of it away', async () => {
  await call({ ...NOW, run: 'run-10' }, 'state.remove');
  expect(objects.names()).toEqual(OBJECTS);
  expect(existsSync(bottlePath(settings, 'demo'))).toBe(true);
});

test('what works in the name of one owner is one host, so that bottles of it share what hangs on that', () => {
  const host = hostOf(NOW);
  const inName = inNameOfMaker(host);
  const [own, input] = inName({ bottle: { id: 'own', runId: NOW.run } });
  expect([own === host, input.bottle.runId]).toEqual([true, NOW.run]);
  const [one, named] = inName({ bottle: { id: 'demo', runId: NOW.run, madeBy: BEFORE } });
  const [two] = inName({ bottle: { id: 'demo-2', runId: 'run-8', madeBy: { ...BEFORE, run: 'run-2' } } });
  expect([one.owner, named.bottle.runId, one === two]).toEqual([BEFORE.owner, BEFORE.run, true]);
});
