/**
 * Hands a dead worker's work to its successor at once, instead of after heartbeat and sticky-queue timeouts
 * (measured: 0.1 s instead of 29 s with a heartbeat timeout of 30 s).
 */
import { ApplicationFailure, type Client } from '@temporalio/client';
import { taskQueueOf } from '../core/names.ts';

export interface TakeoverReport {
  /** `<workflow id>/<activity id>` of each attempt that was ended. */
  readonly attempts: string[];
}

const STARTED = 2;

/** The visibility query for what runs on a host. */
export const openLaunchesOn = (host: string): string =>
  `WorkflowType = 'BottleLaunch' AND TaskQueue = '${taskQueueOf(host)}' AND ExecutionStatus = 'Running'`;

/**
 * Ends every attempt on this host's queue that another worker started, so that the server starts the next one.
 * Only for the holder of the host's exclusive lock: whoever started those attempts is dead.
 * @param identity the caller's own; its attempts are left alone
 * @param known ids of bottles of this host, in case visibility does not list the newest yet
 */
export async function takeOver(
  client: Client,
  host: string,
  identity: string,
  known: readonly string[] = [],
): Promise<TakeoverReport> {
  const ids = new Set(known);
  for await (const { workflowId } of client.workflow.list({ query: openLaunchesOn(host) })) ids.add(workflowId);
  const attempts = await Promise.all([...ids].map((id) => takeOverOne(client, taskQueueOf(host), identity, id)));
  return { attempts: attempts.flat() };
}

async function takeOverOne(client: Client, taskQueue: string, identity: string, workflowId: string): Promise<string[]> {
  const { namespace } = client.options;
  const described = await client.workflow
    .getHandle(workflowId)
    .describe()
    .catch(() => undefined);
  if (described === undefined || described.status.name !== 'RUNNING' || described.taskQueue !== taskQueue) return [];
  const { runId } = described;
  await client.workflowService.resetStickyTaskQueue({ namespace, execution: { workflowId, runId } });
  const orphans = (described.raw.pendingActivities ?? []).filter(
    (activity) => activity.state === STARTED && activity.lastWorkerIdentity !== identity,
  );
  const ended = orphans.map(async ({ activityId }) => {
    const lost = ApplicationFailure.create({
      type: 'WORKER_LOST',
      message: 'the worker died while it ran the step',
      nextRetryDelay: '1 millisecond',
    });
    // Too late is fine: then a timeout, or its result, came first.
    return client.activity.fail({ workflowId, runId, activityId: activityId ?? '' }, lost).then(
      () => [`${workflowId}/${activityId}`],
      () => [],
    );
  });
  return (await Promise.all(ended)).flat();
}
