/** Asks the server that a lost bottle belongs to, where it answers, whether the bottle's launch is open there. */

import type { Settings } from '../host/settings.ts';
import { type StateOwner, serverText } from '../host/state-owner.ts';
import { clusterOwner, connectClient, temporalTarget } from '../host/temporal-connection.ts';
import { within } from './bottle-status.ts';

/** One that answers does so soon; of one that is away nobody can know. */
const PATIENCE_MS = 3000;

/** @returns where it is open, in words; undefined where it is not, or nobody can tell without that server's own settings */
export async function whereOpen(settings: Settings, id: string, state: StateOwner): Promise<string | undefined> {
  const { owner, run, server } = state;
  if (server === undefined) return undefined;
  const namespace = owner.slice(owner.indexOf('/') + 1);
  try {
    const where = { TEMPORAL_ADDRESS: server.address, TEMPORAL_NAMESPACE: namespace };
    const target = await temporalTarget(settings, { HOME: process.env['HOME'], ...where });
    return await within(PATIENCE_MS, async () => {
      const client = await connectClient(target);
      try {
        // Another one may be at that address by now.
        if ((await clusterOwner(client)) !== owner) return undefined;
        const { status, runId, raw } = await client.workflow.getHandle(id).describe();
        const isThatOne = (raw.workflowExecutionInfo?.firstRunId || runId) === run;
        return status.name === 'RUNNING' && isThatOne ? serverText(state) : undefined;
      } finally {
        await client.connection.close();
      }
    });
  } catch {
    return undefined;
  }
}
