import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Phase } from '../../../src/core/status.ts';
import { Chronicle, type Known, LOST_IN_A_ROW } from './graph-chronicle.ts';
import {
  alwaysLost,
  calmGraph,
  type Entry,
  type Play,
  play,
  type Scenario,
  scenario,
  type View,
} from './graph-play.ts';

const RUNS = 500;

/** Judges the journal of any scenario in any order of events, entry by entry: `known` is what was so just before. */
function always(judge: (entry: Entry, known: Chronicle, index: number, journal: readonly Entry[]) => void) {
  return alwaysAtEnd(({ journal }, { steps }) => {
    const known = new Chronicle(steps);
    journal.forEach((entry, index) => {
      judge(entry, known, index, journal);
      known.add(entry);
    });
  });
}

function alwaysAtEnd(judge: (play: Play, scenario: Scenario, known: Chronicle) => void) {
  return fc.assert(
    fc.asyncProperty(scenario, fc.scheduler(), async (drawn, scheduler) => {
      const played = await play(drawn, scheduler);
      const known = new Chronicle(drawn.steps);
      for (const entry of played.journal) known.add(entry);
      judge(played, drawn, known);
    }),
    { numRuns: RUNS },
  );
}

const ids = (steps: readonly Known[]): string[] => steps.map(({ spec }) => spec.id);

/** What happened between a command and its answer. */
const during = (journal: readonly Entry[], index: number): readonly Entry[] =>
  journal.slice(
    index + 1,
    journal.findIndex(({ at }, other) => other > index && at === 'answer'),
  );

const answerTo = (journal: readonly Entry[], index: number): Extract<Entry, { at: 'answer' }> =>
  journal.slice(index).find((entry): entry is Extract<Entry, { at: 'answer' }> => entry.at === 'answer') as Extract<
    Entry,
    { at: 'answer' }
  >;

