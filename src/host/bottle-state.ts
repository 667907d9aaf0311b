/** What the host keeps of one bottle: its plan, prompt, what its launch was asked for by, and the operator's answers, 0600, in a directory of its own, until `state.remove`. */
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BottleError } from '../core/errors.ts';
import { keptInput, type LaunchInput } from '../core/launch-input.ts';
import { assertBottleId } from '../core/names.ts';
import type { Plan } from '../core/plan.ts';
import { writePrivate } from './private-file.ts';
import { type Settings, stateDirectory } from './settings.ts';

const PLAN = 'plan.json';
const PROMPT = 'prompt.md';
const LAUNCH = 'launch.json';
const ANSWERS = 'answers.json';
const CAS_ADDED = 'ca-added';

/** Variable name to what the operator answered. */
export type Answers = Record<string, string>;

/** @param launch what it was asked for by, so that another launch can adopt it; none of it is a secret */
export async function writeBottleState(
  settings: Settings,
  id: string,
  { plan, prompt, launch }: { plan: Plan; prompt: string; launch: LaunchInput },
): Promise<void> {
  const directory = bottleDirectory(settings, id);
  await Promise.all([
    writePrivate(path.join(directory, PROMPT), prompt),
    writePrivate(path.join(directory, LAUNCH), `${JSON.stringify(keptInput(launch))}\n`),
  ]);
  // Last: whoever finds it finds the others.
  await writePrivate(path.join(directory, PLAN), `${JSON.stringify(plan, undefined, 2)}\n`);
}

/** What a bottle's launch was asked for by; undefined when an earlier version of bottle has kept nothing of it. */
export async function readLaunch(settings: Pick<Settings, 'state'>, id: string): Promise<LaunchInput | undefined> {
  assertBottleId(id);
  const text = await readFile(path.join(bottlePath(settings, id), LAUNCH), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as LaunchInput);
}

/** The plan of a bottle of this host; undefined when it has none here. */
export async function readPlan(settings: Settings, id: string): Promise<Plan | undefined> {
  assertBottleId(id);
  const text = await readFile(path.join(bottlePath(settings, id), PLAN), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Plan);
}

/** Whether its launch has been planned: until then nothing was made of it, and it may be launched anywhere. */
export const hasPlan = (settings: Pick<Settings, 'state'>, id: string): boolean =>
  existsSync(path.join(bottlePath(settings, id), PLAN));

/** Nobody tells of a directory that is removed; to look whether it is there costs next to nothing. */
const LOOK_MS = 5000;

/**
 * Waits until a bottle has a plan here, or has none any more.
 * @param there which of the two
 * @param ended ends the looking; it never resolves then
 */
export async function untilPlanIs(
  settings: Pick<Settings, 'state'>,
  id: string,
  there: boolean,
  ended: AbortSignal,
): Promise<void> {
  while (!ended.aborted) {
    if (hasPlan(settings, id) === there) return;
    await sleep(LOOK_MS, undefined, { signal: ended }).catch(() => undefined);
  }
  return new Promise(() => undefined);
}

/** @throws BottleError `STATE_MISSING` */
export async function readPrompt(settings: Settings, id: string): Promise<string> {
  assertBottleId(id);
  try {
    return await readFile(path.join(bottlePath(settings, id), PROMPT), 'utf8');
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
  const text = await readFile(path.join(bottlePath(settings, id), ANSWERS), 'utf8').catch(() => '{}');
  return JSON.parse(text) as Answers;
}

/** Adds answers to what a bottle has. */
export async function addAnswers(settings: Settings, id: string, answers: Answers): Promise<void> {
  const all = { ...(await readAnswers(settings, id)), ...answers };
  await writePrivate(path.join(bottleDirectory(settings, id), ANSWERS), JSON.stringify(all));
}

/** Its machine is about to be given CAs to trust: from now on there may be some to take away. */
export const noteCasAdded = (settings: Settings, id: string): Promise<void> =>
  writePrivate(path.join(bottleDirectory(settings, id), CAS_ADDED), '');

/** Whether its machine was ever given CAs to trust. */
export async function wereCasAdded(settings: Settings, id: string): Promise<boolean> {
  assertBottleId(id);
  const found = await readFile(path.join(bottlePath(settings, id), CAS_ADDED)).catch(() => undefined);
  return found !== undefined;
}

/** Ensures nothing of a bottle is kept, whosever it is; a launch takes its own away with `releaseState`. */
export async function removeBottleState(settings: Pick<Settings, 'state'>, id: string): Promise<void> {
  assertBottleId(id);
  await rm(bottlePath(settings, id), { recursive: true, force: true });
}

/** Whether or not it is there. */
export const bottlePath = ({ state }: Pick<Settings, 'state'>, id: string): string => path.join(state, 'bottles', id);

/** Made if need be, 0700. */
export function bottleDirectory(settings: Pick<Settings, 'state'>, id: string): string {
  assertBottleId(id);
  return stateDirectory(settings, 'bottles', id);
}
