import { describe, expect, test } from 'vitest';
import { caEnvironment } from '../../../src/core/ca-environment.ts';
import { GUEST, type Plan } from '../../../src/core/plan.ts';
import type { RequestView } from '../../../src/core/requests.ts';
import { type LaunchContext, stepInput, undoInput } from '../../../src/core/step-input.ts';
import { LAUNCH_STEPS, launchSteps, type StepId } from '../../../src/core/steps.ts';
import { networkFacts } from '../../../src/core/subnet.ts';
import { FULL, NONE, plan } from './plan-fixture.ts';

const bottle = { id: 'demo', runId: 'run-1' };
const network = networkFacts('bottle-demo', '10.214.3.16/28');
const request: RequestView = {
  id: 'deadbeef',
  ask: { kind: 'question', question: 'Which?', options: [] },
  askedAt: '2026-11-24T10:00:00.000Z',
  state: 'pending',
  decidedAt: null,
  note: null,
  expiresAt: null,
  private: false,
};

const asked = { since: 1, version: 2, changed: [request], dropped: [] };

function context(made: Plan, results: Partial<Record<StepId, unknown>> = {}): LaunchContext {
  const known: Partial<Record<StepId, unknown>> = { prepare: { plan: made, uiUrl: null }, network, ...results };
  return { bottle, input: { agent: 'researcher' }, result: (step) => known[step], requests: () => asked };
}
const input = (step: StepId, made: Plan = plan(FULL)) => stepInput(step, context(made));
const machine = { bottle, driver: 'docker' };

describe('the input', () => {
  test('of prepare is what was asked for', () => {
    expect(input('prepare')).toEqual({ bottle, agent: 'researcher' });
  });

  test('of the network is where its addresses come from', () => {
    const first = { bottle, pool: '10.214.0.0/16', driver: 'docker' };
    expect(stepInput('network', context(plan(FULL), { network: undefined }))).toEqual(first);
    expect(input('network'), 'and those it had').toEqual({ ...first, subnet: network.subnet });
  });

  test('of the bundle is its plans, with what the agent has asked so far', () => {
    expect(input('bundle')).toEqual({
      bottle,
      network,
      image: 'bundle:1',
      uplink: 'company',
      scanner: 'pipelock',
      plans: FULL,
      book: asked,
    });
  });

  test('of the machine is its environment, which holds placeholders only', () => {
    expect(input('machine.create')).toMatchObject({
      ...machine,
      network,
      image: 'guest:1',
      env: { MINE: 'x', ANTHROPIC_API_KEY: 'placeholder-injected-by-egress', HTTP_PROXY: 'http://10.214.3.18:8888' },
      resources: { cpus: 2, memoryMiB: 4096, pids: 1024 },
    });
  });

  test('of the provisioners is what each writes', () => {
    expect(input('provision.ca')).toEqual({ ...machine, intercept: false });
    expect(input('provision.prompt')).toEqual({ ...machine, digest: 'p1' });
    expect(input('provision.skills')).toEqual({
      ...machine,
      skills: ['greeting'],
      digest: 's1',
      directory: '/home/agent/.claude/skills',
    });
    expect(input('provision.git')).toEqual({
      ...machine,
      network,
      repos: [{ name: 'app', upstream: 'https://git.test/app' }],
      user: { name: 'A', email: 'a@b.test' },
    });
    const superviseUrl = 'http://10.214.3.18:9100/mcp';
    expect(input('provision.supervise')).toEqual({ ...machine, url: superviseUrl });
    expect(input('provision.agent')).toEqual({
      ...machine,
      template: 'claude',
      context: {
        modelUrl: 'http://egress:9099/anthropic',
        credential: 'api_key',
        superviseUrl,
        promptEmpty: false,
        caBundle: null,
      },
      privateEnv: { TOKEN: { from: 'host', variable: 'HOST_TOKEN' } },
      message: null,
    });
  });

  test('of the agent has its first message, and the CA where its traffic is read', () => {
    const pipelock = { allow: ['a.test'], intercept: true };
    const read = plan({ ...FULL, pipelock }, { message: 'Begin.' });
    expect(input('provision.agent', read)).toMatchObject({
      message: 'Begin.',
      context: { caBundle: '/etc/ssl/certs/ca-certificates.crt' },
    });
    expect(input('provision.ca', read)).toEqual({ ...machine, intercept: true });
  });

  test('of the machine, of its CAs and of the agent has what the network of the host is to be trusted for', () => {
    const company = plan({ ...FULL, ca: '/corp.pem', caDigest: 'c1' });
    expect(input('provision.ca', company)).toEqual({
      ...machine,
      intercept: false,
      ca: { file: '/corp.pem', digest: 'c1' },
    });
    expect(input('machine.create', company)).toMatchObject({ env: caEnvironment() });
    expect(input('provision.agent', company)).toMatchObject({ context: { caBundle: GUEST.caBundle } });
  });

  test('of the workspace is the folder, where there is one to copy', () => {
    expect(input('provision.workspace')).toBeUndefined();
    const copied = plan(FULL, { workspace: { folder: '/home/me/app', gitignore: true } });
    expect(input('provision.workspace', copied)).toEqual({ ...machine, folder: '/home/me/app', gitignore: true });
  });

  test('of the check is what must be reached, and what must be nowhere', () => {
    expect(input('check')).toEqual({
      ...machine,
      network,
      daemons: ['pipelock', 'egress', 'git-gate', 'supervise'],
      scanner: 'pipelock',
      template: 'claude',
      allow: ['a.test'],
      secrets: ['env:KEY', 'file:/run/token'],
    });
  });

  test('of a bottle with the proxy alone has nothing of the other daemons', () => {
    const simple = plan(NONE);
    expect(input('provision.git', simple)).toMatchObject({ repos: [] });
    expect(input('provision.supervise', simple)).toEqual({ ...machine, url: null });
    expect(input('provision.agent', simple)).toMatchObject({
      context: { modelUrl: null, credential: null, superviseUrl: null },
    });
    expect(input('check', simple)).toMatchObject({ daemons: ['pipelock'], secrets: [] });
  });

  test('is not there while an earlier result is missing', () => {
    for (const { id } of LAUNCH_STEPS) {
      const nothing = stepInput(id, context(plan(FULL), { prepare: undefined, network: undefined }));
      const noNetwork = stepInput(id, context(plan(FULL), { network: undefined }));
      expect([id, nothing === undefined]).toEqual([id, id !== 'prepare']);
      expect([id, noNetwork === undefined]).toEqual([id, id !== 'prepare' && id !== 'network']);
    }
  });

  test('is plain JSON, as all that a history keeps', () => {
    for (const { id } of LAUNCH_STEPS) expect(JSON.parse(JSON.stringify(input(id)))).toEqual(input(id));
  });

  test('holds no reference to a secret where only the bundle needs it', () => {
    const secretive = LAUNCH_STEPS.map(({ id }) => id).filter((id) => JSON.stringify(input(id)).includes('env:KEY'));
    expect(secretive).toEqual(['bundle', 'check']);
  });

  test('is one for every step of a launch', () => {
    const copied = plan(FULL, { workspace: { folder: '/app', gitignore: false } });
    for (const { id } of launchSteps({ copyCwd: 'all' })) {
      expect([id, input(id as StepId, copied) === undefined]).toEqual([id, false]);
    }
  });
});

