/** What people write changes while a launch is held or ready: just the steps whose part changed run again, or nothing does. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { WorkflowUpdateFailedError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleName, machineName } from '../../src/core/names.ts';
import type { StatusDocument } from '../../src/core/status.ts';
import { addAnswers } from '../../src/host/bottle-state.ts';
import { activityRuns, eventsOf } from '../support/events.ts';
import {
  docker,
  type Installation,
  installation,
  isHeld,
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
  worker = await it.startWorker(NOWHERE);
});
afterAll(() => it?.dispose());

let files = 0;
/** An agent in a bottle, both of names that no other test uses. */
function written(
  bottle: string,
  agent = '',
  prompt = '',
): { name: string; bottle(text: string): void; agent(text: string, prompt?: string): void } {
  files += 1;
  const name = `changing-${files}`;
  const self = {
    name,
    bottle: (text: string) => it.writeBottle(name, text),
    agent: (text: string, body = '') => it.writeAgent(name, `bottle: ${name}\n${text}`, body),
  };
  self.bottle(bottle);
  self.agent(agent, prompt);
  return self;
}

async function launched(name: string, until: (status: StatusDocument) => boolean, more: object = {}): Promise<string> {
  const id = uniqueId('change');
  await it.launch(id, { agent: name, ...more });
  await it.waitFor(id, until);
  return id;
}

const update = (id: string, name: string): Promise<unknown> => it.client.workflow.getHandle(id).executeUpdate(name);

/** What an update was refused with. */
async function refusal(id: string, name: string): Promise<{ code: string; message: string; hint?: string }> {
  const error = (await update(id, name).catch((thrown: unknown) => thrown)) as WorkflowUpdateFailedError;
  expect(error.name).toBe('WorkflowUpdateFailedError');
  return (error.cause as unknown as { details: [{ code: string; message: string }] }).details[0];
}

const activities = async (id: string): Promise<string[]> =>
  activityRuns(await eventsOf(it.client, id)).map(({ activity }) => activity);

const inMachine = async (id: string, ...argv: string[]): Promise<string> =>
  (await runIn({ docker }, machineName(id), argv, 'agent')).stdout;

const made = async (id: string): Promise<string[]> =>
  Promise.all([bundleName(id), machineName(id)].map(async (name) => (await docker.getContainer(name).inspect()).Id));

describe('a launch held on a wrong skill name', () => {
  test('is ready after the file is mended and the step retried: nothing else runs again', async () => {
    it.writeSkill('greeting');
    const agent = written('supervise: true', 'skills: [greting]');
    const id = await launched(agent.name, isHeld);
    const before = await activities(id);
    const containers = await made(id);

    agent.agent('skills: [greeting]');
    expect(await update(id, 'retry')).toBe('retry: provision.skills');
    await it.waitFor(id, isReady);

    expect((await activities(id)).slice(before.length)).toEqual(['provision.skills', 'check']);
    expect(await made(id)).toEqual(containers);
    expect(await inMachine(id, 'ls', '/home/agent/.claude/skills')).toBe('greeting\n');
    expect(await it.down(id)).toEqual([]);
  });

  test('hears what else has changed that was already built, and is none the worse for it', async () => {
    const agent = written('resources: {cpus: 1}', 'skills: [absent]');
    const id = await launched(agent.name, isHeld);
    const before = await activities(id);

    agent.bottle('resources: {cpus: 2}\nallow: [example.com]');
    expect(await refusal(id, 'retry')).toEqual({
      code: 'PLAN_CHANGED',
      message:
        'the manifest has changed in allow, resources.cpus (1 -> 2): bundle, machine.create were made from what it said before',
      hint: `bottle up ${agent.name} --name ${id} --replace makes it anew`,
    });
    agent.bottle('resources: {cpus: 1');
    expect(await refusal(id, 'retry')).toMatchObject({ code: 'MANIFEST_INVALID' });
    expect((await it.status(id)).phase).toBe('held');
    expect(await activities(id)).toEqual(before);

    agent.bottle('resources: {cpus: 1}');
    it.writeSkill('absent');
    expect(await update(id, 'retry')).toBe('retry: provision.skills');
    await it.waitFor(id, isReady);
    expect(await it.down(id)).toEqual([]);
  });

  test('takes everything over with apply, what is done included', async () => {
    it.writeSkill('greeting');
    const agent = written('supervise: true', 'skills: [greting]');
    const id = await launched(agent.name, isHeld);
    const before = await activities(id);
    agent.bottle('supervise: true\nallow: [example.com]');
    agent.agent('skills: [greeting]', 'Be kind.');
    expect(await refusal(id, 'retry')).toMatchObject({
      code: 'PLAN_CHANGED',
      hint: expect.stringContaining(`bottle apply ${id}`),
    });
    expect(await update(id, 'apply')).toBe('apply: provision.skills, bundle, provision.prompt, provision.agent');
    await it.waitFor(id, isReady);
    expect((await activities(id)).slice(before.length).sort()).toEqual([
      'bundle',
      'check',
      'provision.agent',
      'provision.prompt',
      'provision.skills',
    ]);
    expect(await inMachine(id, 'cat', '/home/agent/.bottle/prompt.md')).toBe('Be kind.');
    expect(await it.down(id)).toEqual([]);
  });
});

