/** A bottle belongs to the server that launched it: another server on the same state, or a new database, takes nothing of it. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { layAnswersAside } from '../../src/host/answers-aside.ts';
import { clientDocument, PROGRAM } from '../support/client-document.ts';
import {
  docker,
  type Installation,
  installation,
  isHeld,
  isReady,
  removeObjects,
  uniqueId,
} from '../support/installation.ts';

let it: Installation;

beforeAll(async () => {
  it = await installation();
  it.writeAgent('demo', '');
});
afterAll(() => it.dispose());

const bottle = <T>(args: string[], env = it.env): Promise<T> => clientDocument<T>(args, env);
interface Gc {
  leftovers: unknown[];
  lost: { id: string; database: string; server: string; objects: string[] }[];
}
interface Doctor {
  checks: { name: string; state: string; found: string }[];
}
const bottlesCheck = async (env = it.env) =>
  (await bottle<Doctor>(['doctor'], env)).checks.find(({ name }) => name === 'bottles');

const stateOf = (id: string): string => path.join(it.settings.state, 'bottles', id);
const runs = async (id: string): Promise<boolean> =>
  (await docker.getContainer(`bottle-${id}-machine`).inspect()).State.Running;
const endDetachedWorker = (): void => {
  process.kill(Number(readFileSync(path.join(it.settings.state, 'run/worker.pid'), 'utf8')), 'SIGTERM');
};

test('a worker of another server leaves a running bottle alone, and cannot launch over it', async () => {
  const id = uniqueId('owned');
  const worker = await it.startWorker();
  await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, isReady);
  const kept = readdirSync(stateOf(id)).sort();
  expect(kept).toContain('owner.json');
  await worker.stop();

  const other = await installation();
  const elsewhere = { ...it.env, TEMPORAL_ADDRESS: `127.0.0.1:${other.settings.port}` };
  try {
    await bottle(['serve', '--detach'], elsewhere);
    const told = await bottle<Gc>(['gc'], elsewhere);
    expect(told.leftovers).toEqual([]);
    expect(told.lost).toMatchObject([{ id, database: 'there', server: expect.stringContaining('embedded server') }]);
    expect(await bottlesCheck(elsewhere)).toMatchObject({ state: 'warn', found: expect.stringContaining(id) });
    // Its database is there, so nothing but its name removes it.
    expect(await bottle<Gc>(['gc', '--lost'], elsewhere)).toMatchObject({ lost: [], left: [{ id }] });

    const handle = await other.client.workflow.start('BottleLaunch', {
      workflowId: id,
      taskQueue: `bottle@${it.settings.host}`,
      args: [{ agent: 'demo' }],
    });
    const { steps } = await other.waitFor(id, isHeld);
    expect(steps.find(({ state }) => state === 'held')).toMatchObject({ id: 'prepare', error: { code: 'NAME_TAKEN' } });
    await handle.executeUpdate('stop');
    await handle.result();

    expect(readdirSync(stateOf(id)).sort()).toEqual(kept);
    expect(await it.objects(id)).toHaveLength(3);
    expect(await runs(id)).toBe(true);
    endDetachedWorker();
  } finally {
    await other.dispose();
    await removeObjects(other.owner);
  }

  await it.startWorker();
  await promisify(execFile)(process.execPath, [PROGRAM, 'exec', id, '--', 'true'], { env: it.env });
  expect(await bottlesCheck()).toMatchObject({ state: 'ok' });
  expect(await it.down(id)).toEqual([]);
});

test('an embedded database that is gone: its bottles run on, are told of by name, and go by gc --lost', async () => {
  const lost = await installation();
  try {
    lost.writeAgent('demo', '');
    const id = uniqueId('lost');
    const worker = await lost.startWorker();
    await lost.launch(id, { agent: 'demo' });
    await lost.waitFor(id, isReady);
    await worker.kill();
    await lost.killServer();
    rmSync(path.join(lost.settings.state, 'temporal'), { recursive: true });

    await bottle(['serve', '--detach'], lost.env);
    const { leftovers, lost: found } = await bottle<Gc>(['gc'], lost.env);
    expect(leftovers).toEqual([]);
    expect(found).toMatchObject([{ id, database: 'gone', objects: expect.arrayContaining([`bottle-${id}-machine`]) }]);
    expect(await runs(id)).toBe(true);
    expect(existsSync(path.join(lost.settings.state, 'bottles', id, 'plan.json'))).toBe(true);
    expect(await bottlesCheck(lost.env)).toMatchObject({
      state: 'warn',
      found: expect.stringMatching(new RegExp(`^1 bottle belongs .*${id}.* gone`)),
    });

    expect(await bottle(['gc', '--lost', '--dry-run'], lost.env)).toMatchObject({ removed: false, lost: [{ id }] });
    expect(await lost.leftovers(id)).toHaveLength(4);
    expect(await bottle(['gc', '--lost', 'nobody'], lost.env)).toMatchObject({ error: { code: 'NO_SUCH_BOTTLE' } });
    expect(await bottle(['gc', '--lost'], lost.env)).toMatchObject({ removed: true, lost: [{ id }], left: [] });
    expect(await lost.leftovers(id)).toEqual([]);
    await bottle(['serve', '--stop'], lost.env);
  } finally {
    await lost.dispose();
  }
});

test('answers of a launch that never prepared are removed, and not those of one that waits for its worker', async () => {
  const owner = it.owner;
  const long = new Date(Date.now() - 3_600_000);
  const aside = async (): Promise<{ id: string; file: string }> => {
    const id = await layAnswersAside(it.settings, owner, { TOKEN: 'x' });
    const file = path.join(it.settings.state, 'answers', `${id}.json`);
    utimesSync(file, long, long);
    return { id, file };
  };
  const [dead, waiting] = [await aside(), await aside()];
  const bottleId = uniqueId('waits');
  const handle = await it.client.workflow.start('BottleLaunch', {
    workflowId: bottleId,
    // Of a host without a worker.
    taskQueue: `bottle@${bottleId}`,
    args: [{ agent: 'demo', answers: waiting.id }],
    memo: { agent: 'demo', driver: null, heldSteps: [], answers: waiting.id },
  });
  const listed = async (): Promise<boolean> => {
    for await (const { workflowId } of it.client.workflow.list({ query: `WorkflowId = '${bottleId}'` }))
      if (workflowId === bottleId) return true;
    return false;
  };
  await expect.poll(listed).toBe(true);
  expect(await bottle(['gc'])).toMatchObject({ answers: [dead.file] });
  expect([existsSync(dead.file), existsSync(waiting.file)]).toEqual([false, true]);
  await handle.terminate('test');
  await expect.poll(async () => (await bottle<{ answers: string[] }>(['gc'])).answers).toEqual([waiting.file]);
});
