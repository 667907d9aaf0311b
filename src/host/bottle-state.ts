/** What the host keeps of one bottle: its prompt and plan, 0600, in a directory of its own, until `state.remove`. */
import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { assertBottleId } from '../core/names.ts';
import type { Plan } from '../core/plan.ts';
import { type Settings, stateDirectory } from './settings.ts';

const PLAN = 'plan.json';
const PROMPT = 'prompt.md';

export async function writeBottleState(settings: Settings, id: string, plan: Plan, prompt: string): Promise<void> {
  assertBottleId(id);
  const directory = stateDirectory(settings, 'bottles', id);
  await writePrivate(path.join(directory, PROMPT), prompt);
  await writePrivate(path.join(directory, PLAN), `${JSON.stringify(plan, undefined, 2)}\n`);
}

/** The plan of a bottle of this host; undefined when it has none here. */
export async function readPlan(settings: Settings, id: string): Promise<Plan | undefined> {
  assertBottleId(id);
  const text = await readFile(path.join(settings.state, 'bottles', id, PLAN), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Plan);
}

/** @throws BottleError `STATE_MISSING` */
export async function readPrompt(settings: Settings, id: string): Promise<string> {
  assertBottleId(id);
  try {
    return await readFile(path.join(settings.state, 'bottles', id, PROMPT), 'utf8');
  } catch (error) {
    throw new BottleError('STATE_MISSING', `the prompt of ${id} is gone from ${settings.state}`, {
      hint: `bottle down ${id}, then bring it up again`,
      cause: error,
    });
  }
}

/** Ensures nothing of a bottle is kept. */
export async function removeBottleState(settings: Settings, id: string): Promise<void> {
  assertBottleId(id);
  await rm(path.join(settings.state, 'bottles', id), { recursive: true, force: true });
}

/** Whole or not at all, readable by the owner alone. */
async function writePrivate(file: string, text: string): Promise<void> {
  // Its own for each call: an attempt that timed out may still be writing.
  const temporary = `${file}.${randomUUID()}.new`;
  await writeFile(temporary, text, { mode: 0o600 });
  await rename(temporary, file);
}
