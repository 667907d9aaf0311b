import type { WorkflowExecutionDescription, WorkflowExecutionInfo } from '@temporalio/client';
import { expect, test } from 'vitest';
import { closedPhase, mergeStatus, withAttempts } from '../../../src/client/bottle-status.ts';
import { rowOf } from '../../../src/client/list-bottles.ts';
import type { Session } from '../../../src/client/session.ts';
import { status, step } from './status-fixture.ts';

type Pending = { activityId: string; attempt: number; state?: number; lastFailure?: object };

function description(name: string, pendingActivities: Pending[] = [], over: object = {}): WorkflowExecutionDescription {
  return {
    type: 'BottleLaunch',
    workflowId: 'demo',
    runId: 'run-1',
    taskQueue: 'bottle@mac-1',
    status: { name },
    startTime: new Date('2026-11-23T10:00:00.000Z'),
    memo: { agent: 'researcher', driver: null, heldSteps: ['check'] },
    typedSearchAttributes: { get: () => undefined },
    raw: { pendingActivities },
    ...over,
  } as unknown as WorkflowExecutionDescription;
}

const info = (...args: Parameters<typeof description>): WorkflowExecutionInfo =>
  description(...args) as unknown as WorkflowExecutionInfo;

const session = { target: { uiUrl: (id: string, run: string) => `ui/${id}/${run}` } } as unknown as Session;

test('the attempt that runs now is counted on top of those before a retry', () => {
  const lastFailure = { message: 'busy', applicationFailureInfo: { type: 'DOCKER_ERROR' } };
  const running = [step('network', 'running', { attempts: 2 }), step('check', 'pending')];
  const [network, check] = withAttempts(
    running,
    description('RUNNING', [{ activityId: 'network', attempt: 3, lastFailure }]),
  );
  expect(network).toMatchObject({ attempts: 4, error: { code: 'DOCKER_ERROR', message: 'busy' } });
  expect(check).toEqual(step('check', 'pending'));
});

test('an attempt that waits for its time or for a worker is not counted yet', () => {
  const running = [step('network', 'running', { attempts: 1 })];
  const of = (attempt: number, state: number) =>
    withAttempts(running, description('RUNNING', [{ activityId: 'network', attempt, state }]))[0]?.attempts;
  expect([of(1, 1), of(1, 2), of(2, 1), of(2, 2)]).toEqual([1, 1, 1, 2]);
});

test("an undo's attempts are not the step's, but what it failed with is shown", () => {
  const lastFailure = { message: 'late', timeoutFailureInfo: {} };
  const pending = [{ activityId: 'network.remove', attempt: 2, lastFailure }];
  const [network] = withAttempts([step('network', 'undoing')], description('RUNNING', pending));
  expect(network).toMatchObject({ state: 'undoing', attempts: 1, error: { code: 'TIMEOUT', message: 'late' } });
});

test('how a launch closed outweighs what it last said of itself', () => {
  const said = status([], { phase: 'ready', uiUrl: null });
  expect(mergeStatus(said, description('TERMINATED'), session)).toMatchObject({
    phase: 'failed',
    uiUrl: 'ui/demo/run-1',
  });
  expect(mergeStatus(said, description('RUNNING'), session).phase).toBe('ready');
  expect(['COMPLETED', 'CANCELLED', 'FAILED', 'TIMED_OUT', 'RUNNING'].map(closedPhase)).toEqual([
    'stopped',
    'stopped',
    'failed',
    'failed',
    undefined,
  ]);
});

test('a launch that cannot answer is told of as far as the server knows it', () => {
  expect(mergeStatus(undefined, description('FAILED'), session)).toMatchObject({
    id: 'demo',
    agent: 'researcher',
    host: 'mac-1',
    phase: 'failed',
    steps: [],
    requests: [],
  });
});

test('a row names no held step of a launch that goes on: the memo lags behind', () => {
  const again = {
    typedSearchAttributes: { get: ({ name }: { name: string }) => (name === 'BottlePhase' ? 'launching' : undefined) },
  };
  expect(rowOf(info('RUNNING', [], again))).toMatchObject({ phase: 'launching', heldSteps: [] });
});

test('a row takes phase and holds from how it closed when visibility lags behind', () => {
  const stale = {
    typedSearchAttributes: { get: ({ name }: { name: string }) => (name === 'BottlePhase' ? 'held' : undefined) },
  };
  expect(rowOf(info('RUNNING', [], stale))).toEqual({
    id: 'demo',
    agent: 'researcher',
    phase: 'held',
    host: 'mac-1',
    driver: null,
    heldSteps: ['check'],
    startedAt: '2026-11-23T10:00:00.000Z',
  });
  expect(rowOf(info('COMPLETED', [], stale))).toMatchObject({ phase: 'stopped', heldSteps: [] });
});