describe('a ready bottle', () => {
  const route = (host: string): string => `    - {host: ${host}, matches: [{methods: [GET]}]}`;

  test('gets one more route by apply, which reloads egress and touches nothing else', async () => {
    const agent = written(`egress:\n  routes:\n${route('one.test')}`);
    const id = await launched(agent.name, isReady);
    const [before, containers] = [await activities(id), await made(id)];
    agent.bottle(`egress:\n  routes:\n${route('one.test')}\n${route('two.test')}`);
    expect(await update(id, 'apply')).toBe('apply: bundle');
    await it.waitFor(id, isReady);
    const { routes } = JSON.parse(await inMachine(id, 'curl', '-s', 'http://egress:9099/')) as {
      routes: { id: string }[];
    };
    expect(routes.map((each) => each.id)).toEqual(['one.test', 'two.test']);
    expect((await activities(id)).slice(before.length)).toEqual(['bundle']);
    expect(await made(id)).toEqual(containers);
    expect(await update(id, 'apply')).toBe('apply: nothing has changed');
    expect(await it.down(id)).toEqual([]);
  });

  test('takes a new prompt, and loses it again, with a killed worker in between', async () => {
    const agent = written('', '', 'One.');
    const id = await launched(agent.name, isReady);
    agent.agent('', 'Two.');
    worker.pauseAt({ at: 'provision.prompt', when: 'before' });
    expect(await update(id, 'apply')).toBe('apply: provision.prompt');
    await worker.paused();
    await worker.kill();
    worker = await it.startWorker(NOWHERE);
    await it.waitFor(id, isReady);
    expect(await inMachine(id, 'cat', '/home/agent/.bottle/prompt.md')).toBe('Two.');
    agent.agent('');
    await update(id, 'apply');
    await it.waitFor(id, isReady);
    expect(await inMachine(id, 'cat', '/home/agent/.bottle/prompt.md')).toBe('');
    expect(await it.down(id)).toEqual([]);
  });

  test('refuses what only another machine could be, and goes on as it is', async () => {
    const agent = written('env: {COLOUR: red}');
    const id = await launched(agent.name, isReady);
    agent.bottle('env: {COLOUR: blue}');
    expect(await refusal(id, 'apply')).toEqual({
      code: 'PLAN_CHANGED',
      message: 'the manifest has changed in env.COLOUR (red -> blue): machine.create was made from what it said before',
      hint: `bottle up ${agent.name} --name ${id} --replace makes it anew`,
    });
    expect(await it.status(id)).toMatchObject({ phase: 'ready' });
    expect(await inMachine(id, 'printenv', 'COLOUR')).toBe('red\n');
    expect(await it.down(id)).toEqual([]);
  });

  test('has its secrets read again by reload, without a step of the machine', async () => {
    const secret = path.join(it.settings.home, 'route.key');
    writeFileSync(secret, 'first-secret-value', { mode: 0o600 });
    const auth = `auth: {scheme: Bearer, token_ref: "file:${secret}"}`;
    const agent = written(`egress: {routes: [{host: one.test, ${auth}}]}`);
    const id = await launched(agent.name, isReady);
    const [before, containers] = [await activities(id), await made(id)];
    rmSync(secret);
    expect(await update(id, 'reload')).toBe('reload: bundle');
    const held = await it.waitFor(id, isHeld);
    expect(held.steps.find(({ id: step }) => step === 'bundle')?.error).toMatchObject({
      code: 'SECRET_MISSING',
      message: expect.stringContaining(`file:${secret}`),
    });
    writeFileSync(secret, 'second-secret-value', { mode: 0o600 });
    await update(id, 'retry');
    await it.waitFor(id, isReady);
    expect((await activities(id)).slice(before.length)).toEqual(['bundle', 'bundle']);
    expect(await made(id)).toEqual(containers);
    expect(JSON.stringify(await eventsOf(it.client, id))).not.toMatch(/(first|second)-secret-value/);
    expect(await it.down(id)).toEqual([]);
  });
});

