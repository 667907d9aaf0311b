/** What a launch sets of what the Temporal UI shows: each time it replays, the same commands. */
import { beforeEach, expect, test, vi } from 'vitest';
import type { StatusDocument } from '../../../src/core/status.ts';
import { VisibleState } from '../../../src/workflows/visible-state.ts';

const info = vi.hoisted(() => ({
  memo: {} as Record<string, unknown>,
  typedSearchAttributes: { get: () => undefined },
}));
const upserted = vi.hoisted(() => [] as unknown[]);

vi.mock('@temporalio/workflow', async (original) => ({
  ...(await original<typeof import('@temporalio/workflow')>()),
  workflowInfo: () => info,
  patched: () => true,
  setCurrentDetails: () => undefined,
  upsertSearchAttributes: () => undefined,
  upsertMemo: (memo: unknown) => upserted.push(memo),
}));

beforeEach(() => {
  upserted.length = 0;
});

const launch = {
  startedAt: new Date('2026-11-29T10:00:00.000Z'),
  id: 'demo',
  runId: 'r',
  currentRunId: 'r',
  agent: 'demo',
  host: 'h',
};
const ready: StatusDocument = {
  ...{ id: 'demo', agent: 'demo', phase: 'ready', host: 'h', driver: 'docker', runId: 'r', uiUrl: null },
  ...{ startedAt: '2026-11-29T10:00:00.000Z', readyAt: null, stoppedBy: null, network: null, bundle: null },
  ...{ machine: null, steps: [], requests: [] },
};

// The server gives the keys of a memo in any order, another one at each replay.
test.each([
  { agent: 'demo', driver: 'docker', heldSteps: [] },
  { heldSteps: [], driver: 'docker', agent: 'demo' },
])('of a run that was started with the memo it shows when ready, keys in the order of %j', (memo) => {
  info.memo = memo;
  const visible = new VisibleState(launch, 'docker');
  visible.show({ ...ready, phase: 'launching' });
  expect(upserted).toEqual([]);
  visible.show(ready);
  visible.show(ready);
  expect(upserted).toEqual([expect.objectContaining({ agent: 'demo', driver: 'docker', heldSteps: [] })]);
});
