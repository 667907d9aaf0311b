import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Plan } from '../../../src/core/plan.ts';
import { dropAnswers, layAnswersAside as lay, staleAnswers, takeAnswers } from '../../../src/host/answers-aside.ts';
import {
  type Answers,
  addAnswers,
  hasPlan,
  readAnswers,
  readLaunch,
  readPlan,
  readPrompt,
  removeBottleState,
  writeBottleState,
} from '../../../src/host/bottle-state.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';

let settings: Settings;
const plan = { agent: 'demo', env: { A: '1' } } as unknown as Plan;
const launch = { agent: 'demo', prompt: 'Begin', answers: 'aaaaaaaa-1', adopts: { owner: 'c/n', run: 'r' } };
beforeEach(() => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-state-'));
  settings = readSettings({ BOTTLE_STATE: path.join(folder, 'state'), BOTTLE_HOST: 'h' });
});
afterEach(() => rmSync(path.dirname(settings.state), { recursive: true, force: true }));

const directory = (id = 'demo'): string => path.join(settings.state, 'bottles', id);
const mode = (file: string): string => (statSync(file).mode & 0o777).toString(8);

test('asking whether a bottle has a plan makes nothing of it', async () => {
  expect(hasPlan(settings, 'demo')).toBe(false);
  expect(existsSync(directory())).toBe(false);
  await writeBottleState(settings, 'demo', { plan, prompt: '', launch });
  expect(hasPlan(settings, 'demo')).toBe(true);
});

test('what was written is read again, prompt byte for byte', async () => {
  await writeBottleState(settings, 'demo', { plan, prompt: ' ünï\r\n🍾\n', launch });
  expect(await readPlan(settings, 'demo')).toEqual(plan);
  expect(await readPrompt(settings, 'demo')).toBe(' ünï\r\n🍾\n');
});

test('what the launch was asked for by is kept, without what only it could use', async () => {
  expect(await readLaunch(settings, 'demo')).toBeUndefined();
  await writeBottleState(settings, 'demo', { plan, prompt: '', launch });
  expect(await readLaunch(settings, 'demo')).toEqual({ agent: 'demo', prompt: 'Begin' });
});

test('it is for the owner alone, also where it was looser before', async () => {
  mkdirSync(directory(), { recursive: true, mode: 0o755 });
  chmodSync(settings.state, 0o755);
  await writeBottleState(settings, 'demo', { plan, prompt: 'x', launch });
  expect([settings.state, path.dirname(directory()), directory()].map(mode)).toEqual(['700', '700', '700']);
  expect(readdirSync(directory()).map((file) => `${file} ${mode(path.join(directory(), file))}`)).toEqual([
    'launch.json 600',
    'plan.json 600',
    'prompt.md 600',
  ]);
});

test('the plan on disk has no word of the prompt', async () => {
  await writeBottleState(settings, 'demo', { plan, prompt: 'xyzzy', launch });
  expect(readFileSync(path.join(directory(), 'plan.json'), 'utf8')).not.toContain('xyzzy');
});

test('writing again replaces both, also many times at once, and leaves nothing beside them', async () => {
  const prompts = Array.from({ length: 20 }, (_, n) => `prompt ${n}`.repeat(1000));
  await Promise.all(prompts.map((prompt) => writeBottleState(settings, 'demo', { plan, prompt, launch })));
  expect(prompts).toContain(await readPrompt(settings, 'demo'));
  expect(readdirSync(directory())).toEqual(['launch.json', 'plan.json', 'prompt.md']);
});

test('a bottle without a plan here has none; without a prompt that is an error for a person', async () => {
  expect(await readPlan(settings, 'demo')).toBeUndefined();
  await expect(readPrompt(settings, 'demo')).rejects.toMatchObject({
    code: 'STATE_MISSING',
    retryable: false,
    message: expect.stringContaining('demo'),
  });
});

test("removing takes one bottle's away, as often as one likes", async () => {
  await Promise.all(['demo', 'demo-2'].map((id) => writeBottleState(settings, id, { plan, prompt: 'x', launch })));
  await removeBottleState(settings, 'demo');
  await removeBottleState(settings, 'demo');
  expect([existsSync(directory()), existsSync(directory('demo-2'))]).toEqual([false, true]);
});

test.each(['..', '../..', '.', '', 'a/b', '/etc'])('no id leads out of the state directory: %j', async (id) => {
  mkdirSync(settings.state, { recursive: true });
  const invalid = { code: 'INVALID_ID' };
  await expect(writeBottleState(settings, id, { plan, prompt: 'x', launch })).rejects.toMatchObject(invalid);
  await expect(readPlan(settings, id)).rejects.toMatchObject(invalid);
  await expect(readPrompt(settings, id)).rejects.toMatchObject(invalid);
  await expect(removeBottleState(settings, id)).rejects.toMatchObject(invalid);
  expect(existsSync(settings.state)).toBe(true);
});

const OURS = 'cluster/default';
const layAnswersAside = (at: Settings, answers: Answers): Promise<string> => lay(at, OURS, answers);

