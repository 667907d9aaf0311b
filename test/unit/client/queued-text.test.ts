import { expect, test } from 'vitest';
import { plainLines } from '../../../src/client/render/plain.ts';
import { rowsText } from '../../../src/client/render/rows-text.ts';
import { statusText } from '../../../src/client/render/status-text.ts';
import { renderTree } from '../../../src/client/render/tree.ts';
import type { StatusDocument } from '../../../src/core/status.ts';
import { STARTED, status, step } from './status-fixture.ts';

const queued = (message: string): StatusDocument =>
  status([step('prepare', 'running'), step('network', 'pending')], {
    phase: 'queued',
    waitsFor: { what: 'memory', message, since: new Date(STARTED).toISOString() },
  });
const LINE = 'memory: 300 MiB are free';

test('what a queued launch waits for is said when it begins to wait, and when that changes', () => {
  const lines = plainLines();
  expect(lines(queued('300 MiB are free'))).toEqual(['prepare              running', `queued: waits for ${LINE}`]);
  expect(lines(queued('300 MiB are free'))).toEqual([]);
  expect(lines(queued('400 MiB are free'))).toEqual(['queued: waits for memory: 400 MiB are free']);
  expect(lines(status([step('prepare', 'done', { durationMs: 12 })]))).toEqual(['prepare              done     12 ms']);
});

test('status, the live tree and ls say it', () => {
  const document = queued('300 MiB are free');
  expect(statusText(document, { now: STARTED })).toContain(`waits for    ${LINE}`);
  expect(renderTree(document, { now: STARTED }).split('\n')[1]).toBe(`waits for ${LINE}`);
  const { id, agent, phase, host, driver, startedAt, waitsFor } = document;
  const row = { id, agent, phase, host, driver, startedAt, heldSteps: [], ...(waitsFor && { waitsFor }) };
  expect(rowsText([row], STARTED)).toContain('queued (memory)');
});

test('ls says by its code what a bottle suffers from', () => {
  const { id, agent, phase, host, driver, startedAt } = status([], { phase: 'ready' });
  const trouble = { code: 'DOCKER_UNREACHABLE', message: 'the Docker Engine does not answer (ETIMEDOUT)' };
  const row = { id, agent, phase, host, driver, startedAt, heldSteps: [], trouble };
  expect(rowsText([row], STARTED)).toContain('ready (DOCKER_UNREACHABLE)');
});
