/** Starts a BottleLaunch under the first free id. */
import { TypedSearchAttributes } from '@temporalio/common';
import { BottleError } from '../core/errors.ts';
import type { LaunchInput } from '../core/launch-input.ts';
import { assertBottleId, candidateId, taskQueueOf } from '../core/names.ts';
import type { LaunchMemo } from '../core/status.ts';
import { agentAttribute, BOTTLE_LAUNCH, hostAttribute, phaseAttribute } from '../workflows/messages.ts';
import type { BottleRun } from './bottle-status.ts';
import type { Session } from './session.ts';

export interface LaunchRequest extends LaunchInput {
  host: string;
  /** A fixed id; without one: the agent's name, then `-2`, `-3`, ... */
  name?: string | undefined;
}

const MOST_CANDIDATES = 1000;

/** @throws BottleError `BOTTLE_EXISTS` when the fixed id is taken by an open bottle; `INVALID_ID` */
export async function startLaunch(session: Session, request: LaunchRequest): Promise<BottleRun> {
  if (request.name !== undefined) {
    const run = await tryStart(session, request, request.name);
    if (run !== undefined) return run;
    throw new BottleError('BOTTLE_EXISTS', `there is an open bottle ${request.name}`, {
      hint: `take it down with: bottle down ${request.name}; or choose another --name`,
    });
  }
  for (let n = 1; n <= MOST_CANDIDATES; n += 1) {
    const run = await tryStart(session, request, candidateId(request.agent, n));
    if (run !== undefined) return run;
  }
  throw new BottleError('BOTTLE_EXISTS', `there are ${MOST_CANDIDATES} open bottles of ${request.agent}`, {
    hint: 'choose a name with --name',
  });
}

/** @returns undefined when an open bottle has that id */
async function tryStart(session: Session, request: LaunchRequest, id: string): Promise<BottleRun | undefined> {
  assertBottleId(id);
  const { host, name: _name, ...input } = request;
  const { agent, driver } = input;
  const { answers, adopts } = input;
  const memo: LaunchMemo = {
    agent,
    driver: driver ?? null,
    heldSteps: [],
    ...(answers === undefined ? {} : { answers }),
    ...(adopts === undefined ? {} : { adopts: adopts.run }),
  };
  try {
    const handle = await session.client.workflow.start(BOTTLE_LAUNCH, {
      workflowId: id,
      taskQueue: taskQueueOf(host),
      args: [input],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
      memo: { ...memo },
      typedSearchAttributes: new TypedSearchAttributes([
        { key: phaseAttribute, value: 'launching' },
        { key: agentAttribute, value: agent },
        { key: hostAttribute, value: host },
      ]),
      staticSummary: `Bottle of agent ${agent} on ${host}`,
    });
    return { id, runId: handle.firstExecutionRunId };
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError') return undefined;
    throw error;
  }
}
