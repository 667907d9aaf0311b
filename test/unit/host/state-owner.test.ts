import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import {
  adoptState,
  claimState,
  giveBackState,
  isSuperseded,
  makerOf,
  readStateOwner,
  releaseState,
  type StateOwner,
  stateOwners,
} from '../../../src/host/state-owner.ts';

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

describe('adopting', () => {
  const OTHER = 'other/default';
  const other = { owner: OTHER, server: { kind: 'external', address: 'far:7233' } } as const;
  const third = { owner: 'third/default', server } as const;
  const made = { owner: OURS, run: 'run-1' };
  const adopter = { id: 'demo', runId: 'run-9' };

  test('a lost bottle keeps all that is kept of it, and the name of who made it', async () => {
    await claimState(settings, first, ours);
    keep();
    const state = await adoptState(settings, adopter, other, made);
    expect(state).toEqual({ ...other, run: 'run-9', adopted: [{ ...made, server }] });
    expect(await readStateOwner(settings, 'demo')).toEqual(state);
    expect(makerOf(state)).toEqual(made);
    expect(existsSync(file('plan.json'))).toBe(true);
    expect(await adoptState(settings, adopter, other, made), 'done again, it is done').toEqual(state);
    await claimState(settings, adopter, other);
    expect(existsSync(file('plan.json'))).toBe(true);
  });

  test('once more keeps the name of who made it first, and nobody else can release it', async () => {
    await claimState(settings, first, ours);
    await adoptState(settings, adopter, other, made);
    const state = await adoptState(settings, { id: 'demo', runId: 'run-10' }, third, { owner: OTHER, run: 'run-9' });
    expect(makerOf(state)).toEqual(made);
    expect([made, { owner: OTHER, run: 'run-9' }].map((launch) => isSuperseded(state, launch))).toEqual([true, true]);
    expect(isSuperseded(state, { owner: 'third/default', run: 'run-10' })).toBe(false);
    expect(isSuperseded(state, { owner: OURS, run: 'run-2' }), 'that one never had it').toBe(false);
    await releaseState(settings, 'demo', made);
    await releaseState(settings, 'demo', { owner: OTHER, run: 'run-9' });
    expect(existsSync(file('owner.json'))).toBe(true);
    await releaseState(settings, 'demo', { owner: 'third/default', run: 'run-10' });
    expect(existsSync(path.dirname(file('x')))).toBe(false);
  });

  test('of two at once, one has it and the other is refused', async () => {
    await claimState(settings, first, ours);
    const both = await Promise.allSettled([
      adoptState(settings, adopter, other, made),
      adoptState(settings, adopter, third, made),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [refused] = both.filter((each) => each.status === 'rejected');
    expect(refused?.reason).toMatchObject({ code: 'ADOPTED', retryable: false });
    const [done] = both.filter((each) => each.status === 'fulfilled');
    expect(await readStateOwner(settings, 'demo')).toEqual(done?.value);
  });

  test('an adoption that is given up leaves the bottle as it was, and only its own launch can give it back', async () => {
    await claimState(settings, first, ours);
    keep();
    const before = await readStateOwner(settings, 'demo');
    await giveBackState(settings, first, OURS);
    expect(await readStateOwner(settings, 'demo')).toEqual(before);
    const state = await adoptState(settings, adopter, other, made);
    await giveBackState(settings, { ...adopter, runId: 'run-8' }, OTHER);
    expect(await readStateOwner(settings, 'demo')).toEqual(state);
    for (let n = 0; n < 2; n += 1) {
      await giveBackState(settings, adopter, OTHER);
      expect(await readStateOwner(settings, 'demo')).toEqual(before);
    }
    expect(existsSync(file('plan.json'))).toBe(true);
    await adoptState(settings, adopter, other, made);
    const twice = { id: 'demo', runId: 'run-10' };
    await adoptState(settings, twice, third, { owner: OTHER, run: 'run-9' });
    await giveBackState(settings, twice, third.owner);
    expect(await readStateOwner(settings, 'demo')).toEqual(state);
  });

  test('what nothing is kept of is refused', async () => {
    const refused = adoptState(settings, adopter, other, made);
    await expect(refused).rejects.toMatchObject({ code: 'STATE_MISSING', hint: expect.stringContaining('demo') });
  });

  test('what is written anew of an adopted bottle names who made it', async () => {
    await claimState(settings, { ...adopter, madeBy: made }, other);
    expect(makerOf((await readStateOwner(settings, 'demo')) as StateOwner)).toEqual(made);
  });
});
