import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import Dockerode from 'dockerode';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { WaitsFor } from '../../../src/core/capacity.ts';
import { LABEL } from '../../../src/core/names.ts';
import { Admission, type Asking } from '../../../src/host/admission.ts';
import { settings as readSettings } from '../../../src/host/settings.ts';
import { type EngineSocket, playedEngine } from '../../support/recording-engine.ts';

let directory: string;
let engine: EngineSocket;
/** Bottles that the Engine has a container of. */
let there: string[];
let admission: Admission;
const never = new AbortController().signal;

beforeEach(async () => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-admission-'));
  there = [];
  const size = { NCPU: 2, MemTotal: 24e9, KernelVersion: 'of another computer', DockerRootDir: '/' };
  engine = await playedEngine(({ url = '' }, response) => {
    const containers = there.map((id) => ({ Labels: { [LABEL.bottle]: id, [LABEL.owner]: 'me' } }));
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(url.includes('/info') ? size : containers));
  });
  admission = anew();
});
afterEach(async () => {
  await engine.close();
  rmSync(directory, { recursive: true, force: true });
});

/** As a worker has it that has just been started. */
const anew = (): Admission =>
  new Admission({
    docker: new Dockerode({ socketPath: engine.socketPath }),
    owner: 'me',
    settings: readSettings({ BOTTLE_HOME: directory, BOTTLE_STATE: directory, BOTTLE_HOST: 'here' }),
  });
const may = (capacity: string): void => writeFileSync(path.join(directory, 'config.yaml'), `capacity: {${capacity}}\n`);
/** The n-th that was asked for. */
const asking = (n: number): Asking => ({ id: `b${n}`, askedAt: new Date(n * 1000).toISOString(), cpus: 2 });

/** Waits as the n-th; what it is told, and whether it was let in. */
function waiting(n: number, signal = never): { told: WaitsFor[]; in: boolean; ended: Promise<void> } {
  const told: WaitsFor[] = [];
  const one = { told, in: false, ended: Promise.resolve() };
  one.ended = admission
    .wait(asking(n), signal, (what) => void told.push(what))
    .then(() => {
      one.in = true;
    });
  one.ended.catch(() => undefined);
  return one;
}

test('a launch is let in at once while there is room, by one look at the Engine for all that ask together', async () => {
  const answers = await Promise.all([1, 2, 3, 4].map((n) => admission.ask(asking(n))));
  expect(answers).toEqual([undefined, undefined, undefined, undefined]);
  expect(engine.calls.filter((call) => call.includes('/containers/json'))).toHaveLength(1);
});

test('two that ask at once are not let into the same room', async () => {
  may('bottles: 1');
  const answers = await Promise.all([admission.ask(asking(1)), admission.ask(asking(2))]);
  expect(answers[0]).toBeUndefined();
  expect(answers[1]).toMatchObject({ what: 'bottles', message: expect.stringContaining('capacity.bottles') });
});

test('those that wait are let in one by one, in the order in which they were asked for, also past one that asks later', async () => {
  may('bottles: 1');
  there = ['other'];
  for (const n of [3, 2]) expect(await admission.ask(asking(n))).toMatchObject({ what: 'bottles' });
  const [third, second] = [waiting(3), waiting(2)];
  await expect.poll(() => third.told.at(-1)?.what).toBe('turn');
  expect(second.told.at(-1)?.what).toBe('bottles');
  // Room for one: it is not for who asks just now.
  there = [];
  admission.over('other');
  expect(await admission.ask(asking(4))).toMatchObject({ what: expect.stringMatching(/turn|bottles/) });
  await second.ended;
  expect(third.in).toBe(false);
  admission.over('b2');
  await third.ended;
});

test('who gives up waiting lets the next one through, and so does whose launch is undone meanwhile', async () => {
  may('bottles: 1');
  there = ['other'];
  for (const n of [1, 2, 3]) await admission.ask(asking(n));
  const leaving = new AbortController();
  const [first, , third] = [waiting(1, leaving.signal), waiting(2), waiting(3)];
  await expect.poll(() => third.told.at(-1)?.message).toContain('2 launches are before it');
  leaving.abort(new Error('no longer'));
  await expect(first.ended).rejects.toThrow('no longer');
  admission.over('b2');
  there = [];
  admission.over('other');
  await third.ended;
});

test('after the death of a worker who waited before goes before who asks now', async () => {
  may('bottles: 1');
  admission = anew();
  admission.expect([asking(1)]);
  expect(await admission.ask(asking(2))).toMatchObject({ what: 'turn' });
  const second = waiting(2);
  const first = waiting(1);
  await first.ended;
  expect(second.in).toBe(false);
});

test('a larger limit in config.yaml lets in who waits, without any restart', async () => {
  may('bottles: 1');
  there = ['other'];
  await admission.ask(asking(1));
  const first = waiting(1);
  await expect.poll(() => first.told.length).toBe(1);
  may('bottles: 2');
  await first.ended;
});

test('only so many launch at a time; one that is ready, or undone, makes room for the next', async () => {
  may('launching: 2');
  for (const n of [1, 2]) {
    expect(await admission.ask(asking(n))).toBeUndefined();
    admission.begin(`b${n}`);
  }
  expect(await admission.ask(asking(3))).toMatchObject({ what: 'launching' });
  const third = waiting(3);
  expect(await admission.ask(asking(4))).toMatchObject({ what: 'turn' });
  const fourth = waiting(4);
  await expect.poll(() => fourth.told.length).toBe(1);
  expect(third.in).toBe(false);
  admission.end('b1');
  admission.ready('b1');
  await third.ended;
  expect(fourth.in).toBe(false);
  admission.over('b2');
  await fourth.ended;
});

test('a launch that is held, and so has no step under way, keeps nobody waiting', async () => {
  may('launching: 1');
  await admission.ask(asking(1));
  admission.begin('b1');
  expect(await admission.ask(asking(2))).toMatchObject({ what: 'launching' });
  const second = waiting(2);
  admission.end('b1');
  await second.ended;
});
