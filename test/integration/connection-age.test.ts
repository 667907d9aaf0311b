/** A server ends good connections too, after some five minutes each: nobody who follows a launch takes that for an outage. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSession, type Session } from '../../src/client/session.ts';
import { type WatchEvent, watchBottle } from '../../src/client/watch.ts';
import { serverArguments } from '../../src/host/embedded-server.ts';
import { settings as readSettings } from '../../src/host/settings.ts';
import { markStopped } from '../../src/host/stopped-mark.ts';
import { temporalTarget } from '../../src/host/temporal-connection.ts';
import { findTool } from '../../src/host/tools.ts';
import { freePort } from '../support/free-port.ts';
import { uniqueId } from '../support/installation.ts';

let session: Session;
let end: () => Promise<unknown>;

beforeAll(async () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-age-'));
  const env = { HOME: directory, BOTTLE_STATE: path.join(directory, 'state'), BOTTLE_PORT: String(await freePort()) };
  const settings = readSettings(env);
  // Whoever follows a launch would start a worker.
  markStopped(settings);
  const program = (await findTool('temporal'))?.path ?? 'temporal';
  const age = ['--dynamic-config-value', 'frontend.keepAliveMaxConnectionAge="1s"'];
  const server = spawn(program, [...serverArguments(settings, path.join(directory, 'it.db')), ...age], {
    stdio: 'ignore',
  });
  const exited = once(server, 'exit');
  end = async () => {
    server.kill('SIGKILL');
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  const target = await temporalTarget(settings, env);
  for (let opened: Session | undefined; opened === undefined; await sleep(50)) {
    opened = await openSession(settings, target).catch(() => undefined);
    if (opened !== undefined) session = opened;
  }
});
afterAll(async () => {
  await session?.close();
  await end?.();
});

test('a launch is followed over connections that the server ends', async () => {
  const id = uniqueId('aged');
  const { firstExecutionRunId: runId } = await session.client.workflow.start('BottleLaunch', {
    workflowId: id,
    taskQueue: 'bottle@nobody',
    args: [{ agent: 'demo' }],
  });
  const watching = new AbortController();
  const events: WatchEvent[] = [];
  const done = (async () => {
    for await (const event of watchBottle(session, { id, runId }, watching.signal)) events.push(event);
  })();
  // Some five of them.
  await sleep(6000);
  await session.client.workflow.getHandle(id).terminate('the end');
  await done;
  expect(events.filter((event) => event.kind !== 'status' && event.who === 'temporal')).toEqual([]);
  expect(events.at(-1)).toMatchObject({ kind: 'status', closed: true });
});
