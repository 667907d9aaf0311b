/** Whatever starts a launch, bad input ends it at once with the reason, and never loops a workflow task. */
import { WorkflowFailedError, type WorkflowUpdateFailedError } from '@temporalio/client';
import { type ApplicationFailure, defaultPayloadConverter, type Payload } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { taskQueueOf } from '../../src/core/names.ts';
import { eventsOf, failedTasks } from '../support/events.ts';
import { type Installation, installation, uniqueId } from '../support/installation.ts';

let it: Installation;

beforeAll(async () => {
  it = await installation();
  it.writeAgent('demo', 'skills: [missing]');
  await it.startWorker();
});
afterAll(() => it.dispose());

const encoded = (encoding: string, data: string | Uint8Array): Payload => ({
  metadata: { encoding: Buffer.from(encoding) },
  data: Buffer.from(data),
});

/** By the raw API, which takes any payload whatever. */
async function start(id: string, payloads: Payload[], memo: Record<string, Payload> = {}): Promise<void> {
  await it.client.workflowService.startWorkflowExecution({
    namespace: 'default',
    workflowId: id,
    requestId: id,
    workflowType: { name: 'BottleLaunch' },
    taskQueue: { name: taskQueueOf(it.settings.host) },
    input: { payloads },
    memo: { fields: memo },
  });
}

/** How it ended, after it did so in its very first workflow task. */
async function failureOf(id: string): Promise<ApplicationFailure> {
  const handle = it.client.workflow.getHandle(id);
  const error = (await Promise.race([
    handle.result().catch((reason: unknown) => reason),
    new Promise((resolve) => setTimeout(() => resolve('it goes on and on'), 120_000)),
  ])) as WorkflowFailedError;
  const events = await eventsOf(it.client, id);
  const why = events.find((event) => event.workflowTaskFailedEventAttributes)?.workflowTaskFailedEventAttributes;
  expect(why?.failure?.message).toBeUndefined();
  expect(failedTasks(events)).toBe(0);
  expect(error).toBeInstanceOf(WorkflowFailedError);
  expect((await handle.describe()).status.name).toBe('FAILED');
  expect(await it.leftovers(id)).toEqual([]);
  return error.cause as ApplicationFailure;
}

const json = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);

describe('a launch fails as InvalidInput, naming what is wrong,', () => {
  const cases: [name: string, payloads: Payload[], message: string | RegExp][] = [
    ['without any input', [], /^input: expected one JSON object/],
    ['with null', [json(null)], /^input: expected one JSON object/],
    ['with text instead of an object', [json('demo')], /^input: expected one JSON object/],
    ['with a list', [json([{ agent: 'demo' }])], /^input: expected one JSON object/],
    ['with several arguments', [json({ agent: 'demo' }), json('docker')], /^input: .* got 2 arguments/],
    ['without an agent', [json({})], /^agent: /],
    ['with an agent that is a number', [json({ agent: 7 })], /^agent: /],
    ['with an agent that is a path', [json({ agent: '../../etc/passwd' })], /^agent: /],
    ['with an unknown driver', [json({ agent: 'demo', driver: 'qemu' })], /^driver: expected docker or smolvm/],
    ['with an unknown field', [json({ agent: 'demo', agnet: 'x' })], /^agnet: unknown field/],
    ['with bytes', [encoded('binary/plain', 'demo')], /^input: expected one JSON object/],
    ['with JSON that is cut off', [encoded('json/plain', '{"agent": "de')], /^input: .*json\/plain/],
    ['with JSON that is not UTF-8', [encoded('json/plain', new Uint8Array([0xff, 0xfe, 0x00]))], /^input: /],
    ['with an encoding nobody knows', [encoded('binary/encrypted', 'x')], /^input: .*binary\/encrypted/],
    ['with a protobuf', [encoded('json/protobuf', '{"agent":"demo"}')], /^input: .*json\/protobuf/],
    ['without any encoding', [{ metadata: {}, data: Buffer.from('{}') }], /^input: /],
    ['without any metadata', [{ data: Buffer.from('{}') }], /^input: /],
    ['with a second argument that cannot be read', [json({ agent: 'demo' }), encoded('x', '')], /got 2 arguments/],
  ];
  test.each(cases)('%s', async (_name, payloads, message) => {
    const id = uniqueId('input');
    await start(id, payloads);
    expect(await failureOf(id)).toMatchObject({ type: 'InvalidInput', message: expect.stringMatching(message) });
  });

  test.each(['Upper', 'two--dashes', '-first', 'last-', 'a_b', 'a.b', 'a/../b', 'x'.repeat(41)])(
    'under the workflow id %s',
    async (id) => {
      await start(id, [json({ agent: 'demo' })]);
      expect(await failureOf(id)).toMatchObject({
        type: 'InvalidInput',
        message: expect.stringMatching(/^workflow id: /),
      });
    },
  );

  test('from the plain Temporal CLI with input in another encoding', async () => {
    const id = uniqueId('input');
    const queue = taskQueueOf(it.settings.host);
    const where = ['--type', 'BottleLaunch', '--workflow-id', id, '--task-queue', queue];
    const input = ['--input-base64', '--input', 'CgRkZW1v', '--input-meta', 'encoding=binary/protobuf'];
    await it.temporal('workflow', 'start', ...where, ...input);
    expect(await failureOf(id)).toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining('binary/protobuf'),
    });
  });
});

describe('a launch lives on', () => {
  test('with a memo that nobody can read, and with updates and signals of that kind', async () => {
    const id = uniqueId('input');
    await start(id, [json({ agent: 'demo' })], { note: encoded('binary/encrypted', 'x') });
    const { steps } = await it.waitFor(id, ({ phase }) => phase === 'held');
    expect(steps.find(({ state }) => state === 'held')).toMatchObject({ id: 'provision.skills' });
    const execution = { workflowId: id };
    const unreadable = { payloads: [encoded('binary/encrypted', 'x')] };

    const { outcome } = await it.client.workflowService.updateWorkflowExecution({
      namespace: 'default',
      workflowExecution: execution,
      request: { meta: { updateId: 'unreadable' }, input: { name: 'retry', args: unreadable } },
    });
    expect(outcome?.failure).toBeDefined();
    await it.client.workflowService.signalWorkflowExecution({
      namespace: 'default',
      workflowExecution: execution,
      signalName: 'retry',
      input: unreadable,
    });
    const unknown = it.client.workflow.getHandle(id).executeUpdate('no-such-update');
    expect((await unknown.catch((reason: unknown) => reason)) as WorkflowUpdateFailedError).toMatchObject({
      name: 'WorkflowUpdateFailedError',
    });

    await it.client.workflow.getHandle(id).executeUpdate('stop');
    await it.client.workflow.getHandle(id).result();
    expect(failedTasks(await eventsOf(it.client, id))).toBe(0);
    expect(await it.leftovers(id)).toEqual([]);
  });
});
