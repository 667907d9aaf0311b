import { beforeEach, describe, expect, it } from 'vitest';
import { type Ending, type GraphPorts, GraphRunner, type StepOutcome } from '../../../src/core/graph-runner.ts';
import { LAUNCH_STEPS, type StepSpec } from '../../../src/core/steps.ts';

const DONE: StepOutcome = { ok: true, attempts: 1 };
const CANCELLED: StepOutcome = { ok: 'cancelled' };
const NO_SKILL = { code: 'SKILL_NOT_FOUND', message: 'no skill "review"', hint: 'add it' };
const FAILED: StepOutcome = { ok: false, attempts: 3, error: NO_SKILL };
const LOST: StepOutcome = {
  ok: false,
  attempts: 1,
  error: { code: 'WORKER_LOST', message: 'the worker died' },
  lost: true,
};

let runner: GraphRunner;
/** Everything in flight, in the order in which it started: a step's id, or `undo` and the id. */
let inFlight: Map<string, (outcome: StepOutcome) => void>;
let ending: Ending | undefined;
let asksToEnd: number;
let published: number;
let clock: number;

function launch(steps: readonly StepSpec[] = LAUNCH_STEPS, ports: Partial<GraphPorts> = {}): void {
  inFlight = new Map();
  ending = undefined;
  asksToEnd = 0;
  published = 0;
  clock = Date.UTC(2026, 0, 1);
  const port = (prefix: string) => (step: string) =>
    new Promise<StepOutcome>((resolve) => inFlight.set(prefix + step, resolve));
  runner = new GraphRunner(steps, {
    run: port(''),
    undo: port('undo '),
    cancelRunning: () => asksToEnd++,
    publish: () => published++,
    now: () => clock,
    ...ports,
  });
  void runner.run().then((reason) => {
    ending = reason;
  });
}

/** What is in flight once the named things have ended, one after the other. */
async function settle(outcome: StepOutcome, ...names: readonly string[]): Promise<string[]> {
  for (const name of names) {
    const resolve = inFlight.get(name);
    if (resolve === undefined) throw new Error(`${name} is not in flight; in flight: ${flying().join(', ')}`);
    inFlight.delete(name);
    resolve(outcome);
    // The runner goes on in the microtasks that follow.
    await new Promise<void>((next) => setImmediate(next));
  }
  return flying();
}

const flying = (): string[] => [...inFlight.keys()];
const step = (id: string) => runner.steps().find((candidate) => candidate.id === id);
const stateOf = (id: string) => step(id)?.state;
const PROVISION = [
  'provision.ca',
  'provision.prompt',
  'provision.skills',
  'provision.git',
  'provision.supervise',
  'provision.agent',
];
/** All but the skills. */
const OTHERS = PROVISION.filter((step) => step !== 'provision.skills');

async function untilProvision(): Promise<void> {
  await settle(DONE, 'prepare', 'network', 'bundle', 'machine.create', 'machine.start');
}

async function untilReady(): Promise<void> {
  await untilProvision();
  await settle(DONE, ...PROVISION, 'check');
}

beforeEach(() => launch());

