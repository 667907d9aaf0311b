import { describe, expect, test } from 'vitest';
import { type GraphPorts, GraphRunner, type StepOutcome } from '../../../src/core/graph-runner.ts';
import { detailsMarkdown, statusDocument } from '../../../src/core/launch-view.ts';
import { Observation } from '../../../src/core/observation.ts';
import type { Ask, AskedRequest } from '../../../src/core/requests.ts';
import { LAUNCH_STEPS } from '../../../src/core/steps.ts';
import { networkFacts } from '../../../src/core/subnet.ts';

const identity = {
  id: 'demo',
  runId: 'run-1',
  currentRunId: 'run-1',
  agent: 'researcher',
  host: 'mac-1',
  startedAt: new Date('2026-11-23T10:00:00Z'),
};
const values: Record<string, unknown> = {
  prepare: { plan: { driver: 'docker', scanner: 'pipelock' }, uiUrl: 'http://ui.test/demo' },
  network: networkFacts('bottle-demo', '10.214.3.16/28'),
  bundle: { container: 'bottle-demo-bundle', daemons: { pipelock: 'ready' } },
};

/** A launch whose steps end as told: well unless an outcome is given, never where it is `undefined`. */
function launch(outcomes: Record<string, StepOutcome | undefined> = {}): {
  runner: GraphRunner;
  settle(): Promise<void>;
} {
  let now = identity.startedAt.getTime();
  const end = (name: string, value?: unknown): Promise<StepOutcome> =>
    name in outcomes
      ? (Promise.resolve(outcomes[name]).then(
          (outcome) => outcome ?? new Promise(() => undefined),
        ) as Promise<StepOutcome>)
      : Promise.resolve({ ok: true, attempts: 1, value });
  const ports: GraphPorts = {
    run: (step) => end(step, values[step]),
    undo: (step) => end(`undo ${step}`),
    cancelRunning: () => undefined,
    publish: () => undefined,
    now: () => (now += 10),
  };
  const runner = new GraphRunner(LAUNCH_STEPS, ports);
  void runner.run();
  return { runner, settle: () => new Promise((resolve) => setTimeout(resolve, 20)) };
}

const failed = (message: string, hint?: string): StepOutcome => ({
  ok: false,
  attempts: 3,
  error: { code: 'SKILL_NOT_FOUND', message, ...(hint === undefined ? {} : { hint }) },
});

describe('the status document', () => {
  test('of a launch that has just begun knows nothing yet', () => {
    const { runner } = launch();
    expect(statusDocument(identity, runner)).toMatchObject({
      id: 'demo',
      agent: 'researcher',
      phase: 'launching',
      host: 'mac-1',
      driver: null,
      runId: 'run-1',
      uiUrl: null,
      startedAt: '2026-11-23T10:00:00.000Z',
      readyAt: null,
      stoppedBy: null,
      network: null,
      bundle: null,
      machine: null,
      requests: [],
    });
  });

  test('of a ready bottle has everything, and nothing that the contract does not name', async () => {
    const { runner, settle } = launch();
    await settle();
    const status = statusDocument(identity, runner);
    expect(status).toMatchObject({
      phase: 'ready',
      driver: 'docker',
      uiUrl: 'http://ui.test/demo',
      readyAt: expect.stringMatching(/^2026-11-23T10:00:00\.\d{3}Z$/),
    });
    expect(status.network).toEqual({
      name: 'bottle-demo',
      subnet: '10.214.3.16/28',
      gateway: '10.214.3.17',
      bundleIp: '10.214.3.18',
    });
    expect(status.bundle).toEqual({
      container: 'bottle-demo-bundle',
      daemons: { pipelock: 'ready' },
      scanner: 'pipelock',
      refused: [],
    });
    expect(status.machine).toEqual({ name: 'bottle-demo', state: 'running' });
    expect(status.steps.map(({ id, state }) => [id, state])).toEqual(LAUNCH_STEPS.map(({ id }) => [id, 'done']));
  });

  test('of a held launch has the error, and the machine as far as it came', async () => {
    const { runner, settle } = launch({ 'machine.start': failed('it did not start', 'look') });
    await settle();
    const status = statusDocument(identity, runner);
    expect(status.phase).toBe('held');
    expect(status.machine).toEqual({ name: 'bottle-demo', state: 'created' });
    expect(status.steps.find(({ id }) => id === 'machine.start')).toMatchObject({
      state: 'held',
      attempts: 3,
      error: { code: 'SKILL_NOT_FOUND', message: 'it did not start', hint: 'look' },
    });
  });

  test('of a stopped bottle has nothing any more, but what happened', async () => {
    const { runner, settle } = launch();
    await settle();
    runner.stop('stopped');
    await settle();
    expect(statusDocument(identity, runner)).toMatchObject({
      phase: 'stopped',
      driver: 'docker',
      network: null,
      bundle: null,
      machine: { state: 'absent' },
    });
  });

  test('of a bottle whose network cannot be removed still shows it', async () => {
    const { runner, settle } = launch({ 'undo network': failed('in use') });
    await settle();
    runner.stop('stopped');
    await settle();
    const status = statusDocument(identity, runner);
    expect([status.phase, status.bundle, status.network?.name]).toEqual(['held', null, 'bottle-demo']);
  });

  test('is plain JSON', async () => {
    const { runner, settle } = launch();
    await settle();
    const status = statusDocument(identity, runner);
    expect(JSON.parse(JSON.stringify(status))).toEqual(status);
  });
});

