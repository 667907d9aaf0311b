/**
 * `bottle gc`: what launches left behind that were terminated rather than stopped, and archives of images that nobody needs
 * any more. The worker does the one by itself, whoever makes a new archive the other.
 */
import type { MachineHost } from '../../host/machine/drivers.ts';
import type { Pruned } from '../../host/machine/smolvm/prune.ts';
import type { Context } from '../context.ts';
import { dockerHost } from '../local-machine.ts';
import { clean } from '../render/text.ts';
import { withSession } from '../session.ts';

/** Longer than most machines take to be made. */
const WAIT_MS = 5000;

export async function run(context: Context, options: { dryRun?: boolean }): Promise<number> {
  const { output, settings } = context;
  const { findLeftovers, reap } = await import('../../host/reap.ts');
  const host = { ...(await dockerHost(context)), settings };
  const leftovers = await withSession(context, ({ client }) => {
    const place = { host, client };
    return options.dryRun === true ? findLeftovers(place) : reap(place);
  });
  const removed = options.dryRun !== true;
  // After the machines, which need theirs; and whatever becomes of it, what was removed until here is told.
  const { archives, busy } = await prune(host, removed).catch((error: Error): Pruned => {
    output.note(clean(`note: archives of images were left as they are: ${error.message}`));
    return { archives: [], busy: false };
  });
  if (busy) output.note('note: machines are being made just now: not every archive of an image was looked at');
  output.result({ removed, leftovers, archives }, () => {
    if (leftovers.length + archives.length === 0) return 'nothing is left behind';
    const word = removed ? 'removed' : 'would remove';
    return [
      ...leftovers.map(({ id, objects }) => `${word} ${clean(id)}: ${objects.map(clean).join(', ')}`),
      ...archives.map(({ path, bytes }) => `${word} ${clean(path)} (${Math.round(bytes / 1024 ** 2)} MiB)`),
    ].join('\n');
  });
  return 0;
}

async function prune(host: MachineHost, remove: boolean): Promise<Pruned> {
  const { pruneArchives, staleArchives } = await import('../../host/machine/smolvm/prune.ts');
  const { smolvmInUse } = await import('../../host/machine/smolvm/installed.ts');
  const place = { ...host, smolvm: await smolvmInUse(host.settings) };
  return remove ? pruneArchives(place, WAIT_MS) : { archives: await staleArchives(place), busy: false };
}