describe("the operator's answers", () => {
  const aside = (): string[] => readdirSync(path.join(settings.state, 'answers'));

  test('are none until there are some, then add up, the newest counts', async () => {
    expect(await readAnswers(settings, 'demo')).toEqual({});
    await addAnswers(settings, 'demo', { A: 'one', B: 'two' });
    await addAnswers(settings, 'demo', { B: 'three', C: "it's\n$ö" });
    expect(await readAnswers(settings, 'demo')).toEqual({ A: 'one', B: 'three', C: "it's\n$ö" });
    expect(await readAnswers(settings, 'other')).toEqual({});
    expect(mode(path.join(directory(), 'answers.json'))).toBe('600');
  });

  test('laid aside for a launch are taken up once, by the bottle that has their id', async () => {
    const id = await layAnswersAside(settings, { TOKEN: 'hunter2' });
    expect(id).not.toContain('hunter2');
    expect(mode(path.join(settings.state, 'answers'))).toBe('700');
    expect(mode(path.join(settings.state, 'answers', `${id}.json`))).toBe('600');
    await addAnswers(settings, 'demo', { OTHER: 'x', TOKEN: 'older' });
    await takeAnswers(settings, 'demo', id);
    expect(await readAnswers(settings, 'demo')).toEqual({ OTHER: 'x', TOKEN: 'hunter2' });
    expect(aside()).toEqual([]);
  });

  test('taken up a second time, as after a lost attempt, leave what there is', async () => {
    const id = await layAnswersAside(settings, { TOKEN: 'first' });
    await takeAnswers(settings, 'demo', id);
    await takeAnswers(settings, 'demo', id);
    expect(await readAnswers(settings, 'demo')).toEqual({ TOKEN: 'first' });
    await takeAnswers(settings, 'other', id);
    expect(await readAnswers(settings, 'other')).toEqual({});
  });

  test('laid aside for a launch that did not begin are dropped, as often as one likes, and no others', async () => {
    const [one, two] = [await layAnswersAside(settings, { A: '1' }), await layAnswersAside(settings, { A: '2' })];
    await dropAnswers(settings, one);
    await dropAnswers(settings, one);
    expect(aside()).toEqual([`${two}.json`]);
    await writeBottleState(settings, 'demo', { plan, prompt: 'x', launch });
    await dropAnswers(settings, '../bottles/demo/plan');
    expect(await readPlan(settings, 'demo')).toEqual(plan);
    await takeAnswers(settings, 'demo', one);
    expect(await readAnswers(settings, 'demo')).toEqual({});
  });

  test('of two launches do not mix', async () => {
    const [one, two] = await Promise.all([
      layAnswersAside(settings, { A: '1' }),
      layAnswersAside(settings, { A: '2' }),
    ]);
    expect(one).not.toBe(two);
    await takeAnswers(settings, 'demo', two);
    expect(await readAnswers(settings, 'demo')).toEqual({ A: '2' });
    expect(aside()).toEqual([`${one}.json`]);
  });

  test.each(['../bottles/other/answers', '..', '/etc/passwd', '', 'A'.repeat(40), 'short', 'x'.repeat(65)])(
    'are never taken from %j',
    async (id) => {
      await addAnswers(settings, 'other', { TOKEN: "another's" });
      await layAnswersAside(settings, {});
      await takeAnswers(settings, 'demo', id);
      expect(await readAnswers(settings, 'demo')).toEqual({});
      expect(await readAnswers(settings, 'other')).toEqual({ TOKEN: "another's" });
    },
  );

  test('go with the bottle', async () => {
    await addAnswers(settings, 'demo', { TOKEN: 'x' });
    await removeBottleState(settings, 'demo');
    expect(await readAnswers(settings, 'demo')).toEqual({});
  });

  test.each(['..', 'a/b', ''])('are of no id that leads out of the state directory: %j', async (id) => {
    await expect(readAnswers(settings, id)).rejects.toMatchObject({ code: 'INVALID_ID' });
    await expect(addAnswers(settings, id, { A: 'x' })).rejects.toMatchObject({ code: 'INVALID_ID' });
    const laid = await layAnswersAside(settings, { A: 'x' });
    await expect(takeAnswers(settings, id, laid)).rejects.toMatchObject({ code: 'INVALID_ID' });
    // Nothing is lost by it.
    await takeAnswers(settings, 'demo', laid);
    expect(await readAnswers(settings, 'demo')).toEqual({ A: 'x' });
  });

  describe('laid aside and never taken up', () => {
    const MINUTE = 60_000;
    const laid = async (owner: string): Promise<string> =>
      path.join(settings.state, 'answers', `${await lay(settings, owner, { A: 'x' })}.json`);
    const stale = (wanted: string[], minutes: number): Promise<string[]> =>
      staleAnswers(settings, OURS, async () => new Set(wanted), Date.now() + minutes * MINUTE);

    test('are stale once no open launch of their owner waits for them, however long it has waited', async () => {
      const [dead, waiting] = [await laid(OURS), await laid(OURS)];
      const id = path.basename(waiting, '.json');
      expect(await stale([id], 9)).toEqual([]);
      expect(await stale([id], 11)).toEqual([dead]);
      expect(await stale([id], 1_000_000)).toEqual([dead]);
    });

    test("of another owner, or of an earlier version that named none, are a month's", async () => {
      const foreign = await laid('other/default');
      const older = path.join(settings.state, 'answers', 'aaaaaaaa-older.json');
      writeFileSync(older, JSON.stringify({ TOKEN: 'x' }));
      expect(await stale([], 29 * 24 * 60)).toEqual([]);
      expect(await stale([], 31 * 24 * 60)).toEqual([foreign, older].sort());
      await takeAnswers(settings, 'demo', 'aaaaaaaa-older');
      expect(await readAnswers(settings, 'demo')).toEqual({ TOKEN: 'x' });
    });
  });
});