describe('a launch', () => {
  it('starts with prepare alone, then the network', async () => {
    expect(flying()).toEqual(['prepare']);
    expect(await settle(DONE, 'prepare')).toEqual(['network']);
    expect(runner.phase).toBe('launching');
  });

  it('brings bundle and machine up side by side', async () => {
    expect(await settle(DONE, 'prepare', 'network')).toEqual(['bundle', 'machine.create']);
    expect(await settle(DONE, 'machine.create')).toEqual(['bundle', 'machine.start']);
  });

  it('provisions at the same time, once both bundle and machine are there', async () => {
    expect(await settle(DONE, 'prepare', 'network', 'machine.create', 'machine.start')).toEqual(['bundle']);
    expect(await settle(DONE, 'bundle')).toEqual(PROVISION);
  });

  it('checks last and is then ready', async () => {
    await untilProvision();
    expect(await settle(DONE, ...OTHERS)).toEqual(['provision.skills']);
    expect(await settle(DONE, 'provision.skills')).toEqual(['check']);
    expect(runner.readyAt).toBeUndefined();
    clock += 1500;
    expect(await settle(DONE, 'check')).toEqual([]);
    expect(runner.phase).toBe('ready');
    expect(runner.readyAt).toBe(clock);
    expect(ending).toBeUndefined();
  });

  it('with no steps at all is ready at once and ends when it is stopped', async () => {
    launch([]);
    expect(runner.phase).toBe('ready');
    runner.stop('stopped');
    await settle(DONE);
    expect(ending).toEqual({ kind: 'stopped' });
  });

  it('is refused when a step needs one that does not come before it', () => {
    const unordered = [
      { id: 'a', needs: ['b'] },
      { id: 'b', needs: [] },
    ];
    expect(() => launch(unordered)).toThrow('step a needs b, which does not come before it');
  });

  it('shows when each step first started, how long its last run took, and how often it was started', async () => {
    const began = new Date(clock).toISOString();
    clock += 80;
    await settle({ ok: true, attempts: 2, value: 'a plan' }, 'prepare');
    expect(step('prepare')).toEqual({ id: 'prepare', state: 'done', attempts: 2, startedAt: began, durationMs: 80 });
    expect(step('network')).toEqual({
      id: 'network',
      state: 'running',
      attempts: 1,
      startedAt: new Date(clock).toISOString(),
    });
    expect(step('check')).toEqual({ id: 'check', state: 'pending', attempts: 0 });
    expect(runner.value('prepare')).toBe('a plan');
    expect(runner.value('network')).toBeUndefined();
  });
});

describe('a step that failed', () => {
  it('is held with its error, while its siblings go on', async () => {
    await untilProvision();
    expect(await settle(FAILED, 'provision.skills')).toEqual(OTHERS);
    expect(runner.phase).toBe('held');
    expect(runner.held()).toEqual(['provision.skills']);
    expect(step('provision.skills')).toMatchObject({ state: 'held', attempts: 3, error: NO_SKILL });
    expect(await settle(DONE, ...OTHERS)).toEqual([]);
    expect(runner.phase).toBe('held');
  });

  it('runs again in place when a person says retry, and nothing else does', async () => {
    await untilProvision();
    await settle(DONE, ...OTHERS);
    await settle(FAILED, 'provision.skills');
    expect(runner.decide('retry')).toEqual(['provision.skills']);
    expect(flying()).toEqual(['provision.skills']);
    expect(step('provision.skills')).toMatchObject({ state: 'running', attempts: 4 });
    expect(step('provision.skills')).not.toHaveProperty('error');
    expect(await settle(DONE, 'provision.skills')).toEqual(['check']);
  });

  it('is retried by name without those held beside it', async () => {
    await untilProvision();
    await settle(FAILED, ...PROVISION);
    expect(runner.decide('retry', 'provision.agent')).toEqual(['provision.agent']);
    expect(flying()).toEqual(['provision.agent']);
    expect(runner.held()).toEqual(PROVISION.slice(0, -1));
    expect(runner.decide('retry')).toEqual(PROVISION.slice(0, -1));
  });

  it('counts as settled when it is skipped, and is still undone later', async () => {
    await settle(DONE, 'prepare', 'network');
    await settle(FAILED, 'bundle');
    expect(runner.decide('skip', 'bundle')).toEqual(['bundle']);
    expect(stateOf('bundle')).toBe('skipped');
    expect(await settle(DONE, 'machine.create', 'machine.start')).toEqual(PROVISION);
    await settle(DONE, ...PROVISION, 'check');
    expect(runner.phase).toBe('ready');
    runner.stop('stopped');
    expect(flying()).toContain('undo bundle');
  });

  it('cannot be skipped when later steps need its result', async () => {
    await settle(DONE, 'prepare');
    await settle(FAILED, 'network');
    const refusal = 'network cannot be skipped: later steps need what it makes';
    expect(runner.refusal('skip')).toBe(refusal);
    expect(() => runner.decide('skip', 'network')).toThrow(refusal);
    expect(runner.held()).toEqual(['network']);
  });

  it('can be named by its compensation too', async () => {
    await settle(DONE, 'prepare', 'network', 'machine.create');
    await settle(FAILED, 'machine.start');
    expect(runner.decide('retry', 'machine.stop')).toEqual(['machine.start']);
    expect(flying()).toContain('machine.start');
  });

  it('is the only one that a decision can name', async () => {
    expect(runner.refusal('retry')).toBe('no step is held');
    expect(runner.refusal('retry', 'prepare')).toBe('no step is held');
    await untilProvision();
    await settle(FAILED, 'provision.skills', 'provision.agent');
    expect(runner.refusal('skip', 'check')).toBe('step check is not held; held: provision.skills, provision.agent');
    expect(() => runner.decide('abort', 'check')).toThrow('step check is not held');
    expect(runner.phase).toBe('held');
  });

  it('says why when it was cut short by something other than a cancel', async () => {
    await settle(CANCELLED, 'prepare');
    expect(step('prepare')?.error).toEqual({ code: 'INTERNAL', message: 'the step was interrupted' });
    runner.decide('abort');
    await settle(DONE, 'undo prepare');
    expect(ending).toMatchObject({ kind: 'aborted', step: 'prepare', error: { code: 'INTERNAL' } });
  });
});

