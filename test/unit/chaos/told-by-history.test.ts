import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { describe, expect, test } from 'vitest';
import { failedTasks, lastPhase, unexplainedReruns } from '../../chaos/told-by-history.ts';
import type { HistoryEvent } from '../../support/events.ts';

const folder = fileURLToPath(new URL('../../fixtures/histories', import.meta.url));

/** As the server gives it, of a real launch. */
function saved(name: string): HistoryEvent[] {
  const text = readFileSync(path.join(folder, `${name}.json`), 'utf8');
  return (historyFromJSON(JSON.parse(text)).events ?? []) as HistoryEvent[];
}

const without = (events: HistoryEvent[], key: keyof HistoryEvent): HistoryEvent[] =>
  events.filter((event) => event[key] === null || event[key] === undefined);

describe('a step that ran again', () => {
  test('is explained by what a person asked for', () => {
    expect(unexplainedReruns(saved('changed-and-applied'), [])).toEqual([]);
  });

  test('is not explained by nothing', () => {
    const unasked = without(saved('changed-and-applied'), 'workflowExecutionUpdateAcceptedEventAttributes');
    const found = unexplainedReruns(without(unasked, 'timerFiredEventAttributes'), []);
    expect(found.map(({ step }) => step)).toContain('bundle');
  });

  test('is explained by what was done to the bottle in between, and by nothing long before', () => {
    const unasked = without(saved('changed-and-applied'), 'workflowExecutionUpdateAcceptedEventAttributes');
    const events = without(unasked, 'timerFiredEventAttributes');
    const found = unexplainedReruns(events, []);
    expect(
      unexplainedReruns(
        events,
        found.map(({ againAt }) => againAt),
      ),
    ).toEqual([]);
    expect(unexplainedReruns(events, [0])).toEqual(found);
  });

  test('is explained by a loss that was told, some time after it was done', () => {
    const events = saved('lost-while-held');
    const found = unexplainedReruns(events, []);
    expect(found.map(({ step }) => step)).toContain('bundle');
    expect(
      unexplainedReruns(
        events,
        found.map(({ beganAt }) => beganAt - 30_000),
      ),
    ).toEqual([]);
  });

  test('is explained by a wish that came with the workflow task that began the run before', () => {
    const at = (ms: number) => ({ eventTime: { seconds: 1000, nanos: ms * 1e6 } });
    const bundle = { activityType: { name: 'bundle' }, workflowTaskCompletedEventId: 4 };
    const update = { acceptedRequest: { input: { name: 'apply' } } };
    const events = (updateAt: number): HistoryEvent[] =>
      [
        { eventId: 4, ...at(10), workflowTaskCompletedEventAttributes: {} },
        { eventId: 5, ...at(updateAt), workflowExecutionUpdateAcceptedEventAttributes: update },
        { eventId: 6, ...at(12), activityTaskScheduledEventAttributes: bundle },
        { eventId: 7, ...at(50), activityTaskCompletedEventAttributes: { scheduledEventId: 6 } },
        { eventId: 8, ...at(51), activityTaskScheduledEventAttributes: bundle },
      ] as unknown as HistoryEvent[];
    expect(unexplainedReruns(events(11), [])).toEqual([]);
    expect(unexplainedReruns(events(9), [])).toHaveLength(1);
  });

  test('is none where every step ran once', () => {
    expect(unexplainedReruns(saved('ready-and-stopped'), [])).toEqual([]);
  });
});

test('the last phase is what visibility was told last', () => {
  expect(lastPhase(saved('held-and-aborted'))).toBe('failed');
  expect(lastPhase([])).toBeUndefined();
});

test('a saved history has no failed workflow tasks', () => {
  expect(failedTasks(saved('held-and-retried'))).toEqual([]);
});

test('a workflow task that failed counts, unless a worker that had stood still over it answered an update twice', () => {
  const why = 'BadUpdateWorkflowExecutionMessage: ProtocolMessageCommand referenced absent message ID 1/request/accept';
  const failed = (message: string) => ({ workflowTaskFailedEventAttributes: { failure: { message } } });
  const late = { workflowTaskTimedOutEventAttributes: {} };
  const done = { workflowTaskCompletedEventAttributes: {} };
  const of = (...events: object[]): string[] => failedTasks(events as unknown as HistoryEvent[]);
  expect(of(late, failed(why), done)).toEqual([]);
  expect(of(failed(why), done)).toEqual([why]);
  expect(of(late, failed(why))).toEqual([why]);
  expect(of(late, failed('it does not replay'), done)).toEqual(['it does not replay']);
});
