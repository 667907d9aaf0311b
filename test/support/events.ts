/** A launch's history in a form that tests can read. */
import type { Client, WorkflowHandle } from '@temporalio/client';

export type HistoryEvent = NonNullable<Awaited<ReturnType<WorkflowHandle['fetchHistory']>>['events']>[number];

/** An activity that the history says was scheduled, with its last attempt. */
export interface ActivityRun {
  readonly activity: string;
  /** Of the last attempt; 0 when none started. */
  readonly attempt: number;
  /** Milliseconds since the epoch, when that attempt started. */
  readonly startedAt: number;
}

/** Every event of a run, oldest first; of the last run unless another is named. */
export async function eventsOf(client: Client, id: string, runId?: string): Promise<HistoryEvent[]> {
  return (await client.workflow.getHandle(id, runId).fetchHistory()).events ?? [];
}

/** Every time a step or an undo was scheduled, in order. Watching a ready bottle is neither. */
export function activityRuns(events: readonly HistoryEvent[]): ActivityRun[] {
  return events.flatMap(({ eventId, activityTaskScheduledEventAttributes: scheduled }) => {
    if (scheduled === null || scheduled === undefined || scheduled.activityType?.name === 'watch') return [];
    const started = events.find(
      ({ activityTaskStartedEventAttributes: of }) => of?.scheduledEventId?.toString() === eventId?.toString(),
    );
    return [
      {
        activity: scheduled.activityType?.name ?? '',
        attempt: started?.activityTaskStartedEventAttributes?.attempt ?? 0,
        startedAt: milliseconds(started?.eventTime),
      },
    ];
  });
}

/** How many workflow tasks failed: a loop of them is what bad input must never cause. */
export const failedTasks = (events: readonly HistoryEvent[]): number =>
  events.filter(({ workflowTaskFailedEventAttributes: failed }) => failed !== null && failed !== undefined).length;

/** The values that BottlePhase was set to, in order. */
export function phasesOf(events: readonly HistoryEvent[]): string[] {
  return events.flatMap(({ upsertWorkflowSearchAttributesEventAttributes: upsert }) => {
    const data = upsert?.searchAttributes?.indexedFields?.['BottlePhase']?.data;
    return data === null || data === undefined ? [] : [JSON.parse(Buffer.from(data).toString()) as string];
  });
}

interface ProtoTime {
  seconds?: { toString(): string } | null;
  nanos?: number | null;
}

const milliseconds = (time: ProtoTime | null | undefined): number =>
  Number(time?.seconds?.toString() ?? 0) * 1000 + (time?.nanos ?? 0) / 1e6;
