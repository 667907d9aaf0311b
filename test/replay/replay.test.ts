/**
 * Launches that began under earlier code must go on under this one: saved histories replay, without a server.
 * test/replay/record.ts records them, and says when it may.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  bundleWorkflowCode,
  DefaultLogger,
  Runtime,
  Worker,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { beforeAll, describe, expect, test } from 'vitest';

const at = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const folder = at('../fixtures/histories');
const NAMES = readdirSync(folder).map((file) => path.basename(file, '.json'));

interface SavedEvent {
  activityTaskScheduledEventAttributes?: { activityId: string; activityType: { name: string } };
}
interface SavedHistory {
  events: SavedEvent[];
}

const read = (name: string): SavedHistory =>
  JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8')) as SavedHistory;

let workflowBundle: WorkflowBundleWithSourceMap;

beforeAll(async () => {
  // A mismatch is a result here, not something to log.
  Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
  workflowBundle = await bundleWorkflowCode({
    workflowsPath: at('../../src/workflows/index.ts'),
    payloadConverterPath: at('../../src/workflows/payload-converter.ts'),
    logger: new DefaultLogger('ERROR'),
  });
});

const replay = (name: string, history: SavedHistory): Promise<void> =>
  // Replay names its queue after this; a launch takes no queue but a host's.
  Worker.runReplayHistory({ workflowBundle, replayName: 'bottle@host-1' }, history, name);

test.each([
  'ready-and-stopped',
  'held-and-retried',
  'changed-and-applied',
  'copied-into-and-idle',
  'held-and-aborted',
  'cancelled-while-a-step-ran',
  'cancelled-while-ready',
  'undo-held-and-retried',
  'lost-while-held',
  'queued-and-admitted',
  'queued-and-aborted',
  'unreadable-input',
  // Its second run, of a played host (test/support/played-host.ts); the host is named as replay names its queue.
  'went-on-as-new',
])('there is a saved history of a launch that was %s', (name) => {
  expect(NAMES).toContain(name);
});

test.each(NAMES)('a launch that was %s replays', async (name) => {
  await replay(name, read(name));
});

describe('a history that this code would not have made does not replay', () => {
  test.each(['prepare', 'check', 'state.remove'])('when another activity ran in place of %s', async (activity) => {
    const history = read('ready-and-stopped');
    const scheduled = history.events
      .map((event) => event.activityTaskScheduledEventAttributes)
      .find((attributes) => attributes?.activityId === activity);
    expect(scheduled).toBeDefined();
    Object.assign(scheduled as object, { activityId: 'other', activityType: { name: 'other' } });
    await expect(replay('ready-and-stopped', history)).rejects.toThrow(DeterminismViolationError);
  });
});