describe('the details for the Temporal UI', () => {
  const detailsOf = async (outcomes: Record<string, StepOutcome | undefined>, stop = false): Promise<string> => {
    const { runner, settle } = launch(outcomes);
    await settle();
    if (stop) runner.stop('stopped');
    await settle();
    return detailsMarkdown(statusDocument(identity, runner));
  };

  test('tell phase, agent and host, and every step with state, attempts and time', async () => {
    const details = await detailsOf({});
    expect(details).toMatch(/^\*\*ready\*\* · agent `researcher` on `mac-1`\n/);
    for (const { id } of LAUNCH_STEPS)
      expect(details).toMatch(new RegExp(`\\| \`${id}\` \\| done \\| 1 \\| \\d+ ms \\|`));
    expect(details).not.toContain('Held');
  });

  test('tell where and why a launch is held, and which updates decide it', async () => {
    const details = await detailsOf({ 'provision.skills': failed('no skill there', 'put it there') });
    expect(details).toContain('**Held at `provision.skills`**: `SKILL_NOT_FOUND` no skill there');
    expect(details).toContain('Hint: put it there');
    expect(details).toContain('Send the update `retry`, `skip` or `abort`.');
  });

  test('offer no abort for an undo, which is past that', async () => {
    const details = await detailsOf({ 'undo network': failed('in use') }, true);
    expect(details).toContain('**Held at `network`**');
    expect(details).toContain('send `retry` or `skip`');
    expect(details).not.toContain('abort');
  });

  test('take what an error says as text, not as markup', async () => {
    const details = await detailsOf({ bundle: failed('<b>x</b> [a](javascript:b) `c` **d** | e', '# f') });
    expect(details).toContain('\\<b\\>x\\</b\\> \\[a\\](javascript:b) \\`c\\` \\*\\*d\\*\\* \\| e');
    expect(details).toContain('Hint: \\# f');
  });
});