describe('limits', () => {
  test('stop a bottle when its lifetime is over, and leave nothing', async () => {
    const agent = written('limits: {lifetime: 2s}');
    const id = await launched(agent.name, isReady);
    await it.closed(id);
    const status = await it.status(id);
    const endsAt = new Date(Date.parse(status.readyAt ?? '') + 2000).toISOString();
    const limits = { lifetimeMs: 2000, idleMs: null, endsAt };
    expect(status).toMatchObject({ phase: 'stopped', stoppedBy: 'lifetime', limits });
    // Where `ls --all` reads it, without a worker.
    expect((await it.client.workflow.getHandle(id).describe()).memo).toMatchObject({ stoppedBy: 'lifetime' });
    expect((await it.client.workflow.getHandle(id).describe()).status.name).toBe('COMPLETED');
    expect(await it.leftovers(id)).toEqual([]);
  });

  test('stop one in which no command runs any more, and none in which one does', async () => {
    const agent = written('limits: {idle: 2s}');
    const [idle, busy] = await Promise.all([launched(agent.name, isReady), launched(agent.name, isReady)]);
    const work = inMachine(busy, 'sh', '-c', 'tail -f /dev/null & sleep 8; kill $!; echo done');
    await it.closed(idle);
    expect(await it.status(idle)).toMatchObject({ phase: 'stopped', stoppedBy: 'idle' });
    expect(await work).toBe('done\n');
    await it.closed(busy);
    expect(await it.leftovers(idle)).toEqual([]);
    expect(await it.leftovers(busy)).toEqual([]);
  });
});

describe('what is chosen at launch', () => {
  test('several bottles are merged, a folder is copied, a first message is kept for the agent', async () => {
    it.writeBottle('left', 'allow: [left.test]\nenv: {SIDE: left}');
    it.writeBottle('right', 'allow: [right.test]\nenv: {SIDE: right}');
    it.writeAgent('chooser', '', 'Be kind.');
    const cwd = path.join(it.settings.home, 'project');
    mkdirSync(path.join(cwd, 'build'), { recursive: true });
    writeFileSync(path.join(cwd, 'code.txt'), 'code');
    writeFileSync(path.join(cwd, 'build/out.txt'), 'out');
    writeFileSync(path.join(cwd, '.gitignore'), 'build\n');
    execFileSync('git', ['init', '--quiet', cwd]);
    const more = { bottles: ['left', 'right'], cwd, copyCwd: 'unignored', prompt: 'Hello there.' };
    const id = await launched('chooser', isReady, more);
    const { steps } = await it.status(id);
    expect(steps.map((step) => step.id)).toContain('provision.workspace');
    expect(
      (await inMachine(id, 'sh', '-c', 'ls -A; cat code.txt; printenv SIDE; cat ~/.bottle/message.md')).split('\n'),
    ).toEqual(['.git', '.gitignore', 'code.txt', 'coderight', 'Hello there.']);
    // A machine that is gone takes the copy with it.
    await docker.getContainer(machineName(id)).remove({ force: true });
    await it.waitFor(
      id,
      (status) => isReady(status) && status.steps.some((step) => step.id === 'check' && step.attempts === 2),
    );
    expect(await inMachine(id, 'cat', 'code.txt')).toBe('code');
    expect(await it.down(id)).toEqual([]);
  });

  test('an agent of the working folder is found there, and keeps to what it may', async () => {
    it.writeBottle('mine', 'allow: [mine.test]');
    const cwd = path.join(it.settings.home, 'repository');
    mkdirSync(path.join(cwd, '.bottle/agents'), { recursive: true });
    writeFileSync(path.join(cwd, '.bottle/agents/theirs.md'), '---\nbottle: mine\n---\nTheirs.');
    const id = await launched('theirs', isReady, { cwd });
    expect(await inMachine(id, 'cat', '/home/agent/.bottle/prompt.md')).toBe('Theirs.');
    expect(await it.down(id)).toEqual([]);
  });
});

describe('variables that nobody else may see', () => {
  test('hold the launch until they are answered, and are then in no history, plan or inspection', async () => {
    const agent = written('env:\n  TOKEN: "?paste the token"\n  PLAIN: text');
    const id = await launched(agent.name, isHeld);
    expect((await it.status(id)).steps.find(({ state }) => state === 'held')).toMatchObject({
      id: 'provision.agent',
      error: {
        code: 'ENV_MISSING',
        message: 'no value for TOKEN (not answered)',
        hint: `bottle retry ${id} asks for it`,
      },
    });
    const value = `it's "a" $(value)\nof two lines`;
    await addAnswers(it.settings, id, { TOKEN: value });
    await update(id, 'retry');
    await it.waitFor(id, isReady);
    expect(await inMachine(id, '/home/agent/.bottle/with-env', 'printenv', 'TOKEN')).toBe(`${value}\n`);
    expect(await inMachine(id, 'printenv', 'PLAIN')).toBe('text\n');
    const inspected = JSON.stringify(await docker.getContainer(machineName(id)).inspect());
    const history = JSON.stringify(await eventsOf(it.client, id));
    for (const text of [inspected, history, worker.log()]) expect(text).not.toContain('of two lines');
    expect(await it.down(id)).toEqual([]);
  });
});