describe('for any graph, any outcomes in any order and any decisions at any time', () => {
  it('a step never starts before all it needs is done or skipped', () =>
    always((entry, known) => {
      if (entry.at !== 'run') return;
      const unsettled = known.needs(known.of(entry.step)).filter((need) => !known.settled(need));
      expect(ids(unsettled), `needs of ${entry.step} that are not settled as it starts`).toEqual([]);
    }));

  it('a step runs once, and again only when it was lost or a person retried it: what is done is never redone', () =>
    always((entry, known) => {
      if (entry.at !== 'run') return;
      const { forward, skipped } = known.of(entry.step);
      expect(['not yet', 'again'], `${entry.step} starts`).toContain(forward);
      expect(skipped, `${entry.step} starts although it was skipped`).toBe(false);
    }));

  it('no step starts any more once the launch turned back', () =>
    always((entry, known) => {
      if (entry.at === 'run') expect(known.turnedBack, `as ${entry.step} starts`).toBeUndefined();
    }));

  it('nothing is undone before the launch turned back, nor while any step still runs', () =>
    always((entry, known) => {
      if (entry.at !== 'undo') return;
      expect(known.turnedBack, `as ${entry.step} is undone`).toBeDefined();
      const running = [...known.steps.values()].filter(({ forward }) => forward === 'running');
      expect(ids(running), `running while ${entry.step} is undone`).toEqual([]);
    }));

  it('a step is undone only after everything that needed it', () =>
    always((entry, known) => {
      if (entry.at !== 'undo') return;
      const step = known.of(entry.step);
      const inTheWay = dependents(known, step).filter((other) => !known.clean(other));
      expect(ids(inTheWay), `not undone before ${entry.step}, which it needs`).toEqual([]);
    }));

  it('nothing is undone that never ran, nor twice unless its undo failed or was lost', () =>
    always((entry, known) => {
      if (entry.at !== 'undo') return;
      const { started, undo, abandoned } = known.of(entry.step);
      expect(started, `${entry.step} ran before it is undone`).toBe(true);
      expect(['not yet', 'again'], `undo of ${entry.step}`).toContain(undo);
      expect(abandoned, `a person skipped the undo of ${entry.step}`).toBe(false);
    }));

  it('it ends with an empty host: everything that may have touched it is undone, but for what a person skipped', () =>
    alwaysAtEnd(({ journal, host }, { steps }, known) => {
      expect(journal.filter(({ at }) => at === 'ended')).toHaveLength(1);
      const mayBeLeft = steps.map(({ id }) => known.of(id)).filter((step) => step.abandoned);
      const left = [...known.steps.values()].filter(({ spec }) => host.has(spec.id));
      expect(ids(mayBeLeft), 'skipped by a person').toEqual(expect.arrayContaining(ids(left)));
      expect(ids([...known.steps.values()].filter((step) => !known.clean(step))), 'never undone').toEqual([]);
    }));

  it('run() resolves when all is undone and not before, with the first reason to turn back', () =>
    always((entry, known) => {
      if (entry.at !== 'ended') return;
      expect(entry.ending).toEqual(known.turnedBack);
      expect(ids([...known.steps.values()].filter((step) => !known.clean(step))), 'not undone yet').toEqual([]);
      expect(known.some(({ forward }) => forward === 'running')).toBe(false);
    }));

  it('retry runs exactly the held steps it names, and each decision says for which steps it was taken', () =>
    always((entry, known, index, journal) => {
      if (entry.at !== 'decide' || !known.allows(entry.decision, entry.target)) return;
      const named = ids(known.waiting(entry.target));
      expect(answerTo(journal, index).took).toEqual(named);
      if (entry.decision !== 'retry') return;
      const ran = during(journal, index).flatMap((event) =>
        event.at === 'run' || event.at === 'undo' ? [event.step] : [],
      );
      expect(ran).toEqual(named);
    }));

  it('refusal() says when decide() throws, which is when nothing named waits, a result is needed or it is too late', () =>
    always((entry, known, index, journal) => {
      if (entry.at !== 'decide') return;
      expect(answerTo(journal, index).thrown).toBe(entry.refusal);
      const asked = `${entry.decision} ${entry.target ?? 'all'}`;
      expect(entry.refusal === undefined, asked).toBe(known.allows(entry.decision, entry.target));
      if (entry.refusal === undefined) return;
      expect(entry.refusal, 'one line').toMatch(/^.+$/);
      expect(during(journal, index), `${asked} was refused, so it changes nothing`).toEqual([]);
    }));

  it('everything that can start has started, and everything that can be undone is being undone', () =>
    always((entry, known) => {
      if (entry.at !== 'quiet') return;
      const late = [...known.steps.values()].filter((step) =>
        known.turnedBack === undefined
          ? step.forward === 'again' || (step.forward === 'not yet' && known.needs(step).every((n) => known.settled(n)))
          : step.undo === 'again' || (step.undo === 'not yet' && !known.clean(step) && known.mayUndo(step)),
      );
      expect(ids(late)).toEqual([]);
    }));

  it('it never gets stuck: while it is neither ready nor over, something is in flight or waits for a person', () =>
    always((entry) => {
      expect(entry.at === 'stuck' ? entry.why : undefined).toBeUndefined();
      if (entry.at !== 'quiet' || !['launching', 'stopping'].includes(entry.view.phase)) return;
      expect(entry.view.steps.some(({ state }) => state === 'running' || state === 'undoing')).toBe(true);
    }));

  it('each step is shown in the state it is in, with the attempts, times and errors it had', () =>
    always((entry, known) => {
      if (entry.at !== 'quiet') return;
      expect(entry.view.steps).toEqual([...known.steps.values()].map((step) => shown(known, step)));
      expect(entry.view.values).toEqual([...known.steps.values()].map(({ value }) => value));
      expect(entry.view.readyAt).toBe(known.readyAt);
    }));

  it('the phase and the list of held steps follow from the states of the steps', () =>
    always((entry, known, index, journal) => {
      if (entry.at !== 'quiet' && entry.at !== 'publish') return;
      const { view } = entry;
      const states = new Set(view.steps.map(({ state }) => state));
      expect(view.held).toEqual(
        view.steps.filter(({ state }) => state === 'held' || state === 'undo-held').map(({ id }) => id),
      );
      if (entry.at === 'quiet') expect(view.phase).toBe(phaseOf(view, known, endedBy(journal, index)));
      if (view.phase === 'stopped' || view.phase === 'failed') {
        expect([...states].every((state) => ['pending', 'undone', 'skipped'].includes(state))).toBe(true);
      }
    }));

  it('a step is shown as under way just while its work is, so that who waits until nothing moves is not left waiting', () =>
    always((entry, known) => {
      if (entry.at !== 'quiet') return;
      const moving = entry.view.steps.filter(({ state }) => state === 'running' || state === 'undoing');
      const flying = [...known.steps.values()].filter(
        ({ forward, undo }) => (forward === 'running' && undo === 'not yet') || undo === 'running',
      );
      expect(moving.map(({ id }) => id)).toEqual(ids(flying));
    }));

  it('every change is published', () =>
    always((entry, _known, index, journal) => {
      if (entry.at !== 'quiet') return;
      const last = journal.slice(0, index).findLast((other) => other.at === 'publish');
      expect(last?.at === 'publish' && last.view).toEqual(entry.view);
    }));

  it('running steps are asked to end once, as the launch turns back', () =>
    alwaysAtEnd(({ journal }) => {
      expect(journal.filter(({ at }) => at === 'cancelRunning')).toHaveLength(1);
      const asked = journal.findIndex(({ at }) => at === 'cancelRunning');
      expect(['stop', 'decide']).toContain(journal[asked - 1]?.at);
    }));
});

