/** Asks the server that a lost bottle belongs to, where it answers, whether the bottle's launch is open there. */
import { namespaceOf, type StateOwner, serverText } from '../host/state-owner.ts';
import { clusterOwner, connectClient } from '../host/temporal-connection.ts';
import { plainTarget } from '../host/temporal-target.ts';
import { within } from './bottle-status.ts';

/** One that answers does so soon; of one that is away nobody can know. */
const PATIENCE_MS = 3000;

/** @returns where it is open, in words; undefined where it is not, or nobody can tell without that server's own settings */
export async function whereOpen(id: string, state: StateOwner): Promise<string | undefined> {
  const { owner, run, server } = state;
  if (server === undefined) return undefined;
  try {
    return await within(PATIENCE_MS, async () => {
      const client = await connectClient(plainTarget(server.address, namespaceOf(owner)));
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
