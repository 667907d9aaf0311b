/**
 * `bottle gc`: what launches left behind that were terminated rather than stopped, and archives of images that nobody needs
 * any more. The worker does the one by itself, whoever makes a new archive the other. With `--lost`, bottles whose Temporal
 * server is not the one that is used now: only a person knows whether it comes back. (`bottle adopt` keeps them.)
 */
import { BottleError } from '../../core/errors.ts';
import type { MachineHost } from '../../host/machine/drivers.ts';
import type { Pruned } from '../../host/machine/smolvm/prune.ts';
import type { Context } from '../context.ts';
import { dockerHost } from '../local-machine.ts';
import { LOST_HINT, lostText } from '../render/lost-text.ts';
import { clean } from '../render/text.ts';
import { withSession } from '../session.ts';

export interface GcOptions {
  dryRun?: boolean;
  /** true: all whose database is gone; else these. */
  lost?: true | string[];
}

/** Longer than most machines take to be made. */
const WAIT_MS = 5000;

export async function run(context: Context, options: GcOptions): Promise<number> {
  const { output, settings } = context;
  const host = { ...(await dockerHost(context)), settings };
  const removed = options.dryRun !== true;
  if (options.lost !== undefined) return removeLostBottles(context, host, options.lost, removed);
  const { findLeftovers, reap, reapAnswers } = await import('../../host/reap.ts');
  const { findLost } = await import('../../host/lost.ts');
  const [leftovers, answers] = await withSession(context, async ({ client }) => {
    const place = { host, client };
    return [removed ? await reap(place) : await findLeftovers(place), await reapAnswers(place, removed)];
  });
  const lost = await findLost(host);
  // After the machines, which need theirs; and whatever becomes of it, what was removed until here is told.
  const { archives, busy } = await prune(host, removed).catch((error: Error): Pruned => {
    output.note(clean(`note: archives of images were left as they are: ${error.message}`));
    return { archives: [], busy: false };
  });
  if (busy) output.note('note: machines are being made just now: not every archive of an image was looked at');
  output.result({ removed, leftovers, archives, answers, lost }, () => {
    const word = removed ? 'removed' : 'would remove';
    const lines = [
      ...leftovers.map(({ id, objects }) => `${word} ${clean(id)}: ${objects.map(clean).join(', ')}`),
      ...archives.map(({ path, bytes }) => `${word} ${clean(path)} (${Math.round(bytes / 1024 ** 2)} MiB)`),
      ...answers.map((file) => `${word} ${clean(file)} (answers that no launch takes)`),
    ];
    return [...(lines.length === 0 ? ['nothing is left behind'] : lines), ...lost.map(lostText)].join('\n');
  });
  if (lost.length > 0) output.note(`hint: ${LOST_HINT}`);
  return 0;
}

async function removeLostBottles(
  { output }: Context,
  host: MachineHost,
  which: true | string[],
  remove: boolean,
): Promise<number> {
  const { findLost, removeLost } = await import('../../host/lost.ts');
  const lost = await findLost(host);
  if (which !== true) {
    const unknown = which.filter((id) => lost.every((each) => each.id !== id));
    if (unknown.length > 0)
      throw new BottleError('NO_SUCH_BOTTLE', `no bottle of another Temporal server is called ${unknown.join(', ')}`, {
        hint: 'bottle gc --dry-run lists them; one of this server: bottle down',
      });
  }
  const meant = lost.filter(({ id, database }) => (which === true ? database === 'gone' : which.includes(id)));
  const left = lost.filter((each) => !meant.includes(each));
  if (remove) for (const each of meant) await removeLost(host, each);
  output.result({ removed: remove, lost: meant, left }, () => {
    const lines = meant.map(({ id, objects }) => {
      return `${remove ? 'removed' : 'would remove'} ${clean(id)}: ${objects.map(clean).join(', ')}`;
    });
    return [...(lines.length === 0 ? ['no bottle of a database that is gone'] : lines), ...left.map(lostText)].join(
      '\n',
    );
  });
  return 0;
}

async function prune(host: MachineHost, remove: boolean): Promise<Pruned> {
  const { pruneArchives, staleArchives } = await import('../../host/machine/smolvm/prune.ts');
  const { smolvmInUse } = await import('../../host/machine/smolvm/installed.ts');
  const place = { ...host, smolvm: await smolvmInUse(host.settings) };
  return remove ? pruneArchives(place, WAIT_MS) : { archives: await staleArchives(place), busy: false };
}
