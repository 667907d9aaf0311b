/**
 * What a journal says about every step, worked out from the ports and the commands alone: the properties compare the
 * runner's behaviour with it. It knows the rules of the launch, but not how the runner keeps them.
 */
import type { ErrorView } from '../../../src/core/errors.ts';
import type { Decision, Ending } from '../../../src/core/graph-runner.ts';
import type { StepState } from '../../../src/core/status.ts';
import type { StepSpec } from '../../../src/core/steps.ts';
import type { Entry } from './graph-play.ts';

/** After so many lost runs in a row a person is asked. */
export const LOST_IN_A_ROW = 5;

/** `again`: it was lost, or a person said retry, so it must run once more. */
type Progress = 'not yet' | 'running' | 'again' | 'held' | 'ok';

export interface Known {
  readonly spec: StepSpec;
  forward: Progress;
  skipped: boolean;
  undo: Progress;
  /** A person skipped its undo: what it left is theirs. */
  abandoned: boolean;
  started: boolean;
  lost: number;
  attempts: number;
  firstStart?: number;
  lastStart: number;
  duration?: number;
  error?: ErrorView;
  value?: unknown;
}

export class Chronicle {
  readonly steps: ReadonlyMap<string, Known>;
  turnedBack: Ending | undefined;
  readyAt: number | undefined;

  constructor(specs: readonly StepSpec[]) {
    this.steps = new Map(
      specs.map((spec) => [
        spec.id,
        {
          spec,
          forward: 'not yet',
          skipped: false,
          undo: 'not yet',
          abandoned: false,
          started: false,
          lost: 0,
          attempts: 0,
          lastStart: 0,
        },
      ]),
    );
  }

  add(entry: Entry): void {
    if (entry.at === 'run') this.#run(this.of(entry.step), entry.now);
    if (entry.at === 'ran') this.#ran(this.of(entry.step), entry);
    if (entry.at === 'undo') this.#undo(this.of(entry.step));
    if (entry.at === 'undid') this.#undid(this.of(entry.step), entry);
    if (entry.at === 'stop') this.turnedBack ??= { kind: entry.kind };
    if (entry.at === 'decide' && this.allows(entry.decision, entry.target)) this.#decide(entry.decision, entry.target);
    if (this.turnedBack === undefined && this.all((step) => this.settled(step))) this.readyAt ??= entry.now;
  }

  of(id: string): Known {
    return this.steps.get(id) as Known;
  }

  all(check: (step: Known) => boolean): boolean {
    return [...this.steps.values()].every(check);
  }

  some(check: (step: Known) => boolean): boolean {
    return [...this.steps.values()].some(check);
  }

  needs({ spec }: Known): Known[] {
    return spec.needs.map((need) => this.of(need));
  }

  neededBy({ spec }: Known): Known[] {
    return [...this.steps.values()].filter((other) => other.spec.needs.includes(spec.id));
  }

  settled({ forward, skipped }: Known): boolean {
    return forward === 'ok' || skipped;
  }

  /** Nothing of it can be on the host, or a person has taken that on. */
  clean(step: Known): boolean {
    if (!step.started || step.undo === 'ok' || step.abandoned) return true;
    // It leaves nothing itself, yet stands between what needs it and what it needs.
    return step.spec.undo === undefined && this.mayUndo(step);
  }

  /** Everything is on its way back, and nothing needs this step any more. */
  mayUndo(step: Known): boolean {
    if (this.turnedBack === undefined || this.some(({ forward }) => forward === 'running')) return false;
    return this.neededBy(step).every((other) => this.clean(other));
  }

  /** The steps a decision would be taken for. */
  waiting(target: string | undefined): Known[] {
    return [...this.steps.values()].filter(
      (step) =>
        (target === undefined || step.spec.id === target || step.spec.undo === target) &&
        (this.turnedBack === undefined ? step.forward === 'held' && !step.skipped : this.#undoWaits(step)),
    );
  }

  allows(decision: Decision, target: string | undefined): boolean {
    const waiting = this.waiting(target);
    if (waiting.length === 0) return false;
    if (this.turnedBack !== undefined) return decision !== 'abort';
    return decision !== 'skip' || waiting.every(({ spec }) => spec.yields !== true);
  }

  /** What must be shown of a step. */
  state(step: Known): StepState {
    if (!step.started) return 'pending';
    if (step.abandoned) return 'skipped';
    if (step.undo === 'ok' || (step.spec.undo === undefined && this.clean(step))) return 'undone';
    if (step.undo === 'held') return 'undo-held';
    if (step.undo !== 'not yet') return 'undoing';
    if (step.forward === 'running') return 'running';
    if (step.skipped) return 'skipped';
    if (step.forward === 'ok') return 'done';
    return this.turnedBack === undefined ? 'held' : 'pending';
  }

  #undoWaits(step: Known): boolean {
    return step.undo === 'held' && !step.abandoned;
  }

  #run(step: Known, now: number): void {
    step.forward = 'running';
    step.started = true;
    step.attempts += 1;
    step.firstStart ??= now;
    step.lastStart = now;
    delete step.duration;
    delete step.error;
  }

  #ran(step: Known, { outcome, now }: Extract<Entry, { at: 'ran' | 'undid' }>): void {
    step.duration = now - step.lastStart;
    if (outcome.ok !== 'cancelled') step.attempts += outcome.attempts - 1;
    if (outcome.ok === true) step.value = outcome.value;
    step.forward = this.#after(step, outcome);
    if (step.forward === 'again' && this.turnedBack !== undefined) step.forward = 'held';
    if (step.forward === 'held' && outcome.ok === false) step.error = outcome.error;
  }

  #undo(step: Known): void {
    if (step.undo === 'not yet') step.lost = 0;
    step.undo = 'running';
  }

  #undid(step: Known, { outcome }: Extract<Entry, { at: 'ran' | 'undid' }>): void {
    step.undo = this.#after(step, outcome);
    if (step.undo === 'held' && outcome.ok === false) step.error = outcome.error;
  }

  #after(step: Known, outcome: Extract<Entry, { at: 'ran' | 'undid' }>['outcome']): Progress {
    if (outcome.ok === true) return 'ok';
    step.lost = outcome.ok === false && outcome.lost === true ? step.lost + 1 : 0;
    return step.lost > 0 && step.lost < LOST_IN_A_ROW ? 'again' : 'held';
  }

  #decide(decision: Decision, target: string | undefined): void {
    const waiting = this.waiting(target);
    if (decision === 'abort') {
      const { spec, error } = waiting[0] as Known;
      this.turnedBack = { kind: 'aborted', step: spec.id, error: error as ErrorView };
      return;
    }
    const back = this.turnedBack !== undefined;
    for (const step of waiting) {
      step.lost = decision === 'retry' ? 0 : step.lost;
      if (decision === 'retry' && back) {
        step.undo = 'again';
        delete step.error;
      } else if (decision === 'retry') step.forward = 'again';
      else if (back) step.abandoned = true;
      else step.skipped = true;
    }
  }
}