it('given up while it waits for room, it is undone, and ends as aborted for that reason', async () => {
  const error = { code: 'HOST_FULL' as const, message: 'no room' };
  runner.giveUp('prepare', error);
  await settle(CANCELLED, 'prepare');
  await settle(DONE, 'undo prepare');
  expect(ending).toEqual({ kind: 'aborted', step: 'prepare', error });
});

describe('a step whose process died', () => {
  it('runs again without asking anybody', async () => {
    expect(await settle(LOST, 'prepare')).toEqual(['prepare']);
    expect(step('prepare')).toMatchObject({ state: 'running', attempts: 2 });
    expect(await settle(DONE, 'prepare')).toEqual(['network']);
  });

  it('is held after the fifth time in a row, and a retry gives it five more', async () => {
    expect(await settle(LOST, 'prepare', 'prepare', 'prepare', 'prepare')).toEqual(['prepare']);
    expect(await settle(LOST, 'prepare')).toEqual([]);
    expect(step('prepare')).toMatchObject({ state: 'held', attempts: 5, error: { code: 'WORKER_LOST' } });
    runner.decide('retry');
    expect(await settle(LOST, 'prepare', 'prepare', 'prepare', 'prepare')).toEqual(['prepare']);
  });

  it('is undone by an undo that has five times of its own', async () => {
    await settle(LOST, 'prepare', 'prepare', 'prepare', 'prepare', 'prepare');
    runner.decide('abort');
    const undo = 'undo prepare';
    expect(await settle(LOST, undo, undo, undo, undo)).toEqual([undo]);
    expect(await settle(LOST, undo)).toEqual([]);
    expect(stateOf('prepare')).toBe('undo-held');
  });

  it('does not run again once the launch is on its way back', async () => {
    runner.stop('stopped');
    expect(await settle(LOST, 'prepare')).toEqual(['undo prepare']);
  });
});

