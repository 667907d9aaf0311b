import { describe, expect, test } from 'vitest';
import type { BundlePlans } from '../../../src/core/bundle-plans.ts';
import { daemonsOf } from '../../../src/core/bundle-plans.ts';
import type { Plan } from '../../../src/core/plan.ts';
import type { RequestView } from '../../../src/core/requests.ts';
import { type LaunchContext, stepInput, undoInput } from '../../../src/core/step-input.ts';
import { LAUNCH_STEPS, type StepId } from '../../../src/core/steps.ts';
import { networkFacts } from '../../../src/core/subnet.ts';

const bottle = { id: 'demo', runId: 'run-1' };
const network = networkFacts('bottle-demo', '10.214.3.16/28');
const NONE: BundlePlans = { pipelock: { allow: ['a.test'] }, egress: null, gitGate: null, supervise: null, ca: null };
const FULL: BundlePlans = {
  ...NONE,
  egress: {
    routes: [
      {
        id: 'anthropic',
        upstream: 'https://api.anthropic.com',
        matches: [],
        auth: { scheme: 'header', header: 'x-api-key', secret: 'env:KEY' },
        private: false,
        ca: null,
      },
    ],
  },
  gitGate: {
    repos: [
      {
        name: 'app',
        upstream: 'https://git.test/app',
        key: { kind: 'token', user: 'x', secret: 'file:/run/token' },
        branches: [],
        allowForce: false,
        allowDelete: false,
        ca: null,
      },
    ],
  },
  supervise: { maxPending: 10 },
};
const plan = (bundle: BundlePlans, change: Partial<Plan> = {}): Plan => ({
  agent: 'researcher',
  driver: 'docker',
  sources: { agent: '/a.md', bottle: null },
  images: { guest: 'guest:1', bundle: 'bundle:1' },
  pool: '10.214.0.0/16',
  uplink: 'company',
  daemons: daemonsOf(bundle),
  scanner: 'pipelock',
  bundle,
  provider: { template: 'claude', credential: bundle.egress === null ? null : 'api_key' },
  git: { user: { name: 'A', email: 'a@b.test' } },
  env: { MINE: 'x' },
  resources: { cpus: 2, memoryMiB: 4096, pids: 1024 },
  prompt: { empty: false },
  skills: ['greeting'],
  guest: { skillsDirectory: '/home/agent/.claude/skills' },
  ...change,
});
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

function context(made: Plan, results: Partial<Record<StepId, unknown>> = {}): LaunchContext {
  const known: Partial<Record<StepId, unknown>> = { prepare: { plan: made, uiUrl: null }, network, ...results };
  return { bottle, input: { agent: 'researcher' }, result: (step) => known[step], requests: () => [request] };
}
const input = (step: StepId, made: Plan = plan(FULL)) => stepInput(step, context(made));
const machine = { bottle, driver: 'docker' };

describe('the input', () => {
  test('of prepare is what was asked for', () => {
    expect(input('prepare')).toEqual({ bottle, agent: 'researcher' });
  });

  test('of the network is where its addresses come from', () => {
    expect(input('network')).toEqual({ bottle, pool: '10.214.0.0/16', driver: 'docker' });
  });

  test('of the bundle is its plans, with what the agent has asked so far', () => {
    expect(input('bundle')).toEqual({
      bottle,
      network,
      image: 'bundle:1',
      uplink: 'company',
      scanner: 'pipelock',
      plans: FULL,
      requests: [request],
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
    expect(input('provision.prompt')).toEqual(machine);
    expect(input('provision.skills')).toEqual({
      ...machine,
      skills: ['greeting'],
      directory: '/home/agent/.claude/skills',
    });
    expect(input('provision.git')).toEqual({
      ...machine,
      network,
      repos: [{ name: 'app', upstream: 'https://git.test/app' }],
      user: { name: 'A', email: 'a@b.test' },
    });
    const url = 'http://10.214.3.18:9100/mcp';
    expect(input('provision.supervise')).toEqual({ ...machine, url });
    expect(input('provision.agent')).toEqual({ ...machine, url, apiKey: 'placeholder-injected-by-egress' });
  });

  test('of the check is what must be reached, and what must be nowhere', () => {
    expect(input('check')).toEqual({
      ...machine,
      network,
      daemons: ['pipelock', 'egress', 'git-gate', 'supervise'],
      scanner: 'pipelock',
      allow: ['a.test'],
      secrets: ['env:KEY', 'file:/run/token'],
    });
  });

  test('of a bottle with the proxy alone has nothing of the other daemons', () => {
    const simple = plan(NONE);
    expect(input('provision.git', simple)).toMatchObject({ repos: [] });
    expect(input('provision.supervise', simple)).toEqual({ ...machine, url: null });
    expect(input('provision.agent', simple)).toEqual({ ...machine, url: null, apiKey: null });
    expect(input('check', simple)).toMatchObject({ daemons: ['pipelock'], secrets: [] });
  });

  test('of the agent has the key of the manifest, where it brings its own', () => {
    const own = plan(NONE, { env: { ANTHROPIC_API_KEY: 'a-literal-one' } });
    expect(input('provision.agent', own)).toMatchObject({ apiKey: 'a-literal-one' });
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
