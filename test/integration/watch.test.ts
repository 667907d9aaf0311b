/** A launch is followed by the end of its history, however long that is. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BottleRun } from '../../src/client/bottle-status.ts';
import { openSession, type Session } from '../../src/client/session.ts';
import { type WatchEvent, watchBottle } from '../../src/client/watch.ts';
import { markStopped } from '../../src/host/stopped-mark.ts';
import { temporalTarget } from '../../src/host/temporal-connection.ts';
import { type Installation, installation, uniqueId } from '../support/installation.ts';

let it: Installation;
let session: Session;

beforeAll(async () => {
  it = await installation();
  // Whoever follows a launch would start one.
  markStopped(it.settings);
  session = await openSession(it.settings, await temporalTarget(it.settings, it.env));
});
afterAll(async () => {
  await session?.close();
  await it?.dispose();
});

/** Open for as long as a test lets it be: no worker runs here. */
async function launch(): Promise<BottleRun> {
  const id = uniqueId('watched');
  await it.launch(id, { agent: 'demo' });
  return { id, runId: (await it.client.workflow.getHandle(id).describe()).runId };
}

/** Everything a watch tells until it ends. */
async function watched(run: BottleRun): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of watchBottle(session, run, AbortSignal.timeout(120_000))) events.push(event);
  return events;
}

test('a history of more than gRPC takes in one answer is followed to its end', async () => {
  const run = await launch();
  const handle = it.client.workflow.getHandle(run.id);
  // 4 MiB is what gRPC takes.
  for (let n = 0; n < 6; n += 1) await handle.signal('ballast', randomBytes(750_000).toString('base64'));
  const watching = watched(run);
  watching.catch(() => undefined);
  await handle.terminate('the end');
  const events = await watching;
  expect(events.filter((event) => event.kind !== 'status' && event.who === 'temporal')).toEqual([]);
  expect(events.at(-1)).toMatchObject({ kind: 'status', closed: true, status: { id: run.id, phase: 'failed' } });
});

test('one that is over already is told of at once', async () => {
  const run = await launch();
  await it.client.workflow.getHandle(run.id).terminate('the end');
  expect((await watched(run)).at(-1)).toMatchObject({ kind: 'status', closed: true, status: { runId: run.runId } });
});

test('of an id that was used again, the launch that was asked for is told of', async () => {
  const first = await launch();
  await it.client.workflow.getHandle(first.id).terminate('the end');
  await it.launch(first.id, { agent: 'demo' });
  await it.client.workflow.getHandle(first.id).terminate('the end');
  expect((await watched(first)).at(-1)).toMatchObject({ kind: 'status', closed: true, status: { runId: first.runId } });
});