describe('a ready bottle that is stopped', () => {
  beforeEach(untilReady);

  it('is undone in reverse order of need, what nothing needs any more at the same time', async () => {
    runner.stop('stopped');
    expect(runner.phase).toBe('stopping');
    expect(flying()).toEqual(['undo machine.start', 'undo bundle']);
    expect(await settle(DONE, 'undo bundle')).toEqual(['undo machine.start']);
    expect(await settle(DONE, 'undo machine.start')).toEqual(['undo machine.create']);
    expect(await settle(DONE, 'undo machine.create')).toEqual(['undo network']);
    expect(await settle(DONE, 'undo network')).toEqual(['undo prepare']);
    expect(ending).toBeUndefined();
    expect(await settle(DONE, 'undo prepare')).toEqual([]);
    expect(ending).toEqual({ kind: 'stopped' });
    expect(runner.phase).toBe('stopped');
    expect(new Set(runner.steps().map(({ state }) => state))).toEqual(new Set(['undone']));
  });

  it('keeps its first reason and undoes nothing twice, however often it is stopped', async () => {
    runner.stop('cancelled');
    runner.stop('stopped');
    expect(asksToEnd).toBe(1);
    expect(flying()).toEqual(['undo machine.start', 'undo bundle']);
    await settle(
      DONE,
      ...['bundle', 'machine.start', 'machine.create', 'network', 'prepare'].map((id) => `undo ${id}`),
    );
    expect(ending).toEqual({ kind: 'cancelled' });
    runner.stop('stopped');
    expect(flying()).toEqual([]);
    expect(runner.phase).toBe('stopped');
  });

  it('holds an undo that fails, goes on with the others, and undoes it again when a person says retry', async () => {
    runner.stop('stopped');
    await settle(FAILED, 'undo bundle');
    expect(runner.phase).toBe('held');
    expect(step('bundle')).toMatchObject({ state: 'undo-held', error: NO_SKILL });
    expect(await settle(DONE, 'undo machine.start')).toEqual(['undo machine.create']);
    expect(await settle(DONE, 'undo machine.create')).toEqual([]);
    expect(runner.refusal('abort')).toBe('it is being undone already: retry or skip instead');
    expect(runner.decide('retry', 'bundle.remove')).toEqual(['bundle']);
    expect(step('bundle')).not.toHaveProperty('error');
    expect(await settle(DONE, 'undo bundle')).toEqual(['undo network']);
  });

  it('is at rest though a step that was held before has yet to be undone', async () => {
    runner.rebuild(['network'], () => true);
    await settle(FAILED, 'network');
    runner.stop('stopped');
    expect([stateOf('network'), runner.isAtRest]).toEqual(['pending', false]);
    await settle(FAILED, 'undo machine.start', 'undo bundle');
    expect([stateOf('network'), runner.isAtRest, runner.phase]).toEqual(['pending', true, 'held']);
    runner.decide('retry');
    await settle(DONE, 'undo machine.start', 'undo bundle', 'undo machine.create', 'undo network', 'undo prepare');
    expect(ending).toEqual({ kind: 'stopped' });
  });

  it('leaves to a person what the skipped undo left, and goes on', async () => {
    runner.stop('stopped');
    await settle(DONE, 'undo machine.start', 'undo bundle', 'undo machine.create');
    await settle(FAILED, 'undo network');
    expect(runner.decide('skip')).toEqual(['network']);
    expect(stateOf('network')).toBe('skipped');
    expect(await settle(DONE, 'undo prepare')).toEqual([]);
    expect(ending).toEqual({ kind: 'stopped' });
  });
});

describe('an undo that may go on beside that of what needs it', () => {
  beforeEach(async () => {
    launch(LAUNCH_STEPS, { undoesBeside: (id) => id === 'prepare' });
    await untilReady();
    runner.stop('stopped');
  });

  it('begins once that has begun, and all that stood on both is gone', async () => {
    expect(flying()).toEqual(['undo machine.start', 'undo bundle']);
    expect(await settle(DONE, 'undo bundle', 'undo machine.start')).toEqual(['undo machine.create']);
    expect(await settle(DONE, 'undo machine.create')).toEqual(['undo network', 'undo prepare']);
  });

  it('neither ends the launch before the other, nor runs twice when the other is held', async () => {
    await settle(DONE, 'undo bundle', 'undo machine.start', 'undo machine.create', 'undo prepare');
    expect([flying(), ending]).toEqual([['undo network'], undefined]);
    expect(await settle(FAILED, 'undo network')).toEqual([]);
    runner.decide('retry');
    expect(flying()).toEqual(['undo network']);
    await settle(DONE, 'undo network');
    expect(ending).toEqual({ kind: 'stopped' });
  });
});

