import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import { claimState, readStateOwner, releaseState, stateOwners } from '../../../src/host/state-owner.ts';

let settings: Settings;
beforeEach(() => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-owner-'));
  settings = readSettings({ BOTTLE_STATE: path.join(folder, 'state'), BOTTLE_HOST: 'h' });
});
afterEach(() => rmSync(path.dirname(settings.state), { recursive: true, force: true }));

const server = { kind: 'embedded', address: '127.0.0.1:7233' } as const;
const OURS = 'cluster/default';
const ours = { owner: OURS, server };
const first = { id: 'demo', runId: 'run-1' };
const second = { id: 'demo', runId: 'run-2' };
const file = (name: string): string => path.join(settings.state, 'bottles', 'demo', name);
const keep = (name = 'plan.json'): void => writeFileSync(file(name), 'x');

test('a launch claims the state of its bottle, as often as it likes, and keeps what is in it', async () => {
  await claimState(settings, first, ours);
  keep();
  await claimState(settings, first, ours);
  expect(await readStateOwner(settings, 'demo')).toEqual({ owner: OURS, run: 'run-1', server });
  expect(readdirSync(path.dirname(file('x'))).sort()).toEqual(['owner.json', 'plan.json']);
  expect(statSync(file('owner.json')).mode & 0o777).toBe(0o600);
});

test('what an earlier launch of the same owner left is not adopted', async () => {
  await claimState(settings, first, ours);
  keep('answers.json');
  await claimState(settings, second, ours);
  expect(existsSync(file('answers.json'))).toBe(false);
  expect((await readStateOwner(settings, 'demo'))?.run).toBe('run-2');
});

test("another owner's is refused, with its server, and stays whole", async () => {
  await claimState(settings, first, ours);
  keep();
  const refused = claimState(settings, second, { owner: 'other/default', server });
  await expect(refused).rejects.toMatchObject({
    code: 'NAME_TAKEN',
    message: expect.stringContaining('127.0.0.1:7233, namespace default'),
    hint: expect.stringContaining('bottle gc --lost demo'),
  });
  expect(existsSync(file('plan.json'))).toBe(true);
});

test('only the launch it belongs to takes it away', async () => {
  await claimState(settings, second, ours);
  await releaseState(settings, 'demo', { owner: OURS, run: 'run-1' });
  await releaseState(settings, 'demo', { owner: 'cluster/other', run: 'run-2' });
  expect(await readStateOwner(settings, 'demo')).toMatchObject({ run: 'run-2' });
  await releaseState(settings, 'demo', { owner: OURS, run: 'run-2' });
  await releaseState(settings, 'demo', { owner: OURS, run: 'run-2' });
  expect(existsSync(path.dirname(file('x')))).toBe(false);
});

test.each([[''], ['{'], ['{"owner": 1}']])(
  'what an earlier version made, or nobody can read (%j), is whose launch goes on with it',
  async (text) => {
    mkdirSync(path.dirname(file('x')), { recursive: true });
    keep();
    if (text !== '') writeFileSync(file('owner.json'), text);
    expect(await stateOwners(settings)).toEqual(new Map([['demo', undefined]]));
    await claimState(settings, first, ours);
    expect(existsSync(file('plan.json'))).toBe(true);
    await releaseState(settings, 'demo', { owner: OURS, run: 'run-1' });
    expect(existsSync(path.dirname(file('x')))).toBe(false);
  },
);

test('a claim and a removal at once: the new launch keeps what it has claimed', async () => {
  for (let n = 0; n < 20; n += 1) {
    await claimState(settings, first, ours);
    await Promise.all([
      releaseState(settings, 'demo', { owner: OURS, run: 'run-1' }),
      claimState(settings, second, ours).then(() => keep()),
      releaseState(settings, 'demo', { owner: OURS, run: 'run-1' }),
    ]);
    expect(existsSync(file('plan.json'))).toBe(true);
    await releaseState(settings, 'demo', { owner: OURS, run: 'run-2' });
  }
});

test.each(['..', 'a/b', ''])('no id leads out of the state directory: %j', async (id) => {
  await expect(claimState(settings, { id, runId: 'r' }, ours)).rejects.toMatchObject({ code: 'INVALID_ID' });
  await expect(releaseState(settings, id, { owner: OURS, run: 'r' })).rejects.toMatchObject({ code: 'INVALID_ID' });
});
