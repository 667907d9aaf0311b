/** A launch outlives the history of any of its runs: it goes on in another, and nobody who deals with it notices. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BottleRun, describeBottle, launchOf } from '../../src/client/bottle-status.ts';
import { listBottles } from '../../src/client/list-bottles.ts';
import { openSession, type Session } from '../../src/client/session.ts';
import { type WatchEvent, watchBottle } from '../../src/client/watch.ts';
import type { Ask } from '../../src/core/requests.ts';
import { markStopped } from '../../src/host/stopped-mark.ts';
import { temporalTarget } from '../../src/host/temporal-connection.ts';
import { decideUpdate, retryUpdate, stopUpdate } from '../../src/workflows/messages.ts';
import { type Installation, installation, isHeld, isReady, uniqueId } from '../support/installation.ts';
import { type PlayedHost, playedHost } from '../support/played-host.ts';

let it: Installation;
let host: PlayedHost;
let session: Session;

beforeAll(async () => {
  it = await installation();
  host = await playedHost(it);
  // Whoever follows a launch would start a real one.
  markStopped(it.settings);
  session = await openSession(it.settings, await temporalTarget(it.settings, it.env));
});
afterAll(async () => {
  await session?.close();
  await host?.stop();
  await it?.dispose();
});

const route = (name: string): Ask => ({
  kind: 'egress-route',
  host: name,
  methods: ['GET'],
  pathPrefix: null,
  reason: 'to test',
});

const runOf = async (id: string): Promise<string> => (await it.client.workflow.getHandle(id).describe()).runId;

/** As a client does: of that launch, in whichever run it is. */
async function send(launch: BottleRun, update: { name: string }, args: unknown[] = []): Promise<string> {
  const handle = it.client.workflow.getHandle(launch.id, undefined, { firstExecutionRunId: launch.runId });
  return handle.executeUpdate<string, [unknown]>(update.name, { args: args as [unknown] });
}

/** Makes a launch's history long; resolves once it has gone on in another run. */
async function growOld(id: string): Promise<void> {
  const before = await runOf(id);
  const handle = it.client.workflow.getHandle(id);
  for (let n = 0; n < 3; n += 1) await handle.signal('ballast', randomBytes(450_000).toString('base64'));
  // The server tells of a history's size as it was a task ago.
  const nudged = async (): Promise<string> => {
    await handle.signal('ballast');
    return runOf(id);
  };
  await expect.poll(nudged).not.toBe(before);
}