describe('a launch that is given up', () => {
  it('asks running siblings to end, and undoes nothing until they did', async () => {
    await untilProvision();
    await settle(FAILED, 'provision.skills');
    expect(runner.decide('abort')).toEqual(['provision.skills']);
    expect(asksToEnd).toBe(1);
    expect(runner.phase).toBe('stopping');
    expect(stateOf('provision.skills')).toBe('pending');
    expect(runner.held()).toEqual([]);
    expect(await settle(CANCELLED, 'provision.ca')).toEqual(OTHERS.slice(1));
    expect(await settle(DONE, ...OTHERS.slice(1))).toEqual(['undo machine.start', 'undo bundle']);
  });

  it('undoes also what was only half run, but not what never ran', async () => {
    await settle(DONE, 'prepare', 'network');
    await settle(FAILED, 'machine.create');
    runner.decide('abort');
    expect(await settle(CANCELLED, 'bundle')).toEqual(['undo machine.create', 'undo bundle']);
    await settle(DONE, 'undo machine.create', 'undo bundle', 'undo network', 'undo prepare');
    expect(ending).toEqual({ kind: 'aborted', step: 'machine.create', error: NO_SKILL });
    expect(runner.phase).toBe('failed');
    expect(stateOf('machine.start')).toBe('pending');
    expect(step('bundle')).not.toHaveProperty('error');
  });

  it('names the step that the person named, or the first one held', async () => {
    await untilProvision();
    await settle(FAILED, ...PROVISION);
    runner.decide('abort', 'provision.agent');
    runner.stop('stopped');
    await settle(
      DONE,
      ...['machine.start', 'bundle', 'machine.create', 'network', 'prepare'].map((id) => `undo ${id}`),
    );
    expect(ending).toMatchObject({ kind: 'aborted', step: 'provision.agent' });
  });

  it('publishes each change as it happens', async () => {
    const changes: number[] = [];
    const act = async (change: () => unknown): Promise<void> => {
      const before = published;
      await change();
      changes.push(published - before);
    };
    await act(() => settle(FAILED, 'prepare'));
    await act(() => runner.decide('retry'));
    await act(() => settle(FAILED, 'prepare'));
    await act(() => runner.decide('abort'));
    await act(() => settle(DONE, 'undo prepare'));
    expect(changes.every((count) => count > 0)).toBe(true);
  });
});

