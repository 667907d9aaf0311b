/** An undo that truly fails is held, never forgotten: a person retries it, or takes on what is left. */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { WorkflowUpdateFailedError } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { StatusDocument } from '../../src/core/status.ts';
import { type Installation, installation, isHeld, isReady, uniqueId } from '../support/installation.ts';
import { keepFromRemoval } from '../support/obstacle.ts';

let it: Installation;
let letGo = (): void => undefined;

beforeAll(async () => {
  it = await installation();
  it.writeAgent('demo', 'env: {}');
  await it.startWorker();
});
afterEach(() => letGo());
afterAll(() => it.dispose());

const stateOf = (id: string): string => path.join(it.settings.state, 'bottles', id);

/** A ready bottle whose state directory cannot be removed. */
async function stuckBottle(): Promise<string> {
  const id = uniqueId('undo');
  await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, isReady);
  letGo = keepFromRemoval(stateOf(id));
  return id;
}

/** Waits for the held undo; everything that could be undone is. */
async function expectUndoHeld(id: string): Promise<StatusDocument> {
  const status = await it.waitFor(id, isHeld);
  const [prepare, ...others] = status.steps;
  expect(prepare).toMatchObject({ id: 'prepare', state: 'undo-held', error: { code: expect.any(String) } });
  expect(others.map(({ state }) => state)).toEqual(others.map(() => 'undone'));
  expect(await it.objects(id)).toEqual([]);
  const { searchAttributes, memo } = await it.client.workflow.getHandle(id).describe();
  expect(searchAttributes).toMatchObject({ BottlePhase: ['held'], BottleStep: ['prepare'] });
  expect(memo).toMatchObject({ heldSteps: ['prepare'] });
  return status;
}

const closedAs = async (id: string): Promise<string> => {
  await it.closed(id);
  return (await it.client.workflow.getHandle(id).describe()).status.name;
};

test('a failed undo is held, and a retry ends it once the cause is gone', async () => {
  const id = await stuckBottle();
  const handle = it.client.workflow.getHandle(id);
  await handle.executeUpdate('stop');
  await expectUndoHeld(id);

  // The cause is still there: held again.
  await handle.executeUpdate('retry');
  await expectUndoHeld(id);
  const refused = (await handle.executeUpdate('abort').catch((error: unknown) => error)) as WorkflowUpdateFailedError;
  expect(refused.cause).toMatchObject({ type: 'NotHeld', message: expect.stringContaining('being undone already') });

  letGo();
  await handle.executeUpdate<unknown, [string]>('retry', { args: ['state.remove'] });
  expect(await closedAs(id)).toBe('COMPLETED');
  expect(await it.leftovers(id)).toEqual([]);
});

test('a skip leaves what could not be undone, and ends the bottle', async () => {
  const id = await stuckBottle();
  const handle = it.client.workflow.getHandle(id);
  await handle.executeUpdate('stop');
  await expectUndoHeld(id);

  await handle.executeUpdate('skip');
  expect(await closedAs(id)).toBe('COMPLETED');
  expect(await it.objects(id)).toEqual([]);
  expect(existsSync(stateOf(id))).toBe(true);
  letGo();
  rmSync(stateOf(id), { recursive: true });
});

test('a second cancel request changes nothing for a held undo, and a retry still ends it', async () => {
  const id = await stuckBottle();
  await it.temporal('workflow', 'cancel', '--workflow-id', id);
  const before = await expectUndoHeld(id);
  await it.temporal('workflow', 'cancel', '--workflow-id', id);
  await it.client.workflow.getHandle(id).executeUpdate('stop');
  expect(await expectUndoHeld(id)).toEqual(before);

  letGo();
  await it.client.workflow.getHandle(id).executeUpdate('retry');
  expect(await closedAs(id)).toBe('CANCELLED');
  expect(await it.leftovers(id)).toEqual([]);
});

test('a cancel request for a bottle whose undo is held after a stop changes nothing either', async () => {
  const id = await stuckBottle();
  await it.client.workflow.getHandle(id).executeUpdate('stop');
  const before = await expectUndoHeld(id);
  await it.temporal('workflow', 'cancel', '--workflow-id', id);
  expect(await expectUndoHeld(id)).toEqual(before);

  letGo();
  await it.client.workflow.getHandle(id).executeUpdate('retry');
  expect(await closedAs(id)).toBe('COMPLETED');
  expect(await it.leftovers(id)).toEqual([]);
});
