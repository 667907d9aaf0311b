/** `bottle gc`: what launches left behind that were terminated rather than stopped. The worker does the same by itself. */
import type { Context } from '../context.ts';
import { dockerHost } from '../local-machine.ts';
import { clean } from '../render/text.ts';
import { withSession } from '../session.ts';

export async function run(context: Context, options: { dryRun?: boolean }): Promise<number> {
  const { output, settings } = context;
  const { findLeftovers, reap } = await import('../../host/reap.ts');
  const host = { ...(await dockerHost(context)), settings };
  const leftovers = await withSession(context, ({ client }) => {
    const place = { host, client };
    return options.dryRun === true ? findLeftovers(place) : reap(place);
  });
  const removed = options.dryRun !== true;
  output.result({ removed, leftovers }, () => {
    if (leftovers.length === 0) return 'nothing is left behind';
    const word = removed ? 'removed' : 'would remove';
    return leftovers.map(({ id, objects }) => `${word} ${clean(id)}: ${objects.map(clean).join(', ')}`).join('\n');
  });
  return 0;
}
