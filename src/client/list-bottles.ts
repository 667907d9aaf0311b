/** Bottles as rows, from Temporal's visibility store alone: it needs no worker. */
import type { WorkflowExecutionInfo } from '@temporalio/client';
import type { BottleRow, LaunchMemo, Phase } from '../core/status.ts';
import { agentAttribute, BOTTLE_LAUNCH, hostAttribute, phaseAttribute } from '../workflows/messages.ts';
import { closedPhase } from './bottle-status.ts';
import type { Session } from './session.ts';

const PHASES: readonly string[] = ['queued', 'launching', 'held', 'ready', 'healing', 'stopping', 'stopped', 'failed'];

export interface ListRequest {
  /** Closed ones too, each launch of a reused id. */
  all: boolean;
  host?: string;
}

/** Newest first. */
export async function listBottles(session: Session, { all, host }: ListRequest): Promise<BottleRow[]> {
  const query = [
    `WorkflowType = '${BOTTLE_LAUNCH}'`,
    // A run that has gone on in another is no bottle of its own.
    all ? `ExecutionStatus != 'ContinuedAsNew'` : `ExecutionStatus = 'Running'`,
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
  const phase = closedPhase(info.status.name) ?? phaseOf(attributes.get(phaseAttribute));
  return {
    id: info.workflowId,
    agent: attributes.get(agentAttribute) ?? memo.agent ?? '',
    phase,
    host: attributes.get(hostAttribute) ?? info.taskQueue.replace(/^bottle@/, ''),
    driver: memo.driver ?? null,
    // While the step runs again, the memo still names it: it changes with what matters only, to spare the history.
    heldSteps: phase === 'held' ? (memo.heldSteps ?? []) : [],
    // That of the newest run, where the launch has gone on in another.
    startedAt: memo.startedAt ?? info.startTime.toISOString(),
    ...(phase !== 'queued' || memo.waitsFor === undefined ? {} : { waitsFor: memo.waitsFor }),
    ...(memo.stoppedBy === undefined ? {} : { stoppedBy: memo.stoppedBy }),
    ...(memo.trouble === undefined || closedPhase(info.status.name) !== undefined ? {} : { trouble: memo.trouble }),
  };
}

const phaseOf = (text: string | undefined): Phase =>
  text !== undefined && PHASES.includes(text) ? (text as Phase) : 'launching';
