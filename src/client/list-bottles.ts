/** Bottles as rows, from Temporal's visibility store alone: it needs no worker. */
import type { WorkflowExecutionInfo } from '@temporalio/client';
import type { BottleRow, LaunchMemo, Phase } from '../core/status.ts';
import { agentAttribute, BOTTLE_LAUNCH, hostAttribute, phaseAttribute } from '../workflows/messages.ts';
import { closedPhase } from './bottle-status.ts';
import type { Session } from './session.ts';

const PHASES: readonly string[] = ['launching', 'held', 'ready', 'healing', 'stopping', 'stopped', 'failed'];

export interface ListRequest {
  /** Closed ones too, each run of a reused id. */
  all: boolean;
  host?: string;
}

/** Newest first. */
export async function listBottles(session: Session, { all, host }: ListRequest): Promise<BottleRow[]> {
  const query = [
    `WorkflowType = '${BOTTLE_LAUNCH}'`,
    ...(all ? [] : [`ExecutionStatus = 'Running'`]),
    ...(host === undefined ? [] : [`TaskQueue = 'bottle@${host}'`]),
  ].join(' AND ');
  const rows: BottleRow[] = [];
  for await (const info of session.client.workflow.list({ query })) rows.push(rowOf(info));
  return rows.sort((a, b) => b.startedAt.localeCompare(a.startedAt));
}

/** How a launch stands in `bottle ls`; what a plain Temporal client started has neither memo nor attributes at first. */
export function rowOf(info: WorkflowExecutionInfo): BottleRow {
  const memo = (info.memo ?? {}) as Partial<LaunchMemo>;
  const attributes = info.typedSearchAttributes;
  const closed = closedPhase(info.status.name);
  return {
    id: info.workflowId,
    agent: attributes.get(agentAttribute) ?? memo.agent ?? '',
    phase: closed ?? phaseOf(attributes.get(phaseAttribute)),
    host: attributes.get(hostAttribute) ?? info.taskQueue.replace(/^bottle@/, ''),
    driver: memo.driver ?? null,
    heldSteps: closed === undefined ? (memo.heldSteps ?? []) : [],
    startedAt: info.startTime.toISOString(),
  };
}

const phaseOf = (text: string | undefined): Phase =>
  text !== undefined && PHASES.includes(text) ? (text as Phase) : 'launching';
