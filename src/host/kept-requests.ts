/** What the agent of a bottle has asked, as this host was told of it: a history should not tell it again with every answer. */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { assertBottleId } from '../core/names.ts';
import { withChanges } from '../core/request-book.ts';
import type { RequestView } from '../core/requests.ts';
import type { AskedBefore, BundleStepInput } from '../core/step-io.ts';
import { bottleDirectory, bottlePath } from './bottle-state.ts';
import { writePrivate } from './private-file.ts';
import type { Settings } from './settings.ts';

interface Kept {
  runId: string;
  version: number;
  requests: RequestView[];
}

/**
 * Everything the agent has asked: what is kept here, with the changes that a launch tells.
 * @throws BottleError `STATE_MISSING` when what these are changes of is not here; told everything, it keeps that
 */
export async function takeRequests(
  settings: Settings,
  { bottle, book, requests }: Pick<BundleStepInput, 'bottle' | 'book' | 'requests'>,
): Promise<RequestView[]> {
  if (book === undefined) return requests ?? [];
  const file = path.join(bottleDirectory(settings, bottle.id), FILE);
  const kept = book.since === 0 ? undefined : await readKept(file);
  // An attempt that died has kept more than its launch knows of, and all of that is among the changes.
  const fits = kept?.runId === bottle.runId && kept.version >= book.since && kept.version <= book.version;
  if (book.since > 0 && !fits) {
    const message = `what the agent of ${bottle.id} has asked is not in ${settings.state}`;
    throw new BottleError('STATE_MISSING', message, { hint: `bottle down ${bottle.id}, then bring it up again` });
  }
  const all = withChanges(kept?.requests ?? [], book);
  await writePrivate(
    file,
    JSON.stringify({ runId: bottle.runId, version: book.version, requests: all } satisfies Kept),
  );
  return all;
}

const FILE = 'requests.json';
/** The clock of the Engine, which a bundle's log goes by, may be another one. */
const CLOCKS_APART_MS = 60_000;

/** Everything the agent of a bottle had asked when its bundle was last told of it, and from when on its log may have more. */
export async function readRequests(settings: Pick<Settings, 'state'>, id: string): Promise<AskedBefore> {
  assertBottleId(id);
  const file = path.join(bottlePath(settings, id), FILE);
  const [kept, told] = await Promise.all([readKept(file), stat(file).catch(() => undefined)]);
  if (kept === undefined || told === undefined) return { requests: [], since: null };
  return { requests: kept.requests, since: new Date(told.mtimeMs - CLOCKS_APART_MS).toISOString() };
}

async function readKept(file: string): Promise<Kept | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Kept;
  } catch {
    return undefined; // not there, or cut off by a full disk: the launch tells it anew
  }
}
