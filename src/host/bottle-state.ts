/** What the host keeps of one bottle: its plan, prompt and the operator's answers, 0600, in a directory of its own, until `state.remove`. */
import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { assertBottleId } from '../core/names.ts';
import type { Plan } from '../core/plan.ts';
import { type Settings, stateDirectory } from './settings.ts';

const PLAN = 'plan.json';
const PROMPT = 'prompt.md';
const ANSWERS = 'answers.json';
const CAS_ADDED = 'ca-added';
const ANSWERS_ID = /^[a-z0-9-]{8,64}$/;

/** Variable name to what the operator answered. */
export type Answers = Record<string, string>;

export async function writeBottleState(settings: Settings, id: string, plan: Plan, prompt: string): Promise<void> {
  const directory = bottleDirectory(settings, id);
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

/** What the operator has answered for a bottle; nothing yet is nothing. */
export async function readAnswers(settings: Settings, id: string): Promise<Answers> {
  assertBottleId(id);
  const text = await readFile(path.join(settings.state, 'bottles', id, ANSWERS), 'utf8').catch(() => '{}');
  return JSON.parse(text) as Answers;
}

/** Adds answers to what a bottle has. */
export async function addAnswers(settings: Settings, id: string, answers: Answers): Promise<void> {
  const all = { ...(await readAnswers(settings, id)), ...answers };
  await writePrivate(path.join(bottleDirectory(settings, id), ANSWERS), JSON.stringify(all));
}

/**
 * Lays answers aside for a launch that has no id yet: in a history they would be for everybody to read.
 * @returns the id under which `prepare` takes them up
 */
export async function layAnswersAside(settings: Settings, answers: Answers): Promise<string> {
  const id = randomUUID();
  await writePrivate(path.join(stateDirectory(settings, 'answers'), `${id}.json`), JSON.stringify(answers));
  return id;
}

/** For a launch that did not begin after all. */
export async function dropAnswers(settings: Settings, aside: string): Promise<void> {
  if (ANSWERS_ID.test(aside)) await rm(path.join(settings.state, 'answers', `${aside}.json`), { force: true });
}

/** Gives a bottle what was laid aside for it; a second time, nothing is left to give. */
export async function takeAnswers(settings: Settings, id: string, aside: string): Promise<void> {
  if (!ANSWERS_ID.test(aside)) return;
  const file = path.join(settings.state, 'answers', `${aside}.json`);
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return;
  await addAnswers(settings, id, JSON.parse(text) as Answers);
  await dropAnswers(settings, aside);
}

/** Its machine is about to be given CAs to trust: from now on there may be some to take away. */
export const noteCasAdded = (settings: Settings, id: string): Promise<void> =>
  writePrivate(path.join(bottleDirectory(settings, id), CAS_ADDED), '');

/** Whether its machine was ever given CAs to trust. */
export async function wereCasAdded(settings: Settings, id: string): Promise<boolean> {
  assertBottleId(id);
  const found = await readFile(path.join(settings.state, 'bottles', id, CAS_ADDED)).catch(() => undefined);
  return found !== undefined;
}

/** Ensures nothing of a bottle is kept. */
export async function removeBottleState(settings: Pick<Settings, 'state'>, id: string): Promise<void> {
  assertBottleId(id);
  await rm(path.join(settings.state, 'bottles', id), { recursive: true, force: true });
}

/** Made if need be, 0700. */
export function bottleDirectory(settings: Pick<Settings, 'state'>, id: string): string {
  assertBottleId(id);
  return stateDirectory(settings, 'bottles', id);
}

/** Whole or not at all, readable by the owner alone. */
export async function writePrivate(file: string, text: string): Promise<void> {
  // Its own for each call: an attempt that timed out may still be writing.
  const temporary = `${file}.${randomUUID()}.new`;
  await writeFile(temporary, text, { mode: 0o600 });
  await rename(temporary, file);
}
