/** The agent's requests and the operator's answers, with processes dying at the worst moments. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleName, machineName } from '../../src/core/names.ts';
import { callTool as call } from '../support/call-tool.ts';
import {
  docker,
  type Installation,
  installation,
  isReady,
  uniqueId,
  type WorkerProcess,
} from '../support/installation.ts';
import { runIn } from '../support/run-in-container.ts';

let it: Installation;
let worker: WorkerProcess;
const NOWHERE = { at: 'nothing', when: 'before' } as const;

beforeAll(async () => {
  it = await installation();
  it.writeBottle('asking', 'supervise: true');
  it.writeAgent('asker', 'bottle: asking');
  worker = await it.startWorker(NOWHERE);
});
afterAll(() => it?.dispose());

async function readyBottle(): Promise<string> {
  const id = uniqueId('ask');
  await it.launch(id, { agent: 'asker' });
  await it.waitFor(id, isReady);
  return id;
}

const askFor = (id: string, host: string) =>
  call(id, 'request_egress_route', { host, methods: ['GET'], pathPrefix: '/v1', reason: 'to test' });

const decide = (id: string, ...args: unknown[]) =>
  it.client.workflow
    .getHandle(id)
    .executeUpdate<string, [unknown, ...unknown[]]>('decide', { args: args as [unknown] });

/** Ids of the routes that egress has now, asked for as the agent asks. */
async function routes(id: string): Promise<string[]> {
  const { stdout } = await runIn({ docker }, machineName(id), ['curl', '-s', 'http://egress:9099/'], 'agent');
  return (JSON.parse(stdout).routes as { id: string }[]).map((route) => route.id);
}

const stateOf = async (id: string, request: string): Promise<string | undefined> =>
  (await it.status(id)).requests.find((each) => each.id === request)?.state;

describe('a request', () => {
  test('that is made while no worker runs is heard by the next one', async () => {
    const id = await readyBottle();
    await worker.kill();
    const { requestId } = await call(id, 'ask_operator', { question: 'Anybody there?' });
    worker = await it.startWorker(NOWHERE);
    await it.waitFor(id, ({ requests }) => requests.some((each) => each.id === requestId));
    expect(await stateOf(id, String(requestId))).toBe('pending');
    expect(await it.down(id)).toEqual([]);
  });

  test('survives the bundle, made anew with what was asked and answered', async () => {
    const id = await readyBottle();
    const first = String((await askFor(id, 'one.test'))['requestId']);
    const second = String((await askFor(id, 'two.test'))['requestId']);
    await it.waitFor(id, ({ requests }) => requests.length === 2);
    await decide(id, { request: first, decision: 'approve', note: 'fine' });
    await it.waitFor(id, isReady);
    await docker.getContainer(bundleName(id)).remove({ force: true });
    await it.waitFor(
      id,
      ({ phase, steps }) => phase === 'ready' && steps.some((step) => step.id === 'bundle' && step.attempts > 2),
    );
    expect(await routes(id)).toEqual(['one.test']);
    expect(await call(id, 'check_request', { requestId: first })).toMatchObject({ status: 'approved', note: 'fine' });
    expect(await call(id, 'check_request', { requestId: second })).toMatchObject({ status: 'pending' });
    expect(await it.down(id)).toEqual([]);
  });

  test('is asked and answered many times over without another container', async () => {
    const id = await readyBottle();
    const before = await docker.getContainer(bundleName(id)).inspect();
    for (const host of ['a.test', 'b.test', 'c.test']) {
      const request = String((await askFor(id, host))['requestId']);
      await it.waitFor(id, ({ requests }) => requests.some((each) => each.id === request));
      await decide(id, { request, decision: 'approve' });
    }
    await it.waitFor(id, isReady);
    expect((await routes(id)).sort()).toEqual(['a.test', 'b.test', 'c.test']);
    const after = await docker.getContainer(bundleName(id)).inspect();
    expect([after.Id, after.State.StartedAt]).toEqual([before.Id, before.State.StartedAt]);
    expect(await it.down(id)).toEqual([]);
  });
});

describe('an answer', () => {
  test.each(['before', 'after'] as const)('counts although the worker dies %s it is handed over', async (when) => {
    const id = await readyBottle();
    const request = String((await askFor(id, 'late.test'))['requestId']);
    await it.waitFor(id, ({ requests }) => requests.length === 1);
    worker.pauseAt({ at: 'bundle', when });
    await decide(id, request, 'approve', 'now');
    await worker.paused();
    await worker.kill();
    worker = await it.startWorker(NOWHERE);
    await it.waitFor(id, isReady);
    expect(await routes(id)).toEqual(['late.test']);
    expect(await stateOf(id, request)).toBe('approved');
    expect(await it.down(id)).toEqual([]);
  });

  test('whose time is over while no worker runs counts no more, and is taken back by the next one', async () => {
    const id = await readyBottle();
    const request = String((await askFor(id, 'brief.test'))['requestId']);
    await it.waitFor(id, ({ requests }) => requests.length === 1);
    await decide(id, { request, decision: 'approve', for: '3s' });
    await it.waitFor(id, isReady);
    const ends = Date.parse((await it.status(id)).requests[0]?.expiresAt ?? '');
    await worker.kill();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, ends - Date.now()) + 100));
    const { stdout } = await runIn(
      { docker },
      machineName(id),
      ['curl', '-s', 'http://egress:9099/brief.test/v1'],
      'agent',
    );
    expect(stdout).toContain('has expired');
    worker = await it.startWorker(NOWHERE);
    await it.waitFor(id, ({ requests, phase }) => phase === 'ready' && requests[0]?.state === 'expired');
    expect(await routes(id)).toEqual([]);
    expect(await it.down(id)).toEqual([]);
  });

  test('is refused in words when it is none, and changes nothing', async () => {
    const id = await readyBottle();
    const request = String((await askFor(id, 'odd.test'))['requestId']);
    await it.waitFor(id, ({ requests }) => requests.length === 1);
    const wrong: [unknown[], string][] = [
      [[{ request: 'nobody', decision: 'approve' }], 'there is no request nobody'],
      [[{ request, decision: 'maybe' }], 'decision: expected "approve" or "deny"'],
      [[{ request, decision: 'approve', for: 'ever' }], 'for: expected a time'],
      [[{ request, decision: 'approve', colour: 'red' }], 'colour: unknown field'],
      [[request], 'decision: expected'],
      [[], 'request: expected'],
    ];
    for (const [args, words] of wrong) {
      const error = await decide(id, ...args).then(
        () => undefined,
        (failure: Error) => failure.cause as Error,
      );
      expect(error?.message).toContain(words);
    }
    expect(await stateOf(id, request)).toBe('pending');
    expect(await it.down(id)).toEqual([]);
  });

  test('that is no reaches the agent with the reason', async () => {
    const id = await readyBottle();
    const request = String((await askFor(id, 'denied.test'))['requestId']);
    await it.waitFor(id, ({ requests }) => requests.length === 1);
    await decide(id, { request, decision: 'deny', note: 'not today' });
    await it.waitFor(id, isReady);
    expect(await call(id, 'check_request', { requestId: request })).toMatchObject({
      status: 'denied',
      note: 'not today',
    });
    expect(await routes(id)).toEqual([]);
    expect(await it.down(id)).toEqual([]);
  });
});