describe('what was heard of a bottle', () => {
  const route = (change: Partial<Extract<Ask, { kind: 'egress-route' }>> = {}): Ask => ({
    kind: 'egress-route',
    host: 'api.test',
    methods: ['GET', 'POST'],
    pathPrefix: '/v1',
    reason: 'to read',
    ...change,
  });
  const asked = (id: string, ask: Ask): AskedRequest => ({ id, ask, askedAt: '2026-11-23T10:05:00.000Z' });
  const refused = [{ route: 'anthropic', status: 401, at: '2026-11-23T10:06:00.000Z' }];

  async function shown(asks: Ask[], change: (observed: Observation) => void = () => undefined) {
    const { runner, settle } = launch();
    await settle();
    const observed = new Observation();
    observed.bundleReady({ container: 'bottle-demo-bundle', daemons: { pipelock: 'ready' } }, true);
    observed.take({
      steps: [],
      daemons: { pipelock: 'ready', egress: 'backoff' },
      asked: asks.map((ask, at) => asked(`id${at}`, ask)),
      refused,
      cursor: null,
    });
    change(observed);
    const status = statusDocument(identity, runner, observed);
    return { status, details: detailsMarkdown(status) };
  }

  test('is in the status document: daemons as they are now, refused credentials, every request', async () => {
    const { status } = await shown(
      [route(), { kind: 'question', question: 'Which?', options: ['a', 'b'] }],
      ({ book }) => {
        const verdict = { request: 'id0', approve: true, note: 'fine', forMs: 60_000, private: false };
        book.decide(verdict, Date.parse('2026-11-23T10:07:00Z'));
      },
    );
    expect(status.bundle).toMatchObject({ daemons: { pipelock: 'ready', egress: 'backoff' }, refused });
    expect(status.requests).toEqual([
      {
        ...asked('id0', route()),
        state: 'approved',
        decidedAt: '2026-11-23T10:07:00.000Z',
        note: 'fine',
        expiresAt: '2026-11-23T10:08:00.000Z',
        private: false,
      },
      {
        ...asked('id1', { kind: 'question', question: 'Which?', options: ['a', 'b'] }),
        state: 'pending',
        decidedAt: null,
        note: null,
        expiresAt: null,
        private: false,
      },
    ]);
    expect(JSON.parse(JSON.stringify(status))).toEqual(status);
  });

  test('is in the status document: which limit of its manifest ends it', async () => {
    const { status } = await shown([], (observed) => {
      observed.stoppedBy = 'idle';
    });
    expect(status.stoppedBy).toBe('idle');
  });

  test('is in the details: what waits for an answer, and which update gives it', async () => {
    const question: Ask = { kind: 'question', question: 'Which?', options: ['this', 'that'] };
    const { details } = await shown([route(), question, route({ methods: [], pathPrefix: null, reason: 'all of it' })]);
    expect(details).toContain('**Request `id0`** asks for `GET,POST api.test/v1`: to read');
    expect(details).toContain('**Request `id1`** asks: Which? (this / that)');
    expect(details).toContain('**Request `id2`** asks for `api.test`: all of it');
    expect(details).toContain('Send the update `decide` with `{"request": "id0", "decision": "approve"}`');
    expect(details).toContain('**The credential of `anthropic` was refused** by the upstream (401)');
  });

  test('and answered is no longer in the details', async () => {
    const { details } = await shown([route()], ({ book }) => {
      book.decide({ request: 'id0', approve: false, note: null, forMs: null, private: false }, 0);
    });
    expect(details).not.toContain('Request');
  });

  test('is the text of an agent: it opens no markup, in words or in a path, and begins no line', async () => {
    const words = '# a\n\n- b\n1. c\n---\n<img src=x> ![d](e) &lt;f&gt; `g` | h';
    const path = '/`<img/src=//evil.test>![x](//evil.test)``';
    const { details } = await shown([
      route({ pathPrefix: path, reason: words }),
      { kind: 'question', question: words, options: [words] },
    ]);
    const told = details.split('\n').filter((line) => line.includes('Request'));
    expect(told).toHaveLength(2);
    const safe = '\\# a - b 1. c --- \\<img src=x\\> !\\[d\\](e) \\&lt;f\\&gt; \\`g\\` \\| h';
    expect(told[0]).toBe(`**Request \`id0\`** asks for \`\`\` GET,POST api.test${path} \`\`\`: ${safe}`);
    expect(told[1]).toBe(`**Request \`id1\`** asks: ${safe} (${safe})`);
  });
});

test('the way out that the check found to lead nowhere is in the document of a bottle that is up', async () => {
  const wayOut = { host: 'api.example.com', why: 'cannot resolve api.example.com' };
  const well = launch();
  await well.settle();
  expect(statusDocument(identity, well.runner)).not.toHaveProperty('wayOut');
  const { runner, settle } = launch({ check: { ok: true, attempts: 1, value: { wayOut } } });
  await settle();
  expect(statusDocument(identity, runner)).toMatchObject({ phase: 'ready', wayOut });
  runner.stop('stopped');
  await settle();
  expect(statusDocument(identity, runner)).not.toHaveProperty('wayOut');
});