test('a machine without a network finds the bundle on its own loopback, and its bridge gives the host no way in', () => {
  const of = (step: StepId) => input(step, plan(FULL, { driver: 'smolvm', link: 'sockets' }));
  expect(of('network')).toMatchObject({ driver: 'smolvm', link: 'sockets' });
  expect(of('machine.create')).toMatchObject({
    link: 'sockets',
    network,
    env: { HTTP_PROXY: 'http://127.0.0.1:8888' },
  });
  expect(of('bundle')).toMatchObject({ network });
  for (const step of ['provision.git', 'provision.supervise', 'provision.agent', 'check'] as const) {
    expect(JSON.stringify(of(step))).not.toContain(network.bundleIp);
  }
});

test('an undo knows the driver from the plan, else from what was asked for, else the usual one', () => {
  const asked = (driver?: 'smolvm'): LaunchContext => ({
    ...context(plan(FULL), { prepare: undefined }),
    input: { agent: 'researcher', ...(driver === undefined ? {} : { driver }) },
  });
  expect(undoInput(context(plan(FULL, { driver: 'smolvm' })))).toEqual({ bottle, driver: 'smolvm' });
  expect(undoInput(asked('smolvm'))).toEqual({ bottle, driver: 'smolvm' });
  expect(undoInput(asked())).toEqual({ bottle, driver: 'docker' });
});

describe('of an adopted bottle', () => {
  const madeBy = { owner: 'gone/default', run: 'run-0' };
  const adopted = (results: Partial<Record<StepId, unknown>> = {}): LaunchContext =>
    context(plan(FULL), { prepare: { plan: plan(FULL), uiUrl: null, madeBy }, ...results });

  test('every step and undo is told who made it', () => {
    for (const { id } of LAUNCH_STEPS.filter((step) => step.id !== 'prepare'))
      expect(stepInput(id, adopted())?.bottle ?? { madeBy }, id).toMatchObject({ madeBy });
    expect(undoInput(adopted()).bottle).toEqual({ ...bottle, madeBy });
  });

  test('what the agent may have changed stays the first time, and is written when it is provisioned again', () => {
    for (const step of ['provision.skills', 'provision.agent'] as const) {
      expect(stepInput(step, adopted()), step).toMatchObject({ keeps: true });
      expect(stepInput(step, adopted({ [step]: null })), step).not.toHaveProperty('keeps');
      expect(stepInput(step, context(plan(FULL))), step).not.toHaveProperty('keeps');
    }
  });
});
