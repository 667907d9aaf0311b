/**
 * Plays a graph runner against a model host: outcomes come from a script, fast-check's scheduler decides which of the
 * things in flight settles next, and people decide in between. What happened is kept as a journal to judge afterwards.
 */
import { setImmediate as digested } from 'node:timers/promises';
import fc from 'fast-check';
import type { ErrorView } from '../../../src/core/errors.ts';
import {
  type Decision,
  type Ending,
  type GraphPorts,
  GraphRunner,
  type GraphSnapshot,
  type StepOutcome,
} from '../../../src/core/graph-runner.ts';
import type { Phase, StepStatus } from '../../../src/core/status.ts';
import type { StepSpec } from '../../../src/core/steps.ts';

/** How one run (or undo) ends, and whether it changes the host before it does. */
export interface Scripted {
  readonly kind: 'ok' | 'fails' | 'lost';
  readonly acts: boolean;
  readonly attempts: number;
  /** When asked to end, it does: as cancelled. Otherwise it ends as it would have. */
  readonly heedsCancel: boolean;
}

export interface PlayedStep extends StepSpec {
  /** One entry for each run; what comes after the last succeeds. */
  readonly runs: readonly Scripted[];
  readonly undos: readonly Scripted[];
}

export interface Choice {
  readonly decision: Decision;
  readonly target: 'all' | 'held' | 'any';
  readonly pick: number;
  /** Names the step by its compensation. */
  readonly byUndo: boolean;
}

export type Command = Choice | { readonly stop: 'stopped' | 'cancelled' };

export interface Scenario {
  readonly steps: readonly PlayedStep[];
  /** Sent one after the other, between any two events. */
  readonly anytime: readonly Command[];
  /** Sent when nothing is in flight and something is held; then the launch is stopped, and held undos are retried. */
  readonly whenHeld: readonly Choice[];
  /** At every rest another runner takes over, from what the one before knew, as JSON. */
  readonly handedOn: boolean;
}

export interface View {
  readonly phase: Phase;
  readonly held: readonly string[];
  readonly steps: readonly StepStatus[];
  readonly readyAt: number | undefined;
  readonly values: readonly unknown[];
}

export type Entry = { readonly now: number } & (
  | { readonly at: 'run' | 'undo'; readonly step: string }
  | { readonly at: 'ran' | 'undid'; readonly step: string; readonly outcome: StepOutcome }
  | { readonly at: 'cancelRunning' }
  | { readonly at: 'publish'; readonly view: View }
  | {
      readonly at: 'decide';
      readonly decision: Decision;
      readonly target: string | undefined;
      readonly refusal: string | undefined;
    }
  | { readonly at: 'stop'; readonly kind: 'stopped' | 'cancelled' }
  /** A command was taken (the ids it was taken for) or refused. */
  | { readonly at: 'answer'; readonly took: readonly string[] | undefined; readonly thrown: string | undefined }
  | { readonly at: 'ended'; readonly ending: Ending }
  /** An event and all that followed from it is digested. */
  | { readonly at: 'quiet'; readonly view: View }
  /** Nothing is in flight, nothing is held, and it is neither ready nor over; or it never ends. */
  | { readonly at: 'stuck'; readonly why: string }
);

type WithoutNow<T> = T extends unknown ? Omit<T, 'now'> : never;

export interface Play {
  readonly journal: readonly Entry[];
  /** The steps whose traces are on the host at the end. */
  readonly host: ReadonlySet<string>;
}

const MANY_EVENTS = 1000;

