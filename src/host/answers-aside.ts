/**
 * Answers of the operator for a launch that has no id yet: laid aside by `bottle up`, since in a history they would be for
 * everybody to read, and taken up by its `prepare`. They are secrets, so those that nobody will take up are removed.
 */
import { randomUUID } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Answers, addAnswers } from './bottle-state.ts';
import { writePrivate } from './private-file.ts';
import { type Settings, stateDirectory } from './settings.ts';

const FOLDER = 'answers';
const ENDING = '.json';
const ID = /^[a-z0-9-]{8,64}$/;
/** The launch begins within seconds, and from then on says itself that it waits for them. */
const BEGUN_MS = 10 * 60_000;
/** Of another owner's launches nothing can be asked; one that comes later asks its operator again. */
const FOREIGN_MS = 30 * 24 * 60 * 60_000;

interface Aside {
  /** Whose launch they are for; what an earlier version laid aside does not say. */
  owner?: string;
  answers: Answers;
}

type State = Pick<Settings, 'state'>;

const fileOf = ({ state }: State, id: string): string => path.join(state, FOLDER, `${id}${ENDING}`);

/** @returns the id under which `prepare` takes them up */
export async function layAnswersAside(settings: State, owner: string, answers: Answers): Promise<string> {
  const id = randomUUID();
  stateDirectory(settings, FOLDER);
  await writePrivate(fileOf(settings, id), JSON.stringify({ owner, answers } satisfies Aside));
  return id;
}

/** For a launch that did not begin after all. */
export async function dropAnswers(settings: State, aside: string): Promise<void> {
  if (ID.test(aside)) await rm(fileOf(settings, aside), { force: true });
}

/** Gives a bottle what was laid aside for it; a second time, nothing is left to give. */
export async function takeAnswers(settings: Settings, id: string, aside: string): Promise<void> {
  if (!ID.test(aside)) return;
  const text = await readFile(fileOf(settings, aside), 'utf8').catch(() => undefined);
  if (text === undefined) return;
  await addAnswers(settings, id, asideOf(text).answers);
  await dropAnswers(settings, aside);
}

/**
 * Files of answers that no launch will take up any more.
 * @param wanted tells which ids open launches of this owner wait for; asked only where there is something to ask
 * @param now milliseconds since 1970
 */
export async function staleAnswers(
  settings: State,
  owner: string,
  wanted: () => Promise<ReadonlySet<string>>,
  now = Date.now(),
): Promise<string[]> {
  const names = await readdir(path.join(settings.state, FOLDER)).catch(() => []);
  const stale: string[] = [];
  let known: ReadonlySet<string> | undefined;
  for (const name of names.sort()) {
    const file = path.join(settings.state, FOLDER, name);
    const found = await stat(file).catch(() => undefined);
    // Taken up just now.
    if (found === undefined) continue;
    const age = now - found.mtimeMs;
    if (age < BEGUN_MS) continue;
    const ours = asideOf(await readFile(file, 'utf8').catch(() => '{}')).owner === owner;
    if (ours) {
      known ??= await wanted();
      if (!known.has(name.slice(0, -ENDING.length))) stale.push(file);
    } else if (age > FOREIGN_MS) stale.push(file);
  }
  return stale;
}

function asideOf(text: string): Aside {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { answers: {} };
  }
  const { owner, answers } = json as { owner?: unknown; answers?: unknown };
  if (typeof answers !== 'object' || answers === null) return { answers: json as Answers };
  return { ...(typeof owner === 'string' ? { owner } : {}), answers: answers as Answers };
}