describe('what died while the bottle was ready', () => {
  beforeEach(async () => {
    launch();
    await settle(DONE, 'prepare', 'network', 'bundle', 'machine.create', 'machine.start', ...PROVISION, 'check');
    expect(runner.phase).toBe('ready');
  });

  it('is run again, in the order of needs, with the rest left as it is', async () => {
    const { readyAt } = runner;
    runner.renew(['bundle', 'check']);
    expect([runner.phase, flying(), stateOf('check')]).toEqual(['healing', ['bundle'], 'pending']);
    expect(await settle(DONE, 'bundle')).toEqual(['check']);
    await settle(DONE, 'check');
    expect([runner.phase, runner.readyAt]).toEqual(['ready', readyAt]);
    expect(runner.steps().map(({ attempts }) => attempts)).toEqual([1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
  });

  it('is held when it cannot be run again, and retried in place', async () => {
    runner.renew(['bundle', 'check']);
    await settle(FAILED, 'bundle');
    expect([runner.phase, runner.held()]).toEqual(['held', ['bundle']]);
    runner.decide('retry');
    await settle(DONE, 'bundle', 'check');
    expect(runner.phase).toBe('ready');
  });

  it('is undone as well when the bottle is stopped before it ran again', async () => {
    runner.renew(['machine.create', 'machine.start', ...PROVISION, 'check']);
    runner.stop('stopped');
    await settle(CANCELLED, 'machine.create');
    expect(flying()).toEqual(['undo machine.start', 'undo bundle']);
    await settle(DONE, 'undo machine.start', 'undo machine.create', 'undo bundle', 'undo network', 'undo prepare');
    expect([runner.phase, ending]).toEqual(['stopped', { kind: 'stopped' }]);
  });

  it('is run again where it was skipped too, and what needs it waits for what is below', async () => {
    runner.renew(['provision.skills', 'check']);
    await settle(FAILED, 'provision.skills');
    runner.decide('skip');
    await settle(DONE, 'check');
    expect([runner.phase, stateOf('provision.skills')]).toEqual(['ready', 'skipped']);
    runner.renew(['network', 'provision.skills', 'check']);
    expect(flying()).toEqual(['network']);
    expect(await settle(DONE, 'network')).toEqual(['provision.skills']);
    expect(await settle(DONE, 'provision.skills')).toEqual(['check']);
  });

  it('is nobody’s business any more once everything is being undone', async () => {
    runner.stop('stopped');
    const before = flying();
    runner.renew(['bundle', 'check']);
    expect(flying()).toEqual(before);
  });
});

describe('what a person wants done anew', () => {
  const READY = ['prepare', 'network', 'bundle', 'machine.create', 'machine.start', ...PROVISION, 'check'];

  it('runs again where it is done', async () => {
    launch();
    await settle(DONE, ...READY);
    runner.refresh(['bundle', 'check']);
    expect(await settle(DONE, 'bundle')).toEqual(['check']);
    await settle(DONE, 'check');
    expect(runner.phase).toBe('ready');
  });

  it('runs once more where it is under way, before what stands on it, and only once', async () => {
    launch();
    await settle(DONE, ...READY);
    runner.renew(['bundle', 'check']);
    runner.refresh(['bundle', 'check']);
    expect(await settle(DONE, 'bundle')).toEqual(['bundle']);
    expect(await settle(DONE, 'bundle')).toEqual(['check']);
    await settle(DONE, 'check');
    expect([runner.phase, step('bundle')?.attempts, step('check')?.attempts]).toEqual(['ready', 3, 2]);
  });

  it.each([LOST, FAILED])('has its one more run where the run under way fails: $error.code', async (failed) => {
    launch();
    await settle(DONE, 'prepare', 'network');
    runner.refresh(['bundle']);
    await settle(failed, 'bundle');
    expect(flying()).toContain('bundle');
    await settle(DONE, 'bundle');
    expect([stateOf('bundle'), flying().includes('bundle')]).toEqual(['done', false]);
  });

  it('is left alone where it has not begun, and while everything is being undone', async () => {
    launch();
    runner.refresh(['bundle', 'check']);
    expect(flying()).toEqual(['prepare']);
    await settle(DONE, ...READY);
    expect([runner.phase, step('bundle')?.attempts]).toEqual(['ready', 1]);
    runner.stop('stopped');
    const before = flying();
    runner.refresh(['bundle', 'check']);
    expect(flying()).toEqual(before);
  });
});

describe('what dies while the launch is not ready', () => {
  const BUNDLE_DIED = ['bundle', 'check'];
  const MACHINE_GONE = ['machine.create', 'machine.start', ...PROVISION, 'check'];
  const NOT_RUNNING: StepOutcome = {
    ok: false,
    attempts: 3,
    error: { code: 'MACHINE_NOT_RUNNING', message: 'the machine is not there' },
  };
  const yes = () => true;
  const never = (): boolean => {
    throw new Error('nobody has to be asked');
  };

  it('may be told of with a step that this launch has not, which never stands', async () => {
    await untilProvision();
    expect(runner.stands('provision.workspace')).toBe(false);
    runner.rebuild(['provision.workspace', ...BUNDLE_DIED], yes);
    expect(stateOf('bundle')).toBe('running');
  });

  it('under a step that fails for it is made again, and the step runs on it', async () => {
    await untilProvision();
    await settle(DONE, ...PROVISION);
    runner.rebuild(BUNDLE_DIED, yes);
    expect(flying()).toEqual(['check', 'bundle']);
    expect(await settle(NOT_RUNNING, 'check')).toEqual(['bundle']);
    expect(stateOf('check')).toBe('pending');
    expect(await settle(DONE, 'bundle')).toEqual(['check']);
    await settle(DONE, 'check');
    expect(runner.phase).toBe('ready');
  });

  it('takes the work of steps with it that were under way in it, even of those that end well', async () => {
    await untilProvision();
    await settle(DONE, ...OTHERS.slice(1));
    runner.rebuild(MACHINE_GONE, yes);
    expect(flying()).toEqual(['provision.ca', 'provision.skills', 'machine.create']);
    expect(await settle(DONE, 'provision.ca')).toEqual(['provision.skills', 'machine.create']);
    expect(await settle(NOT_RUNNING, 'provision.skills')).toEqual(['machine.create']);
    expect(await settle(DONE, 'machine.create', 'machine.start')).toEqual(PROVISION);
  });

  it('leaves alone what was under way beside it and ends well', async () => {
    await untilProvision();
    runner.rebuild(BUNDLE_DIED, yes);
    await settle(DONE, ...PROVISION);
    expect([flying(), stateOf('provision.ca')]).toEqual([['bundle'], 'done']);
    expect(await settle(DONE, 'bundle')).toEqual(['check']);
  });

  it('is made again under a held step; one that another attempt may mend runs again, any other waits for a person', async () => {
    await untilProvision();
    await settle(FAILED, 'provision.skills');
    await settle(NOT_RUNNING, 'provision.agent');
    await settle(DONE, ...OTHERS.filter((id) => id !== 'provision.agent'));
    runner.rebuild(MACHINE_GONE, yes);
    expect([runner.held(), flying()]).toEqual([['provision.skills'], ['machine.create']]);
    expect(await settle(DONE, 'machine.create', 'machine.start')).toEqual(OTHERS);
  });

  it('is just what is not there: what is being made is not made twice', async () => {
    await settle(DONE, 'prepare', 'network', 'bundle');
    expect(runner.stands('provision.workspace'), 'a step that this launch has not').toBe(false);
    runner.rebuild([...MACHINE_GONE, 'provision.workspace'], never);
    expect(flying()).toEqual(['machine.create']);
    await settle(DONE, 'machine.create', 'machine.start', ...PROVISION, 'check');
    expect(runner.phase).toBe('ready');
  });

  it('changes nothing but what is done where steps that are not may not be run again', async () => {
    await untilProvision();
    await settle(DONE, ...PROVISION);
    runner.rebuild(BUNDLE_DIED, () => false);
    await settle(NOT_RUNNING, 'check');
    expect(runner.held()).toEqual(['check']);
  });

  it('can wait before it is made again', async () => {
    await untilReady();
    runner.rebuild(BUNDLE_DIED, never, false);
    expect([runner.phase, flying()]).toEqual(['healing', []]);
    runner.proceed();
    expect(flying()).toEqual(['bundle']);
  });

  it('is nobody’s business any more once everything is being undone', async () => {
    await untilReady();
    runner.stop('stopped');
    const before = flying();
    runner.rebuild(BUNDLE_DIED, yes);
    expect(flying()).toEqual(before);
  });
});

describe('a step whose making nobody can look after any more', () => {
  const GONE = { code: 'DRIVER_UNAVAILABLE', message: 'smolvm is not on this host' };

  it('is held with the reason, and a retry runs it alone', async () => {
    await untilReady();
    runner.blame('machine.start', GONE);
    expect(runner.phase).toBe('held');
    expect(step('machine.start')).toMatchObject({ state: 'held', error: GONE });
    expect([runner.stands('machine.start'), runner.stands('check')]).toEqual([false, true]);
    runner.decide('retry');
    expect(flying()).toEqual(['machine.start']);
    await settle(DONE, 'machine.start');
    expect([runner.phase, runner.stands('machine.start')]).toEqual(['ready', true]);
  });

  it('can be skipped and aborted too', async () => {
    await untilReady();
    runner.blame('machine.start', GONE);
    runner.decide('skip');
    expect([runner.phase, runner.stands('machine.start')]).toEqual(['ready', true]);
    runner.blame('machine.start', GONE);
    runner.decide('abort');
    expect(runner.phase).toBe('stopping');
  });

  it('is left alone while it is under way, held already, or being undone', async () => {
    await settle(DONE, 'prepare', 'network');
    runner.blame('bundle', GONE);
    expect(stateOf('bundle')).toBe('running');
    await settle(FAILED, 'bundle');
    runner.blame('bundle', GONE);
    expect(step('bundle')?.error).toEqual(NO_SKILL);
    runner.stop('stopped');
    runner.blame('network', GONE);
    expect(step('network')?.error).toBeUndefined();
  });
});

describe('what a launch knows', () => {
  it('is handed on at rest only, and to a launch of the same steps', async () => {
    expect(runner.isAtRest).toBe(false);
    expect(() => runner.snapshot()).toThrow('a launch that moves cannot be handed on');
    await settle(FAILED, 'prepare');
    expect(runner.isAtRest).toBe(true);
    const known = runner.snapshot();
    const other = LAUNCH_STEPS.slice(0, -1);
    const ports = { run: never, undo: never, cancelRunning: () => {}, publish: () => {}, now: () => 0 };
    expect(() => new GraphRunner(other, ports, known)).toThrow('these are other steps');
    expect(new GraphRunner(LAUNCH_STEPS, ports, known).steps()).toEqual(runner.steps());
  });
});

const never = (): Promise<never> => new Promise(() => undefined);

describe('a launch whose manifest has changed', () => {
  it('gives the steps that start from now on another result of one that is done', async () => {
    await settle({ ok: true, attempts: 1, value: 'one' }, 'prepare');
    const before = published;
    runner.amend('prepare', 'other');
    expect(runner.value('prepare')).toBe('other');
    expect([flying(), published, stateOf('prepare')]).toEqual([['network'], before, 'done']);
  });

  it('knows what is made: done, under way, or skipped, but not what waits or is held', async () => {
    expect(runner.built()).toEqual(['prepare']);
    await settle(DONE, 'prepare', 'network');
    await settle(FAILED, 'bundle');
    runner.decide('skip');
    expect(runner.built()).toEqual(['prepare', 'network', 'bundle', 'machine.create']);
    await settle(DONE, 'machine.create', 'machine.start');
    await settle(FAILED, 'provision.skills');
    expect(runner.built()).toEqual(
      LAUNCH_STEPS.map(({ id }) => id).filter((id) => id !== 'provision.skills' && id !== 'check') as string[],
    );
  });

  it('knows what is under way, and whether it is on its way back', async () => {
    expect([runner.isRunning('prepare'), runner.isRunning('network'), runner.isEnding]).toEqual([true, false, false]);
    await settle(DONE, 'prepare');
    expect([runner.isRunning('prepare'), runner.isRunning('network')]).toEqual([false, true]);
    runner.stop('stopped');
    expect([runner.isEnding, runner.isDone('prepare')]).toEqual([true, false]);
    await settle(CANCELLED, 'network');
    expect(runner.isRunning('network')).toBe(false);
    await settle(DONE, 'undo network', 'undo prepare');
    expect([runner.phase, runner.isEnding]).toEqual(['stopped', true]);
  });
});
