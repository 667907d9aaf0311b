/** Whose a bottle is once another launch has adopted it: what the reaper, `gc` and a removal take for theirs. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Plan } from '../../../src/core/plan.ts';
import type { Maker } from '../../../src/core/step-io.ts';
import { adoptable } from '../../../src/host/adoptable.ts';
import { bottlePath, writeBottleState } from '../../../src/host/bottle-state.ts';
import { bottlesThere } from '../../../src/host/host-load.ts';
import { findLost } from '../../../src/host/lost.ts';
import type { MachineHost } from '../../../src/host/machine/drivers.ts';
import { objectsByLaunch, removeLaunch } from '../../../src/host/reap.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import { adoptState, claimState } from '../../../src/host/state-owner.ts';
import { type PlayedObjects, playedObjects } from '../../support/played-objects.ts';

const server = { kind: 'embedded', address: '127.0.0.1:7233' } as const;
const BEFORE: Maker = { owner: 'before/default', run: 'run-1' };
const NOW: Maker = { owner: 'now/default', run: 'run-9' };

let settings: Settings;
let objects: PlayedObjects;
beforeEach(async () => {
  settings = readSettings({ BOTTLE_STATE: mkdtempSync(path.join(os.tmpdir(), 'bottle-adoption-')), BOTTLE_HOST: 'h' });
  objects = playedObjects();
  objects.make('demo', BEFORE);
  await claimState(settings, { id: 'demo', runId: BEFORE.run }, { owner: BEFORE.owner, server });
});
afterEach(() => rmSync(settings.state, { recursive: true, force: true }));

const hostOf = ({ owner }: Maker): MachineHost => ({ docker: objects.docker, owner, settings }) as MachineHost;
const adopt = () => adoptState(settings, { id: 'demo', runId: NOW.run }, { owner: NOW.owner, server }, BEFORE);
const found = async (maker: Maker) => (await objectsByLaunch(hostOf(maker))).map(({ id, run }) => `${id} ${run}`);
const OBJECTS = ['bottle-demo', 'bottle-demo-bundle', 'bottle-demo-machine'];

test('until it is adopted it is lost to the other server, and after that no more', async () => {
  expect(await found(NOW)).toEqual([]);
  expect((await findLost(hostOf(NOW))).map(({ id, owner, run }) => ({ id, owner, run }))).toEqual([
    { id: 'demo', ...BEFORE },
  ]);
  await adopt();
  expect(await objectsByLaunch(hostOf(NOW))).toEqual([
    { id: 'demo', run: NOW.run, objects: [bottlePath(settings, 'demo'), ...OBJECTS] },
  ]);
  expect(await findLost(hostOf(NOW))).toEqual([]);
});

test('for the server that launched it nothing of it is left to reap, and it is lost by its adopter', async () => {
  await adopt();
  expect(await found(BEFORE)).toEqual([]);
  expect(await findLost(hostOf(BEFORE))).toMatchObject([
    { id: 'demo', ...NOW, objects: [bottlePath(settings, 'demo'), ...OBJECTS] },
  ]);
  await removeLaunch(hostOf(BEFORE), { id: 'demo', run: BEFORE.run });
  expect(objects.names()).toEqual(OBJECTS);
});

test('a removal by its adopter leaves nothing of it, and touches no other launch of the same maker', async () => {
  objects.make('other', { ...BEFORE, run: 'run-2' });
  await adopt();
  await removeLaunch(hostOf(NOW), { id: 'demo', run: NOW.run });
  expect(objects.names()).toEqual(['bottle-other', 'bottle-other-bundle', 'bottle-other-machine']);
  expect(existsSync(bottlePath(settings, 'demo'))).toBe(false);
});

test('it counts among the bottles of its adopter', async () => {
  objects.make('stranger', { owner: 'stranger/default', run: 'run-1' });
  expect(await bottlesThere(hostOf(NOW))).toEqual([]);
  await adopt();
  expect(await bottlesThere(hostOf(NOW))).toEqual(['demo']);
});

const plan = { agent: 'demo' } as Plan;
const lost = { id: 'demo', ...BEFORE };

test('what a launch would adopt it with: as it was asked for, and whose it is', async () => {
  const launch = { agent: 'demo', bottles: ['dev'], prompt: 'Begin', answers: 'aaaaaaaa-1' };
  await writeBottleState(settings, 'demo', { plan, prompt: '', launch });
  expect(await adoptable(settings, lost)).toEqual({
    plan,
    input: { agent: 'demo', bottles: ['dev'], prompt: 'Begin', adopts: BEFORE },
  });
});

test.each([
  ['plan.json', /plan is gone/],
  ['launch.json', /earlier version/],
] as const)('without its %s it is refused, with what to do', async (file, why) => {
  await writeBottleState(settings, 'demo', { plan, prompt: '', launch: { agent: 'demo' } });
  rmSync(path.join(bottlePath(settings, 'demo'), file));
  const refused = { code: 'NOT_ADOPTABLE', message: expect.stringMatching(why), hint: expect.stringContaining('gc') };
  await expect(adoptable(settings, lost)).rejects.toMatchObject(refused);
});

test('one of which nobody noted whose it is, and one whose input nobody can use, are refused', async () => {
  await expect(adoptable(settings, { id: 'demo' })).rejects.toMatchObject({ code: 'NOT_ADOPTABLE' });
  await writeBottleState(settings, 'demo', { plan, prompt: '', launch: { agent: 'demo' } });
  writeFileSync(path.join(bottlePath(settings, 'demo'), 'launch.json'), '{"agent": 1}');
  await expect(adoptable(settings, lost)).rejects.toMatchObject({ message: expect.stringContaining('agent:') });
});