describe('a ready launch that goes on in another run', () => {
  test('is the same launch: its steps, requests, grants, times and names', async () => {
    const id = uniqueId('old');
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    const bottle = host.bottle(id);
    bottle.ask('aaaaaaaa', route('for-good.test'));
    bottle.ask('bbbbbbbb', route('for-a-time.test'));
    bottle.ask('cccccccc', { kind: 'question', question: 'Which?', options: [] });
    await it.waitFor(id, ({ requests }) => requests.length === 3);
    const launch = launchOf(await describeBottle(session, id));
    await send(launch, decideUpdate, [{ request: 'aaaaaaaa', decision: 'approve', note: 'yes' }]);
    await send(launch, decideUpdate, [{ request: 'bbbbbbbb', decision: 'approve', for: '60s' }]);
    const before = await it.waitFor(id, isReady);
    await growOld(id);
    const after = await it.waitFor(id, isReady);
    expect(after).toEqual(before);
    expect(await runOf(id)).not.toBe(before.runId);
    expect(launchOf(await describeBottle(session, id))).toEqual(launch);
    const [row] = (await listBottles(session, { all: true })).filter((each) => each.id === id);
    expect(row).toMatchObject({ id, agent: 'demo', phase: 'ready', startedAt: before.startedAt });

    // A second time, and what waited goes on waiting, and ending.
    await growOld(id);
    await send(launch, decideUpdate, [{ request: 'cccccccc', decision: 'approve', note: 'This.' }]);
    await it.waitFor(id, ({ phase, requests }) => phase === 'ready' && requests[1]?.state === 'expired');
    await expect.poll(() => bottle.requests.map(({ state }) => state)).toEqual(['approved', 'expired', 'approved']);
    const healed = (bottle.runs.get('bundle') ?? 0) + 1;
    bottle.kill('bundle');
    await it.waitFor(id, (status) => isReady(status) && bottle.runs.get('bundle') === healed);
    expect(bottle.runs.get('machine.create')).toBe(1);
    await send(launch, stopUpdate);
    await it.closed(id);
    const { status } = await it.client.workflow.getHandle(id).describe();
    expect(status.name).toBe('COMPLETED');
    for (const undo of ['machine.stop', 'machine.delete', 'bundle.remove', 'network.remove', 'state.remove'])
      expect(bottle.runs.get(undo), undo).toBe(1);
  });

  test('is followed from one to the next by who watches, and takes every update sent meanwhile once', async () => {
    const id = uniqueId('old');
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    const launch = launchOf(await describeBottle(session, id));
    const told: WatchEvent[] = [];
    const watching = (async () => {
      for await (const event of watchBottle(session, launch, AbortSignal.timeout(240_000))) told.push(event);
    })();
    const bottle = host.bottle(id);
    const growing = growOld(id).then(() => growOld(id));
    const requests = Array.from({ length: 40 }, (_, n) => `${n}`.padStart(8, '0'));
    for (const request of requests) {
      bottle.ask(request, { kind: 'question', question: request, options: [] });
      await it.waitFor(id, (status) => status.requests.some((each) => each.id === request));
      await send(launch, decideUpdate, [{ request, decision: 'approve', note: `to ${request}` }]);
    }
    await growing;
    await it.waitFor(id, isReady);
    await expect
      .poll(() => bottle.requests.map(({ note }) => note))
      .toEqual(requests.map((request) => `to ${request}`));
    await send(launch, stopUpdate);
    await watching;
    expect(told.filter((event) => event.kind !== 'status' && event.who === 'temporal')).toEqual([]);
    expect(told.at(-1)).toMatchObject({ closed: true, status: { runId: launch.runId, phase: 'stopped' } });
  });
});

test('a death that is heard of when the run has just grown long is healed first', async () => {
  const id = uniqueId('old');
  await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, isReady);
  const before = await runOf(id);
  const handle = it.client.workflow.getHandle(id);
  // Sent at once, they count with the next task: the one that tells of the death.
  const ballast = () => handle.signal('ballast', randomBytes(450_000).toString('base64'));
  await Promise.all([ballast(), ballast(), ballast()]);
  host.bottle(id).kill('bundle');
  await it.waitFor(id, (status) => isReady(status) && status.steps.some((step) => step.attempts === 2));
  await growOld(id);
  expect(await runOf(id)).not.toBe(before);
  expect(host.bottle(id).runs.get('bundle')).toBe(2);
  await handle.executeUpdate('stop');
  await it.closed(id);
});

describe('a held launch that goes on in another run', () => {
  test('is held by the same step with the same error, and a retry runs that one alone', async () => {
    const id = uniqueId('old');
    host.bottle(id).fails.set('provision.skills', 3);
    await it.launch(id, { agent: 'demo' });
    const before = await it.waitFor(id, isHeld);
    await growOld(id);
    expect(await it.waitFor(id, isHeld)).toEqual(before);
    const launch = launchOf(await describeBottle(session, id));
    await send(launch, retryUpdate);
    const status = await it.waitFor(id, isReady);
    expect(status.steps.map(({ attempts }) => attempts)).toEqual([1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]);
    expect(await send(launch, stopUpdate)).toContain('stopping');
    await it.closed(id);
  });

  test('goes on undoing what it was undoing', async () => {
    const id = uniqueId('old');
    host.bottle(id).fails.set('network.remove', 3);
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    const launch = launchOf(await describeBottle(session, id));
    await send(launch, stopUpdate);
    const before = await it.waitFor(id, isHeld);
    await growOld(id);
    expect(await it.waitFor(id, isHeld)).toEqual(before);
    await send(launch, retryUpdate);
    await it.closed(id);
    expect(host.bottle(id).runs.get('bundle.remove')).toBe(1);
    expect(host.bottle(id).runs.get('network.remove')).toBe(4);
  });
});
