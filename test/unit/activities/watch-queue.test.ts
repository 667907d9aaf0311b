import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import type { ActivityHost } from '../../../src/activities/activity-host.ts';
import { createActivities } from '../../../src/activities/index.ts';

test('a watch that an earlier version has put beside the steps ends at once, and is gone on with elsewhere', async () => {
  const { watch } = createActivities({} as ActivityHost);
  const input = { bottle: { id: 'a', runId: 'r' }, driver: 'docker', daemons: {}, cursor: 'here', idleMs: null };
  expect(await new MockActivityEnvironment().run(watch as (from: unknown) => Promise<unknown>, input)).toMatchObject({
    value: { steps: [], daemons: null, asked: [], refused: [], cursor: 'here' },
  });
});
