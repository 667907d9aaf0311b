import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Output } from '../../../src/client/output.ts';
import type { Session } from '../../../src/client/session.ts';
import { type LastHeard, sendUpdate } from '../../../src/client/update.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import { takeWorkerLock } from '../../../src/host/worker-lock.ts';
import { reloadUpdate } from '../../../src/workflows/messages.ts';

/** The client counts what it has slept, so a wait of two minutes takes as many turns and no time. */
vi.mock('node:timers/promises', async (original) => {
  const real = await original<typeof import('node:timers/promises')>();
  return {
    ...real,
    setTimeout: (_ms: number, value: unknown, options?: { signal: AbortSignal }) => real.setImmediate(value, options),
  };
});

const launch = { id: 'demo', runId: 'r', host: 'h' };
const READY = 2;
let settings: Settings;
/** What was said of a worker that lives. */
let notes: string[];
let answer: PromiseWithResolvers<string>;
beforeEach(() => {
  settings = readSettings({ BOTTLE_STATE: mkdtempSync(path.join(os.tmpdir(), 'bottle-update-')), BOTTLE_HOST: 'h' });
  notes = [];
  answer = Promise.withResolvers();
});
afterEach(() => rmSync(settings.state, { recursive: true, force: true }));

/** @param onNote is called when it was said that the worker lives */
function send(onNote: () => void = () => undefined, heard?: LastHeard): Promise<string> {
  const connection = { client: { getChannel: () => ({ getConnectivityState: () => READY }) } };
  const workflow = { getHandle: () => ({ executeUpdate: () => answer.promise }) };
  const session = {
    settings,
    target: { kind: 'external', address: 'there', namespace: 'default' },
    keeper: { isCuring: false, look: async () => undefined },
    client: { connection, workflow },
  } as unknown as Session;
  const output = {
    note: (line: string) => {
      if (!line.startsWith('the worker of this host lives')) return;
      notes.push(line);
      onNote();
    },
  } as Output;
  return sendUpdate(session, output, launch, reloadUpdate, [], undefined, heard);
}

describe('a worker of this host that lives', () => {
  let lock: Awaited<ReturnType<typeof takeWorkerLock>>;
  beforeEach(async () => {
    lock = await takeWorkerLock(settings);
  });
  afterEach(() => lock.release());

  test('is waited for though it takes long to answer, and that is said', async () => {
    await expect(send(() => answer.resolve('done'))).resolves.toBe('done');
  });

  test('is given up in the end', async () => {
    await expect(send()).rejects.toMatchObject({ code: 'WORKER_UNREACHABLE' });
    expect(notes).toHaveLength(1);
  });

  test('is given up like any other by a command that has another way', async () => {
    await expect(send(undefined, { at: Date.now(), otherWay: true })).rejects.toMatchObject({
      code: 'WORKER_UNREACHABLE',
    });
    expect(notes).toEqual([]);
  });
});

test('where no worker of this host lives, nobody waits for its answer that long', async () => {
  await expect(send()).rejects.toMatchObject({ code: 'WORKER_UNREACHABLE' });
  expect(notes).toEqual([]);
});
