/** `bottle logs`: what the bundle's init and its daemons print, or printed when the bottle is gone. */
import { DAEMON_NAMES, isDaemonName } from '../../core/daemons.ts';
import { BottleError, exitCodeFor } from '../../core/errors.ts';
import { assertBottleId, bundleName } from '../../core/names.ts';
import { readPlan } from '../../host/bottle-state.ts';
import { inspectContainer } from '../../host/container.ts';
import { logLines, type TimedLine } from '../../host/container-log.ts';
import { assertOurs } from '../../host/docker.ts';
import { keptLog } from '../../host/kept-log.ts';
import { writeWhenTaken } from '../../host/machine/write-when-taken.ts';
import type { Context } from '../context.ts';
import { limitsMetSoFar } from '../limits-note.ts';
import { bottleHost, localPlan } from '../local-machine.ts';
import { sinceOf, tailOf } from '../log-range.ts';
import { clean } from '../render/text.ts';
import { viewOf } from '../report-error.ts';

export interface LogsOptions {
  follow?: boolean;
  tail?: string;
  since?: string;
  timestamps?: boolean;
}

interface Range {
  follow: boolean;
  tail: number | undefined;
  since: string | undefined;
}

type Batches = AsyncIterable<TimedLine[]>;

export async function run(
  context: Context,
  id: string,
  daemon: string | undefined,
  options: LogsOptions,
): Promise<number> {
  if (daemon !== undefined && !isDaemonName(daemon)) {
    throw new BottleError('USAGE', `there is no daemon ${clean(daemon)}`, {
      hint: `daemons: ${DAEMON_NAMES.join(', ')}`,
    });
  }
  const range = {
    follow: options.follow === true,
    tail: tailOf(options.tail),
    since: sinceOf(options.since, Date.now()),
  };
  const is = daemon === undefined ? undefined : (line: string): boolean => line.startsWith(`[${daemon}] `);
  const read = (await liveLog(context, id)) ?? (await pastLog(context, id));
  const lines = chosen(read, range, is);
  const text = ({ at, line }: TimedLine): string => `${options.timestamps === true ? `${at} ` : ''}${line}`;
  if (!context.output.flags.json) {
    const code = await print(context, lines, (each) => clean(text(each)) || ' ');
    if (code === 0 && !range.follow) await noteLimits(context, id);
    return code;
  }
  if (range.follow) return print(context, lines, ({ at, line }) => JSON.stringify({ id, at, line }));
  return printDocument(context, id, lines, text);
}

/** The kernel's doing stands in no log of the bundle's. */
async function noteLimits(context: Context, id: string): Promise<void> {
  const plan = await readPlan(context.settings, id);
  if (plan === undefined) return;
  for (const line of await limitsMetSoFar(await bottleHost(context, id), id, plan)) context.output.note(line);
}

/** Reads one part of a log. */
type Read = (range: Range) => Batches;

/** The log of the bundle that is there now; undefined when there is none. */
async function liveLog(context: Context, id: string): Promise<Read | undefined> {
  assertBottleId(id);
  // Without a plan of it here there is no bundle; whether there was one, the kept log says without asking anybody.
  if ((await readPlan(context.settings, id)) === undefined) return undefined;
  const host = await bottleHost(context, id);
  const name = bundleName(id);
  const found = await inspectContainer(host, name);
  if (found === undefined) return undefined;
  assertOurs(host, 'container', name, found.Config.Labels);
  const signal = new AbortController().signal;
  return ({ follow, tail, since }) =>
    logLines(host.docker.getContainer(found.Id), {
      follow,
      timestamps: true,
      signal,
      ...(tail === undefined ? {} : { tail }),
      ...(since === undefined ? {} : { since }),
    });
}

/** What was kept of the bottle's last bundle. */
async function pastLog(context: Context, id: string): Promise<Read> {
  const kept = await keptLog(context.settings, id);
  if (kept === undefined) {
    await localPlan(context, id);
    throw new BottleError('MACHINE_NOT_RUNNING', `there is no bundle ${bundleName(id)} now`, {
      hint: `bottle status ${id} shows why`,
    });
  }
  context.output.note(`note: ${id} has no bundle now; this is what the last one said until ${kept.until}`);
  return ({ tail, since }) => {
    const from = since === undefined ? kept.lines() : later(kept.lines(), Date.parse(since));
    return tail === undefined ? from : lastOf(from, tail);
  };
}

async function* later(batches: Batches, since: number): AsyncGenerator<TimedLine[]> {
  for await (const lines of batches) yield lines.filter(({ at }) => Date.parse(at) >= since);
}

/** The Engine counts lines of all daemons, a person those of the one that they asked for. */
async function* chosen(
  read: Read,
  range: Range,
  is: ((line: string) => boolean) | undefined,
): AsyncGenerator<TimedLine[]> {
  if (is === undefined) return yield* read(range);
  const { tail, follow } = range;
  const filtered = async function* (batches: Batches): AsyncGenerator<TimedLine[]> {
    for await (const lines of batches) yield lines.filter(({ line }) => is(line));
  };
  if (tail === undefined || tail === 0) return yield* filtered(read(range));
  let last = '';
  const noted = async function* (batches: Batches): AsyncGenerator<TimedLine[]> {
    for await (const lines of batches) {
      last = lines.at(-1)?.at ?? last;
      yield lines;
    }
  };
  yield* lastOf(filtered(noted(read({ ...range, tail: undefined, follow: false }))), tail);
  if (!follow) return;
  const after = last;
  const more = read({ follow, tail: undefined, since: after === '' ? range.since : after });
  // The Engine takes "since" as "from".
  for await (const lines of filtered(more)) yield lines.filter(({ at }) => at !== after);
}

/** Only so many lines are in memory, each in the place of the one that is as many before it. */
async function* lastOf(batches: Batches, count: number): AsyncGenerator<TimedLine[]> {
  const ring: TimedLine[] = [];
  let next = 0;
  for await (const lines of batches) {
    for (const line of lines) {
      ring[next] = line;
      next = (next + 1) % Math.max(1, count);
    }
  }
  yield count === 0 ? [] : [...ring.slice(next), ...ring.slice(0, next)].slice(-count);
}

async function print({ output }: Context, batches: Batches, text: (line: TimedLine) => string): Promise<number> {
  for await (const lines of batches) {
    if (lines.length > 0) await writeWhenTaken(output.stdout, lines.map((each) => `${text(each)}\n`).join(''));
  }
  return 0;
}

/** One document, written as it comes; a log that breaks off says so within it. */
async function printDocument(
  { output }: Context,
  id: string,
  batches: Batches,
  text: (line: TimedLine) => string,
): Promise<number> {
  const write = (part: string): Promise<void> => writeWhenTaken(output.stdout, part);
  let written = 0;
  const begin = `{"id":${JSON.stringify(id)},"lines":[`;
  try {
    for await (const lines of batches) {
      const parts = lines.map((each) => JSON.stringify(text(each)));
      if (parts.length === 0) continue;
      await write(`${written === 0 ? begin : ','}${parts.join(',')}`);
      written += parts.length;
    }
  } catch (error) {
    if (written === 0) throw error;
    const view = viewOf(error);
    await write(`],"error":${JSON.stringify(view)}}\n`);
    return exitCodeFor(view.code);
  }
  await write(`${written === 0 ? begin : ''}]}\n`);
  return 0;
}
