/**
 * Records test/fixtures/histories anew, from real launches on a real server:
 *
 *     node scripts/build.mjs && node test/replay/record.ts [name...]
 *
 * To be run only after a change of workflow code that old launches need not survive; else the old histories are the
 * very thing to test against, and the change belongs behind `patched()`. A new one is recorded by its name alone.
 */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { taskQueueOf } from '../../src/core/names.ts';
import { callTool } from '../support/call-tool.ts';
import { docker, type Installation, installation, isHeld, isReady, root } from '../support/installation.ts';
import { keepFromRemoval } from '../support/obstacle.ts';

const HOST = 'host-1';

type Scenario = (it: Installation, id: string) => Promise<void>;

const update = (it: Installation, id: string, name: string): Promise<unknown> =>
  it.client.workflow.getHandle(id).executeUpdate(name);

/** Each is named as its workflow id and its file. */
/** A launch that waits since `first` takes the only place there is. */
async function queueBehind(it: Installation, id: string, first: string): Promise<void> {
  it.writeConfig('capacity: {bottles: 1}');
  await it.launch(first, { agent: 'demo' });
  await it.waitFor(first, isReady);
  await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, ({ phase }) => phase === 'queued');
}

const SCENARIOS: Record<string, Scenario> = {
  'ready-and-stopped': async (it, id) => {
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    await update(it, id, 'stop');
  },
  'held-and-retried': async (it, id) => {
    await it.launch(id, { agent: 'unskilled' });
    await it.waitFor(id, isHeld);
    it.writeSkill('late');
    await update(it, id, 'retry');
    await it.waitFor(id, isReady);
    await update(it, id, 'stop');
  },
  'changed-and-applied': async (it, id) => {
    await it.launch(id, { agent: 'changing' });
    await it.waitFor(id, isHeld);
    it.writeAgent('changing', 'bottle: changing\nskills: [greet]', 'Be kind.');
    await update(it, id, 'retry').catch(() => undefined);
    await update(it, id, 'apply');
    await it.waitFor(id, isReady);
    it.writeBottle('changing', 'allow: [example.com]\nlimits: {lifetime: 4s, idle: 1h}');
    await update(it, id, 'apply');
    await update(it, id, 'reload');
  },
  'copied-into-and-idle': async (it, id) => {
    it.writeBottle('idle', 'limits: {idle: 1s}');
    it.writeAgent('idle', 'bottle: idle');
    await it.launch(id, { agent: 'idle', cwd: it.settings.home, copyCwd: 'all', prompt: 'Hello.' });
  },
  'held-and-aborted': async (it, id) => {
    await it.launch(id, { agent: 'hopeless' });
    await it.waitFor(id, isHeld);
    await update(it, id, 'abort');
  },
  'cancelled-while-a-step-ran': async (it, id) => {
    const worker = await it.startWorker({ at: 'bundle', when: 'after' });
    await it.launch(id, { agent: 'demo' });
    await worker.paused();
    await it.client.workflow.getHandle(id).cancel();
  },
  'cancelled-while-ready': async (it, id) => {
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    await it.client.workflow.getHandle(id).cancel();
  },
  'undo-held-and-retried': async (it, id) => {
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    const letGo = keepFromRemoval(path.join(it.settings.state, 'bottles', id));
    try {
      await update(it, id, 'stop');
      await it.waitFor(id, isHeld);
    } finally {
      letGo();
    }
    await update(it, id, 'retry');
  },
  'asked-and-granted-for-a-time': async (it, id) => {
    await it.launch(id, { agent: 'asker' });
    await it.waitFor(id, isReady);
    const ask = { host: 'some.test', methods: ['GET'], reason: 'to be recorded' };
    const { requestId } = await callTool(id, 'request_egress_route', ask);
    await it.waitFor(id, ({ requests }) => requests.length === 1);
    const answer = { request: requestId, decision: 'approve', note: 'briefly', for: '2s' };
    await it.client.workflow.getHandle(id).executeUpdate('decide', { args: [answer] });
    await it.waitFor(id, ({ phase, requests }) => phase === 'ready' && requests[0]?.state === 'expired');
    await update(it, id, 'stop');
  },
  'lost-while-held': async (it, id) => {
    await it.launch(id, { agent: 'unskilled' });
    await it.waitFor(id, isHeld);
    await docker.getContainer(`bottle-${id}-bundle`).kill();
    await it.waitFor(id, (status) => isHeld(status) && status.healings?.count === 1);
    await update(it, id, 'skip');
    await it.waitFor(id, isReady);
    await update(it, id, 'stop');
  },
  'queued-and-admitted': async (it, id) => {
    await queueBehind(it, id, 'first');
    await update(it, 'first', 'stop');
    await it.waitFor(id, isReady);
    await update(it, id, 'stop');
  },
  'queued-and-aborted': async (it, id) => {
    await queueBehind(it, id, 'first');
    await update(it, id, 'abort');
  },
  'unreadable-input': async (it, id) => {
    await it.client.workflowService.startWorkflowExecution({
      namespace: 'default',
      workflowId: id,
      requestId: id,
      workflowType: { name: 'BottleLaunch' },
      taskQueue: { name: taskQueueOf(HOST) },
      input: { payloads: [{ metadata: { encoding: Buffer.from('binary/unknown') }, data: Buffer.from('?') }] },
    });
  },
};