export async function play(scenario: Scenario, scheduler: fc.Scheduler): Promise<Play> {
  const { steps } = scenario;
  const journal: Entry[] = [];
  const host = new Set<string>();
  let now = 1_000_000;
  let cancelAsked = false;
  const note = (entry: WithoutNow<Entry>): void => {
    journal.push({ now, ...entry } as Entry);
  };

  const run = scriptedPort('run', (step) => step.runs);
  const undo = scriptedPort('undo', (step) => step.undos);
  const ports: GraphPorts = {
    run,
    undo,
    cancelRunning: () => {
      cancelAsked = true;
      note({ at: 'cancelRunning' });
    },
    publish: () => note({ at: 'publish', view: view() }),
    now: () => now,
  };
  let runner = new GraphRunner(steps, ports);
  let ended = false;
  begin(runner);
  scheduler.scheduleSequence(
    scenario.anytime.map((command) => ({
      builder: async () => send(command),
      label: JSON.stringify(command),
    })),
  );

  const whenHeld = [...scenario.whenHeld];
  await quiet();
  for (let events = 0; !ended || scheduler.count() > 0; events++) {
    if (events === MANY_EVENTS) return stuck('it never ends');
    now += 1;
    if (scenario.handedOn && runner.isAtRest) {
      begin(new GraphRunner(steps, ports, JSON.parse(JSON.stringify(runner.snapshot())) as GraphSnapshot));
    }
    if (scheduler.count() > 0) await scheduler.waitNext(1);
    else if (runner.phase === 'ready') send({ stop: 'stopped' });
    else if (runner.held().length === 0) return stuck(`nothing happens in phase ${runner.phase}`);
    else send(whenHeld.shift() ?? closing());
    await quiet();
  }
  return { journal, host };

  function begin(next: GraphRunner): void {
    runner = next;
    void runner.run().then((ending) => {
      ended = true;
      note({ at: 'ended', ending });
    });
  }

  function scriptedPort(at: 'run' | 'undo', scriptOf: (step: PlayedStep) => readonly Scripted[]) {
    const calls = new Map<string, number>();
    return (id: string): Promise<StepOutcome> => {
      note({ at, step: id });
      const call = calls.get(id) ?? 0;
      calls.set(id, call + 1);
      const step = steps.find((candidate) => candidate.id === id) as PlayedStep;
      const scripted = scriptOf(step)[call] ?? { kind: 'ok', acts: true, attempts: 1, heedsCancel: false };
      return scheduler.schedule(Promise.resolve(), `${at} ${id}`).then(() => {
        // At the latest moment it could: an undo that did not wait for its step would miss what the step makes.
        if (scripted.acts || scripted.kind === 'ok') {
          if (at === 'undo') host.delete(id);
          else if (step.undo !== undefined) host.add(id);
        }
        const outcome = outcomeOf(scripted, at === 'run' && cancelAsked, `${at} ${id} ${call}`);
        note({ at: at === 'run' ? 'ran' : 'undid', step: id, outcome });
        return outcome;
      });
    };
  }

  function send(command: Command): void {
    if ('stop' in command) {
      note({ at: 'stop', kind: command.stop });
      runner.stop(command.stop);
      note({ at: 'answer', took: [], thrown: undefined });
      return;
    }
    const { decision } = command;
    const target = targetOf(command);
    note({ at: 'decide', decision, target, refusal: runner.refusal(decision, target) });
    try {
      note({ at: 'answer', took: runner.decide(decision, target), thrown: undefined });
    } catch (error) {
      note({ at: 'answer', took: undefined, thrown: (error as Error).message });
    }
  }

  function targetOf({ target, pick, byUndo }: Choice): string | undefined {
    const ids = target === 'held' ? runner.held() : [...steps.map(({ id }) => id), 'no-such-step'];
    const id = target === 'all' ? undefined : ids[pick % ids.length];
    return byUndo ? (steps.find((step) => step.id === id)?.undo ?? id) : id;
  }

  function closing(): Command {
    const turnedBack = runner.phase === 'held' && runner.steps().some(({ state }) => state === 'undo-held');
    return turnedBack ? { decision: 'retry', target: 'all', pick: 0, byUndo: false } : { stop: 'stopped' };
  }

  function view(): View {
    return {
      phase: runner.phase,
      held: runner.held(),
      steps: runner.steps(),
      readyAt: runner.readyAt,
      values: steps.map(({ id }) => runner.value(id)),
    };
  }

  async function quiet(): Promise<void> {
    await digested();
    note({ at: 'quiet', view: view() });
  }

  function stuck(why: string): Play {
    note({ at: 'stuck', why });
    return { journal, host };
  }
}

function outcomeOf({ kind, attempts, heedsCancel }: Scripted, cancelAsked: boolean, what: string): StepOutcome {
  if (cancelAsked && heedsCancel) return { ok: 'cancelled' };
  if (kind === 'ok') return { ok: true, attempts, value: what };
  const error: ErrorView = { code: kind === 'lost' ? 'WORKER_LOST' : 'DOCKER_ERROR', message: what };
  return { ok: false, attempts, error, ...(kind === 'lost' ? { lost: true } : {}) };
}

const scripted: fc.Arbitrary<Scripted> = fc.record({
  kind: fc.constantFrom('ok', 'fails', 'fails', 'lost'),
  acts: fc.boolean(),
  attempts: fc.integer({ min: 1, max: 3 }),
  heedsCancel: fc.boolean(),
});

export const alwaysLost = (times: number): Scripted[] =>
  Array.from({ length: times }, () => ({ kind: 'lost', acts: true, attempts: 1, heedsCancel: false }));

const script: fc.Arbitrary<readonly Scripted[]> = fc.oneof(
  { weight: 2, arbitrary: fc.constant([]) },
  { weight: 6, arbitrary: fc.array(scripted, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.integer({ min: 4, max: 11 }).map(alwaysLost) },
);

/** Acyclic graphs: each step needs any of those before it; some leave nothing behind, some yield what others need. */
const graph = (scripts: fc.Arbitrary<readonly Scripted[]>): fc.Arbitrary<PlayedStep[]> =>
  fc
    .array(
      fc.record({
        needs: fc.array(fc.nat({ max: 20 }), { maxLength: 2 }),
        undo: fc.constantFrom(true, true, true, false),
        yields: fc.constantFrom(false, false, false, true),
        runs: scripts,
        undos: scripts,
      }),
      { maxLength: 6, size: 'max' },
    )
    .map((drawn) =>
      drawn.map(({ needs, undo, yields, runs, undos }, index) => ({
        id: `step-${index}`,
        needs: index === 0 ? [] : [...new Set(needs.map((need) => `step-${need % index}`))],
        ...(undo ? { undo: `undo-${index}` } : {}),
        ...(yields ? { yields } : {}),
        runs,
        undos,
      })),
    );

const choice = (decisions: fc.Arbitrary<Decision>): fc.Arbitrary<Choice> =>
  fc.record({
    decision: decisions,
    target: fc.constantFrom('all', 'held', 'held', 'any'),
    pick: fc.nat({ max: 20 }),
    byUndo: fc.boolean(),
  });

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 7, arbitrary: choice(fc.constantFrom('retry', 'skip', 'retry', 'skip', 'abort')) },
  { weight: 1, arbitrary: fc.record({ stop: fc.constantFrom('stopped', 'cancelled') }) },
);

export const scenario: fc.Arbitrary<Scenario> = fc.record({
  steps: graph(script),
  anytime: fc.array(command, { maxLength: 5 }),
  whenHeld: fc.array(choice(fc.constantFrom('retry', 'skip', 'retry', 'skip', 'retry', 'abort')), { maxLength: 8 }),
  handedOn: fc.boolean(),
});

/** A graph in which everything succeeds, with nobody deciding anything. */
export const calmGraph: fc.Arbitrary<PlayedStep[]> = graph(fc.constant([])).filter((steps) => steps.length > 0);
