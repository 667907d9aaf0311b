/** A step that fails for good is held, says so everywhere, and waits for a decision that costs nothing that is done. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { WorkflowFailedError, WorkflowUpdateFailedError } from '@temporalio/client';
import type { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LAUNCH_STEPS } from '../../src/core/steps.ts';
import { activityRuns, eventsOf } from '../support/events.ts';
import { type Installation, installation, isHeld, isReady, uniqueId } from '../support/installation.ts';

let it: Installation;

beforeAll(async () => {
  it = await installation();
  it.writeBottle('closed', 'allow: [example.com]');
  it.writeAgent('demo', 'bottle: closed\nskills: [greet]', 'Be kind.');
  await it.startWorker();
});
afterAll(() => it.dispose());
beforeEach(() => rmSync(path.join(it.settings.home, 'skills/greet'), { recursive: true, force: true }));

async function heldLaunch(): Promise<string> {
  const id = uniqueId('held');
  await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, isHeld);
  return id;
}

function update(id: string, name: string, ...args: [] | [unknown]): Promise<unknown> {
  const handle = it.client.workflow.getHandle(id);
  return args.length === 0 ? handle.executeUpdate(name) : handle.executeUpdate<unknown, [unknown]>(name, { args });
}

const STEPS: readonly string[] = LAUNCH_STEPS.map(({ id }) => id);

describe('a launch whose skill is missing', () => {
  test('is held at that step, and says where and why in status, visibility, memo and current details', async () => {
    const id = await heldLaunch();

    const { steps } = await it.status(id);
    const expected = {
      code: 'SKILL_NOT_FOUND',
      message: expect.stringContaining(path.join(it.settings.home, 'skills/greet')),
      hint: expect.stringContaining('retry'),
    };
    const held = steps.find((step) => step.id === 'provision.skills');
    expect(held).toMatchObject({ state: 'held', attempts: 1, error: expected });
    expect(held?.error?.message).toContain('.claude/skills/greet');
    // Its siblings went on; only what needs it waits.
    expect(steps.filter(({ state }) => state !== 'done').map((step) => [step.id, step.state])).toEqual([
      ['provision.skills', 'held'],
      ['check', 'pending'],
    ]);

    const query = `WorkflowId = '${id}' AND BottlePhase = 'held' AND BottleStep = 'provision.skills'`;
    await expect.poll(async () => (await it.client.workflow.count(query)).count).toBe(1);
    const { memo } = await it.client.workflow.getHandle(id).describe();
    expect(memo).toMatchObject({ agent: 'demo', driver: 'docker', heldSteps: ['provision.skills'], error: expected });

    const metadata = (await it.client.workflow.getHandle(id).query('__temporal_workflow_metadata')) as {
      definition: { updateDefinitions: { name: string; description: string }[] };
      currentDetails: string;
    };
    const described = metadata.definition.updateDefinitions.filter(({ description }) => description.length > 10);
    expect(described.map(({ name }) => name).sort()).toEqual([
      'abort',
      'apply',
      'decide',
      'reload',
      'retry',
      'skip',
      'stop',
    ]);
    expect(metadata.currentDetails).toContain('Held at `provision.skills`');
    expect(metadata.currentDetails).toContain('SKILL_NOT_FOUND');

    expect(await it.down(id)).toEqual([]);
  });

  test('becomes ready after the skill is added and the step retried, and no other step runs again', async () => {
    const id = await heldLaunch();
    const before = activityRuns(await eventsOf(it.client, id));
    expect(before.map(({ activity }) => activity).sort()).toEqual(STEPS.filter((step) => step !== 'check').sort());

    it.writeSkill('greet');
    expect(await update(id, 'retry')).toBe('retry: provision.skills');
    const ready = await it.waitFor(id, isReady);

    const after = activityRuns(await eventsOf(it.client, id));
    expect(after.slice(before.length).map(({ activity }) => activity)).toEqual(['provision.skills', 'check']);
    expect(after.map(({ attempt }) => attempt)).toEqual(after.map(() => 1));
    expect(ready.steps.map(({ attempts }) => attempts)).toEqual(STEPS.map((s) => (s === 'provision.skills' ? 2 : 1)));
    expect(ready.steps.every(({ error }) => error === undefined)).toBe(true);
    const { memo, searchAttributes } = await it.client.workflow.getHandle(id).describe();
    // The server drops what is empty from a memo.
    expect(memo).toEqual({ agent: 'demo', driver: 'docker' });
    expect(searchAttributes).toMatchObject({ BottlePhase: ['ready'] });
    expect(searchAttributes['BottleStep']?.[0] ?? null).toBeNull();

    expect(await it.down(id)).toEqual([]);
  });

  test('is held again by a retry that changed nothing, as often as one likes', async () => {
    const id = await heldLaunch();
    for (const attempts of [2, 3, 4, 5]) {
      await update(id, 'retry', 'provision.skills');
      const { steps } = await it.waitFor(
        id,
        (status) => isHeld(status) && status.steps.some((step) => step.attempts === attempts),
      );
      expect(steps.find((step) => step.id === 'provision.skills')).toMatchObject({ state: 'held', attempts });
    }
    expect(await it.down(id)).toEqual([]);
  });

  test('becomes ready without the step when it is skipped', async () => {
    const id = await heldLaunch();
    await update(id, 'skip', 'provision.skills');
    const { steps } = await it.waitFor(id, isReady);
    expect(steps.filter(({ state }) => state !== 'done')).toMatchObject([{ id: 'provision.skills', state: 'skipped' }]);
    expect(await it.down(id)).toEqual([]);
  });

  test('fails with the step as the cause, and an empty host, when it is aborted', async () => {
    const id = await heldLaunch();
    await update(id, 'abort');
    const handle = it.client.workflow.getHandle(id);
    const error = (await handle.result().catch((reason: unknown) => reason)) as WorkflowFailedError;
    expect(error).toBeInstanceOf(WorkflowFailedError);
    const aborted = error.cause as ApplicationFailure;
    expect(aborted).toMatchObject({ type: 'Aborted', message: expect.stringContaining('provision.skills') });
    expect(aborted.cause).toMatchObject({ type: 'SKILL_NOT_FOUND', message: expect.stringContaining('greet') });

    const { status, searchAttributes } = await handle.describe();
    expect(status.name).toBe('FAILED');
    expect(searchAttributes).toMatchObject({ BottlePhase: ['failed'] });
    expect(await it.leftovers(id)).toEqual([]);
  });

  test('takes a retry from the Temporal UI, sent as its own modal sends it', async () => {
    const id = await heldLaunch();
    it.writeSkill('greet');
    const answer = await updateFromUi(id, 'retry');
    expect(answer.outcome).toMatchObject({ success: expect.anything() });
    await it.waitFor(id, isReady);

    // And its modal shows why an update is refused.
    const refused = await updateFromUi(id, 'retry');
    expect(refused.outcome).toMatchObject({ failure: { message: 'no step is held' } });
    expect(await it.down(id)).toEqual([]);
  });
});

describe('an update that nobody waits for', () => {
  test('is rejected and leaves no trace in the history', async () => {
    const id = await heldLaunch();
    const before = await eventsOf(it.client, id);
    const refusals: [name: string, arg: unknown, reason: string][] = [
      ['retry', 'network', 'step network is not held; held: provision.skills'],
      ['skip', 'no.such.step', 'step no.such.step is not held; held: provision.skills'],
      ['abort', 'check', 'step check is not held; held: provision.skills'],
      ['retry', { step: 'provision.skills' }, 'step: expected a step id, or nothing'],
    ];
    for (const [name, arg, reason] of refusals) {
      const error = (await update(id, name, arg).catch((reason: unknown) => reason)) as WorkflowUpdateFailedError;
      expect(error).toBeInstanceOf(WorkflowUpdateFailedError);
      expect(error.cause).toMatchObject({ type: 'NotHeld', message: reason });
    }
    expect((await eventsOf(it.client, id)).length).toBe(before.length);

    await update(id, 'skip', null);
    await it.waitFor(id, isReady);
    const ready = await eventsOf(it.client, id);
    for (const name of ['retry', 'skip', 'abort']) {
      const error = (await update(id, name).catch((reason: unknown) => reason)) as WorkflowUpdateFailedError;
      expect(error.cause).toMatchObject({ type: 'NotHeld', message: 'no step is held' });
    }
    expect((await eventsOf(it.client, id)).length).toBe(ready.length);
    expect(await it.down(id)).toEqual([]);
  });
});

test('a held prepare cannot be skipped, since later steps need its plan, but can be retried and aborted', async () => {
  const id = uniqueId('held');
  await it.launch(id, { agent: 'later' });
  const { steps } = await it.waitFor(id, isHeld);
  expect(steps[0]).toMatchObject({ id: 'prepare', state: 'held', error: { code: 'AGENT_NOT_FOUND' } });
  const error = (await update(id, 'skip').catch((reason: unknown) => reason)) as WorkflowUpdateFailedError;
  expect(error.cause).toMatchObject({ type: 'NotHeld', message: expect.stringContaining('prepare cannot be skipped') });

  it.writeAgent('later', 'bottle: closed');
  await update(id, 'retry', 'prepare');
  await it.waitFor(id, isReady);
  expect(await it.down(id)).toEqual([]);
});

interface UiAnswer {
  outcome?: { success?: unknown; failure?: { message: string } };
}

/** The request of the UI's update modal (temporalio/ui, services/workflow-service.ts), with its token against forged ones. */
async function updateFromUi(id: string, name: string): Promise<UiAnswer> {
  const ui = `http://127.0.0.1:${it.settings.uiPort}`;
  const page = await fetch(`${ui}/api/v1/settings`);
  const cookie = /_csrf=([^;]+)/.exec(page.headers.get('set-cookie') ?? '')?.[1] ?? '';
  const runId = (await it.client.workflow.getHandle(id).describe()).runId;
  const response = await fetch(`${ui}/api/v1/namespaces/default/workflows/${id}/update/${name}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', cookie: `_csrf=${cookie}`, 'x-csrf-token': cookie },
    body: JSON.stringify({
      workflowExecution: { runId },
      request: { meta: { updateId: '', identity: '' }, input: { args: { payloads: null } } },
    }),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as UiAnswer;
}