const named = process.argv.slice(2);
for (const [id, play] of Object.entries(SCENARIOS)) {
  if (named.length > 0 && !named.includes(id)) continue;
  const it = await installation({ host: HOST });
  try {
    it.writeBottle('closed', 'allow: [example.com]');
    it.writeAgent('demo', 'bottle: closed\nskills: [greet]', 'Be kind.');
    it.writeAgent('unskilled', 'bottle: closed\nskills: [late]');
    it.writeAgent('hopeless', 'skills: [never]');
    it.writeBottle('changing', '');
    it.writeAgent('changing', 'bottle: changing\nskills: [gret]');
    it.writeBottle('asking', 'supervise: true');
    it.writeAgent('asker', 'bottle: asking');
    it.writeSkill('greet');
    // That scenario starts its own, which can be stopped inside a step.
    if (id !== 'cancelled-while-a-step-ran') await it.startWorker();
    await play(it, id);
    await it.closed(id);
    const shown = JSON.parse(await it.temporal('workflow', 'show', '--workflow-id', id, '--output', 'json')) as unknown;
    const history = withoutTraces(shown, [
      [path.dirname(it.settings.home), '/home/someone'],
      [root.replace(/\/$/, ''), '/opt/bottleworks'],
      [os.hostname(), 'somewhere'],
      [os.userInfo().username, 'someone'],
    ]);
    const file = path.join(root, 'test/fixtures/histories', `${id}.json`);
    writeFileSync(file, `${JSON.stringify(history, undefined, 1)}\n`);
    console.log(`recorded ${id}`);
  } finally {
    await it.dispose();
  }
}

/** The same history without names of the computer it was recorded on; replay does not look at what they say. */
function withoutTraces(value: unknown, names: [from: string, to: string][]): unknown {
  if (typeof value === 'string') return names.reduce((text, [from, to]) => text.replaceAll(from, to), value);
  if (Array.isArray(value)) return value.map((each) => withoutTraces(each, names));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, each]) => {
    // Payloads are base64; stack traces are long, and of no use here.
    if (key === 'stackTrace') return [key, ''];
    if (key !== 'data' || typeof each !== 'string') return [key, withoutTraces(each, names)];
    const text = withoutTraces(Buffer.from(each, 'base64').toString(), names) as string;
    return [key, Buffer.from(text).toString('base64')];
  });
  return Object.fromEntries(entries) as unknown;
}
