import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Plan } from '../../../src/core/plan.ts';
import { readPlan, readPrompt, removeBottleState, writeBottleState } from '../../../src/host/bottle-state.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';

let settings: Settings;
const plan = { agent: 'demo', env: { A: '1' } } as unknown as Plan;
beforeEach(() => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-state-'));
  settings = readSettings({ BOTTLE_STATE: path.join(folder, 'state'), BOTTLE_HOST: 'h' });
});
afterEach(() => rmSync(path.dirname(settings.state), { recursive: true, force: true }));

const directory = (id = 'demo'): string => path.join(settings.state, 'bottles', id);
const mode = (file: string): string => (statSync(file).mode & 0o777).toString(8);

test('what was written is read again, prompt byte for byte', async () => {
  await writeBottleState(settings, 'demo', plan, ' ünï\r\n🍾\n');
  expect(await readPlan(settings, 'demo')).toEqual(plan);
  expect(await readPrompt(settings, 'demo')).toBe(' ünï\r\n🍾\n');
});

test('it is for the owner alone, also where it was looser before', async () => {
  mkdirSync(directory(), { recursive: true, mode: 0o755 });
  chmodSync(settings.state, 0o755);
  await writeBottleState(settings, 'demo', plan, 'x');
  expect([settings.state, path.dirname(directory()), directory()].map(mode)).toEqual(['700', '700', '700']);
  expect(readdirSync(directory()).map((file) => `${file} ${mode(path.join(directory(), file))}`)).toEqual([
    'plan.json 600',
    'prompt.md 600',
  ]);
});

test('the plan on disk has no word of the prompt', async () => {
  await writeBottleState(settings, 'demo', plan, 'xyzzy');
  expect(readFileSync(path.join(directory(), 'plan.json'), 'utf8')).not.toContain('xyzzy');
});

test('writing again replaces both, also many times at once, and leaves nothing beside them', async () => {
  const prompts = Array.from({ length: 20 }, (_, n) => `prompt ${n}`.repeat(1000));
  await Promise.all(prompts.map((prompt) => writeBottleState(settings, 'demo', plan, prompt)));
  expect(prompts).toContain(await readPrompt(settings, 'demo'));
  expect(readdirSync(directory())).toEqual(['plan.json', 'prompt.md']);
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
  await Promise.all(['demo', 'demo-2'].map((id) => writeBottleState(settings, id, plan, 'x')));
  await removeBottleState(settings, 'demo');
  await removeBottleState(settings, 'demo');
  expect([existsSync(directory()), existsSync(directory('demo-2'))]).toEqual([false, true]);
});

test.each(['..', '../..', '.', '', 'a/b', '/etc'])('no id leads out of the state directory: %j', async (id) => {
  mkdirSync(settings.state, { recursive: true });
  const invalid = { code: 'INVALID_ID' };
  await expect(writeBottleState(settings, id, plan, 'x')).rejects.toMatchObject(invalid);
  await expect(readPlan(settings, id)).rejects.toMatchObject(invalid);
  await expect(readPrompt(settings, id)).rejects.toMatchObject(invalid);
  await expect(removeBottleState(settings, id)).rejects.toMatchObject(invalid);
  expect(existsSync(settings.state)).toBe(true);
});