it('the scenarios reach every situation that the properties speak of', async () => {
  const seen = new Map<string, number>();
  const see = (situation: string): unknown => seen.set(situation, (seen.get(situation) ?? 0) + 1);
  await fc.assert(
    fc.asyncProperty(scenario, fc.scheduler(), async (drawn, scheduler) => {
      const { journal } = await play(drawn, scheduler);
      const known = new Chronicle(drawn.steps);
      for (const entry of journal) {
        for (const situation of situations(entry, known)) see(situation);
        known.add(entry);
      }
    }),
    { numRuns: 1000, seed: 1 },
  );
  for (const situation of SITUATIONS) expect(seen.get(situation) ?? 0, situation).toBeGreaterThan(9);
});

describe('a step that kills its process each time', () => {
  const killer = (side: 'runs' | 'undos') =>
    fc.assert(
      fc.asyncProperty(
        calmGraph,
        fc.nat(),
        fc.integer({ min: LOST_IN_A_ROW, max: 3 * LOST_IN_A_ROW }),
        fc.scheduler(),
        async (steps, pick, times, scheduler) => {
          const victim = pick % steps.length;
          const at = side === 'runs' ? 'run' : 'undo';
          const { journal } = await play(
            {
              steps: steps.map((step, index) =>
                index === victim ? { ...step, undo: step.undo ?? `undo-${index}`, [side]: alwaysLost(times) } : step,
              ),
              anytime: [],
              whenHeld: [],
              handedOn: false,
            },
            scheduler,
          );
          const id = `step-${victim}`;
          const held = journal.findIndex((entry) => entry.at === 'publish' && entry.view.held.includes(id));
          expect(held, 'it is held in the end').toBeGreaterThan(-1);
          const before = journal.slice(0, held).filter((entry) => entry.at === at && entry.step === id);
          expect(before).toHaveLength(LOST_IN_A_ROW);
        },
      ),
      { numRuns: RUNS },
    );

  it('is held after five runs instead of running for ever', () => killer('runs'));
  it('is held after five undos instead of being undone for ever', () => killer('undos'));
});

const SITUATIONS = [
  'ready',
  'ended: stopped',
  'ended: cancelled',
  'ended: aborted',
  'held beside running',
  'held undo beside undoing',
  'turned back while running',
  'cancelled run',
  'done after it was asked to end',
  'lost run',
  'lost undo',
  'failed undo',
  'retry of several',
  'retry of an undo',
  'skip of several',
  'skip of an undo',
  'refused',
  'named by its compensation',
];

function situations(entry: Entry, known: Chronicle): string[] {
  const inState = (state: string): Known[] => [...known.steps.values()].filter((step) => known.state(step) === state);
  if (entry.at === 'ended') return [`ended: ${entry.ending.kind}`];
  if (entry.at === 'quiet') {
    return [
      ...(entry.view.phase === 'ready' ? ['ready'] : []),
      ...(inState('held').length > 0 && inState('running').length > 0 ? ['held beside running'] : []),
      ...(inState('undo-held').length > 0 && inState('undoing').length > 0 ? ['held undo beside undoing'] : []),
    ];
  }
  if (entry.at === 'cancelRunning' && inState('running').length > 0) return ['turned back while running'];
  if (entry.at === 'ran') {
    if (entry.outcome.ok === 'cancelled') return ['cancelled run'];
    if (entry.outcome.ok && known.turnedBack !== undefined) return ['done after it was asked to end'];
    return !entry.outcome.ok && entry.outcome.lost === true ? ['lost run'] : [];
  }
  if (entry.at === 'undid' && entry.outcome.ok === false) return [entry.outcome.lost ? 'lost undo' : 'failed undo'];
  if (entry.at !== 'decide') return [];
  if (entry.refusal !== undefined) return ['refused'];
  return [
    ...(entry.target?.startsWith('undo-') ? ['named by its compensation'] : []),
    ...(known.waiting(entry.target).length > 1 ? [`${entry.decision} of several`] : []),
    ...(known.turnedBack === undefined ? [] : [`${entry.decision} of an undo`]),
  ];
}

function dependents(known: Chronicle, step: Known): Known[] {
  return known.neededBy(step).flatMap((other) => [other, ...dependents(known, other)]);
}

function shown(known: Chronicle, step: Known): unknown {
  return {
    id: step.spec.id,
    state: known.state(step),
    attempts: step.attempts,
    ...(step.firstStart === undefined ? {} : { startedAt: new Date(step.firstStart).toISOString() }),
    ...(step.duration === undefined ? {} : { durationMs: step.duration }),
    ...(step.error === undefined ? {} : { error: step.error }),
  };
}

const endedBy = (journal: readonly Entry[], index: number): boolean =>
  journal.slice(0, index).some(({ at }) => at === 'ended');

function phaseOf({ steps }: View, known: Chronicle, ended: boolean): Phase {
  if (ended) return known.turnedBack?.kind === 'aborted' ? 'failed' : 'stopped';
  if (steps.some(({ state }) => state === 'held' || state === 'undo-held')) return 'held';
  if (known.turnedBack !== undefined) return 'stopping';
  return steps.every(({ state }) => state === 'done' || state === 'skipped') ? 'ready' : 'launching';
}
