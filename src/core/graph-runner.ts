/**
 * Runs a graph of steps forward, holds what fails, and undoes everything in reverse order of need.
 * Pure: time, side effects and publishing come in through ports, so that order, holds and undo are
 * tested by properties without Temporal, and so that it replays deterministically inside a workflow.
 *
 * Promises it keeps (test/unit/core/graph-runner.property.test.ts):
 * a step starts only after its needs; whatever may have touched the host is undone, after all that needed it;
 * nothing undone is undone again; retry re-runs only what is held; stop and abort always reach the end.
 */
import { type ErrorView, mayPass } from './errors.ts';
import type { Phase, StepState, StepStatus } from './status.ts';
import type { StepSpec } from './steps.ts';

/** How one run of a step, or of its compensation, ended. A port never rejects: failure is a value. */
export type StepOutcome =
  | { readonly ok: true; readonly attempts: number; readonly value?: unknown }
  | {
      readonly ok: false;
      readonly attempts: number;
      readonly error: ErrorView;
      /** Its process died, so nothing is known of it: it runs again without asking anybody. */
      readonly lost?: boolean;
    }
  | { readonly ok: 'cancelled' };

export interface GraphPorts {
  run(step: string): Promise<StepOutcome>;
  /** Makes sure nothing of the step is left; absence is success. */
  undo(step: string): Promise<StepOutcome>;
  /** Whether the undo of a step need only wait until that of the steps that need it has begun. Nobody's, unless given. */
  undoesBeside?(step: string): boolean;
  /** Asks every running step to end; each still settles its promise. */
  cancelRunning(): void;
  /** Called after every change, synchronously. */
  publish(): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

export type Decision = 'retry' | 'skip' | 'abort';

/** Why it ended. `aborted` names the step that was given up on. */
export type Ending =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'aborted'; readonly step: string; readonly error: ErrorView };

/**
 * Everything a runner at rest knows, as plain data: another one of the same steps goes on from it. Compensations are names, so
 * nothing of it is code.
 */
export interface GraphSnapshot {
  readonly steps: readonly StepSnapshot[];
  readonly ending?: Ending;
  readonly readyAt?: number;
}

export type StepSnapshot = Omit<StepRecord, 'spec' | 'neededBy'> & { readonly id: string };

/** A lost run is repeated this many times in a row; after that it may be the step that kills its process. */
const LOST_IN_A_ROW = 5;

interface StepRecord {
  readonly spec: StepSpec;
  readonly neededBy: string[];
  state: StepState;
  /** It started at least once, so it may have left something on the host that is not undone yet. */
  touched: boolean;
  attempts: number;
  /** Runs in a row whose process died. */
  lost: number;
  startedAt?: number;
  lastStart: number;
  durationMs?: number;
  error?: ErrorView;
  value?: unknown;
  /**
   * While it runs, something has changed that its work does not know of: `fails` when that matters just if it fails, `always`
   * when it has to run once more in any case.
   */
  shaken?: 'fails' | 'always';
}

export class GraphRunner {
  readonly #records = new Map<string, StepRecord>();
  readonly #ports: GraphPorts;
  readonly #ended = Promise.withResolvers<Ending>();
  #ending: Ending | undefined;
  #over = false;
  #readyAt: number | undefined;

  /**
   * @param from what an earlier runner of these steps knew; without it they all begin
   * @throws Error when a step needs an unknown or a later one: the order of `steps` must be a topological order; when `from`
   *   is of other steps
   */
  constructor(steps: readonly StepSpec[], ports: GraphPorts, from?: GraphSnapshot) {
    this.#ports = ports;
    for (const spec of steps) {
      for (const need of spec.needs) {
        const needed = this.#records.get(need);
        if (needed === undefined) throw new Error(`step ${spec.id} needs ${need}, which does not come before it`);
        needed.neededBy.push(spec.id);
      }
      this.#records.set(spec.id, {
        spec,
        neededBy: [],
        state: 'pending',
        touched: false,
        attempts: 0,
        lost: 0,
        lastStart: 0,
      });
    }
    if (from !== undefined) this.#goOnFrom(from);
  }

  #goOnFrom({ steps, ending, readyAt }: GraphSnapshot): void {
    const [known, given] = [[...this.#records.keys()], steps.map(({ id }) => id)];
    if (known.join() !== given.join())
      throw new Error(`these are other steps: ${given.join()} and not ${known.join()}`);
    for (const { id, ...saved } of steps) Object.assign(this.#record(id), saved);
    this.#ending = ending;
    this.#readyAt = readyAt;
  }

  /** Whether nothing runs, forward or back, and all waits for a person or for something to happen. */
  get isAtRest(): boolean {
    return !this.#over && [...this.#records.values()].every(({ state }) => state !== 'running' && state !== 'undoing');
  }

  /** @throws Error unless it {@link isAtRest}: what runs cannot be handed on */
  snapshot(): GraphSnapshot {
    if (!this.isAtRest) throw new Error('a launch that moves cannot be handed on');
    const steps = [...this.#records.values()].map(({ spec, neededBy: _neededBy, ...record }) => ({
      id: spec.id,
      ...record,
    }));
    return {
      steps,
      ...(this.#ending === undefined ? {} : { ending: this.#ending }),
      ...(this.#readyAt === undefined ? {} : { readyAt: this.#readyAt }),
    };
  }

  /** Starts the first steps; resolves when everything that ran is undone again, which `stop` or an abort brings about. */
  run(): Promise<Ending> {
    this.#advance();
    return this.#ended.promise;
  }

  get phase(): Phase {
    if (this.#over) return this.#ending?.kind === 'aborted' ? 'failed' : 'stopped';
    if (this.held().length > 0) return 'held';
    if (this.#ending !== undefined) return 'stopping';
    if (this.#forwardDone()) return 'ready';
    return this.#readyAt === undefined ? 'launching' : 'healing';
  }

  /** Milliseconds since the epoch when all steps were first done; undefined until then. */
  get readyAt(): number | undefined {
    return this.#readyAt;
  }

  /** The result of a step that was done, still there once it is undone; undefined until then. */
  value(step: string): unknown {
    return this.#records.get(step)?.value;
  }

  /** Whether a step is done now, and nothing is being undone. */
  isDone(step: string): boolean {
    return this.#ending === undefined && this.#records.get(step)?.state === 'done';
  }

  /** Whether a step is done or was skipped, and nothing is being undone; false for one that this launch has not. */
  stands(step: string): boolean {
    const state = this.#records.get(step)?.state;
    return this.#ending === undefined && (state === 'done' || state === 'skipped');
  }

  /** Ids of the steps that wait for a decision, in the order of the launch. */
  held(): string[] {
    return this.#matching(undefined).map((record) => record.spec.id);
  }

  steps(): StepStatus[] {
    return [...this.#records.values()].map((record) => ({
      id: record.spec.id,
      state: this.#shown(record),
      attempts: record.attempts,
      ...(record.startedAt === undefined ? {} : { startedAt: new Date(record.startedAt).toISOString() }),
      ...(record.durationMs === undefined ? {} : { durationMs: record.durationMs }),
      ...(record.error === undefined ? {} : { error: record.error }),
    }));
  }

  /** Why this decision cannot be taken now, in one line; undefined when it can. Changes nothing. */
  refusal(decision: Decision, target?: string): string | undefined {
    const held = this.#matching(target);
    if (held.length === 0) {
      const all = this.held();
      if (all.length === 0) return 'no step is held';
      return `step ${target} is not held; held: ${all.join(', ')}`;
    }
    if (decision === 'abort' && this.#ending !== undefined) return 'it is being undone already: retry or skip instead';
    if (decision === 'skip') {
      const needed = held.find(({ state, spec }) => state === 'held' && spec.yields === true);
      if (needed !== undefined) return `${needed.spec.id} cannot be skipped: later steps need what it makes`;
    }
    return undefined;
  }

  /**
   * Takes a decision on the held step named `target` (a step id or its compensation's name), or on every held one.
   * @throws Error when {@link refusal} has something to say
   */
  decide(decision: Decision, target?: string): string[] {
    const refusal = this.refusal(decision, target);
    if (refusal !== undefined) throw new Error(refusal);
    const held = this.#matching(target);
    if (decision === 'abort') {
      const first = held[0] as StepRecord;
      this.#turnBack({ kind: 'aborted', step: first.spec.id, error: first.error as ErrorView });
    }
    for (const record of held) {
      if (decision === 'skip') this.#skip(record);
      if (decision === 'retry') this.#retry(record);
    }
    this.#advance();
    return held.map((record) => record.spec.id);
  }

  /**
   * Runs steps of a ready launch again because what they made has died; the others stay done. Nothing happens to a
   * step that is not done, or that this launch has not, nor while everything is being undone.
   */
  renew(steps: readonly string[]): void {
    this.rebuild(steps, () => false);
  }

  /**
   * Has steps work from what is true now: those that are done run again, one that is under way runs once more as soon as it
   * ends, before anything that stands on it. One that has not begun will know it anyway. Nothing happens while everything is
   * being undone.
   */
  refresh(steps: readonly string[]): void {
    if (this.#ending !== undefined) return;
    for (const record of steps.map((id) => this.#record(id))) {
      if (record.state === 'running') record.shaken = 'always';
    }
    this.renew(steps);
  }

  /**
   * Runs steps again because what they made is gone, in whatever state the launch is. What stands on them and is under way
   * runs again when it fails, and in any case where it is one of `steps`; what stands on them and is held for something that
   * another attempt may mend runs again too. Nothing happens while everything is being undone.
   * @param revives whether steps that are not done may be run again too; asked only where there are such
   * @param starts false: they are pending from now on, and {@link proceed} starts them
   */
  rebuild(steps: readonly string[], revives: () => boolean, starts = true): void {
    if (this.#ending !== undefined) return;
    const lost = new Set(steps.filter((id) => this.stands(id)));
    for (const id of lost) this.#record(id).state = 'pending';
    const shaken = [...this.#records.values()].filter(
      (record) =>
        (record.state === 'running' || (record.state === 'held' && mayPass(record.error))) &&
        this.#needsOneOf(record, lost),
    );
    if (shaken.length > 0 && revives()) {
      for (const record of shaken) {
        if (record.state === 'held') record.state = 'pending';
        else if (steps.includes(record.spec.id)) record.shaken = 'always';
        else record.shaken ??= 'fails';
      }
    }
    if (starts) this.#advance();
    else this.#ports.publish();
  }

  /** Starts whatever can start. */
  proceed(): void {
    this.#advance();
  }

  /**
   * Holds a step of a launch that is not being undone, since what keeps watch over what it made has failed: a retry runs
   * it again. Nothing happens to a step that is not done (or skipped) just now.
   */
  blame(step: string, error: ErrorView): void {
    if (!this.stands(step)) return;
    Object.assign(this.#record(step), { state: 'held', error } satisfies Partial<StepRecord>);
    this.#advance();
  }

  /** Replaces the result of a step, for steps that start from now on. */
  amend(step: string, value: unknown): void {
    this.#record(step).value = value;
  }

  /** Ids of the steps that are done or under way, and of those that were skipped. */
  built(): string[] {
    const states: readonly StepState[] = ['done', 'running', 'skipped'];
    return [...this.#records.values()].flatMap(({ spec, state }) => (states.includes(state) ? [spec.id] : []));
  }

  isRunning(step: string): boolean {
    return this.#record(step).state === 'running';
  }

  /** Why everything is being undone, or was; undefined while it is not. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** Whether everything is being undone, or was. */
  get isEnding(): boolean {
    return this.#ending !== undefined;
  }

  /** Gives the launch up where no step is held, since it waits for something else. As {@link stop} otherwise. */
  giveUp(step: string, error: ErrorView): void {
    this.#turnBack({ kind: 'aborted', step, error });
    this.#advance();
  }

  /** Undoes everything, from any phase. The first reason stands; later calls change nothing. */
  stop(kind: 'stopped' | 'cancelled'): void {
    this.#turnBack({ kind });
    this.#advance();
  }

  #turnBack(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    this.#ports.cancelRunning();
  }

  #advance(): void {
    if (this.#over) return;
    if (this.#ending === undefined) this.#advanceForward();
    else this.#advanceBack();
    this.#ports.publish();
    if (this.#over && this.#ending !== undefined) this.#ended.resolve(this.#ending);
  }

  #advanceForward(): void {
    for (const record of this.#records.values()) {
      if (record.state === 'pending' && record.spec.needs.every((need) => this.#settled(need))) this.#start(record);
    }
    if (this.#forwardDone()) this.#readyAt ??= this.#ports.now();
  }

  #advanceBack(): void {
    // An undo beside a step that still runs could miss what that step is about to make.
    if ([...this.#records.values()].some((record) => record.state === 'running')) return;
    for (const record of [...this.#records.values()].reverse()) {
      const waiting = record.state !== 'undoing' && record.state !== 'undo-held';
      if (!record.touched || !waiting || this.#isInUse(record)) continue;
      // The runs that were lost say nothing of the undo, which has its own number of them.
      record.lost = 0;
      this.#undo(record);
    }
    this.#over = [...this.#records.values()].every((record) => !record.touched);
  }

  /** Whether something that needs it is not undone yet. */
  #isInUse({ spec, neededBy }: StepRecord): boolean {
    const remaining = neededBy.map((id) => this.#record(id)).filter(({ touched }) => touched);
    return remaining.some(({ state }) => state !== 'undoing' || this.#ports.undoesBeside?.(spec.id) !== true);
  }

  #retry(record: StepRecord): void {
    record.lost = 0;
    if (record.state === 'undo-held') {
      delete record.error;
      this.#undo(record);
    } else this.#start(record);
  }

  #skip(record: StepRecord): void {
    // What a skipped undo leaves behind, a person has taken on; what a skipped step left is still ours to undo.
    if (record.state === 'undo-held') record.touched = false;
    record.state = 'skipped';
  }

  #start(record: StepRecord): void {
    record.state = 'running';
    record.touched = true;
    record.attempts += 1;
    record.lastStart = this.#ports.now();
    record.startedAt ??= record.lastStart;
    delete record.durationMs;
    delete record.error;
    void this.#ports.run(record.spec.id).then((outcome) => this.#afterRun(record, outcome));
  }

  #afterRun(record: StepRecord, outcome: StepOutcome): void {
    record.durationMs = this.#ports.now() - record.lastStart;
    if (outcome.ok !== 'cancelled') record.attempts += outcome.attempts - 1;
    const again = record.shaken === 'always' || (record.shaken === 'fails' && outcome.ok === false);
    delete record.shaken;
    if (outcome.ok === true) record.value = outcome.value;
    if (again && this.#ending === undefined) {
      record.state = 'pending';
    } else if (outcome.ok === true) {
      record.state = 'done';
    } else if (outcome.ok === false && this.#runsAgain(record, outcome) && this.#ending === undefined) {
      this.#start(record);
    } else {
      record.state = 'held';
      if (outcome.ok === false) record.error = outcome.error;
      // Asked to end, it has no fault to show; anything else that cuts it short is one, and a hold says why.
      else if (this.#ending === undefined) record.error = { code: 'INTERNAL', message: 'the step was interrupted' };
    }
    this.#advance();
  }

  #undo(record: StepRecord): void {
    if (record.spec.undo === undefined) {
      record.state = 'undone';
      record.touched = false;
      return;
    }
    record.state = 'undoing';
    void this.#ports.undo(record.spec.id).then((outcome) => this.#afterUndo(record, outcome));
  }

  #afterUndo(record: StepRecord, outcome: StepOutcome): void {
    if (outcome.ok === true) {
      record.state = 'undone';
      record.touched = false;
    } else if (outcome.ok === false && this.#runsAgain(record, outcome)) {
      this.#undo(record);
    } else {
      record.state = 'undo-held';
      record.error = outcome.ok === false ? outcome.error : { code: 'INTERNAL', message: 'the undo was interrupted' };
    }
    this.#advance();
  }

  #runsAgain(record: StepRecord, failure: { readonly lost?: boolean }): boolean {
    record.lost = failure.lost === true ? record.lost + 1 : 0;
    return record.lost > 0 && record.lost < LOST_IN_A_ROW;
  }

  /** The steps that wait for a decision: while going back, only undos can. */
  #matching(target: string | undefined): StepRecord[] {
    const state: StepState = this.#ending === undefined ? 'held' : 'undo-held';
    return [...this.#records.values()].filter(
      (record) =>
        record.state === state && (target === undefined || record.spec.id === target || record.spec.undo === target),
    );
  }

  /**
   * Once it turned back, a held step waits for no decision any more: its undo is what comes next. It is not under way yet, and may
   * wait for one that is held: who waits until nothing moves would wait for ever.
   */
  #shown(record: StepRecord): StepState {
    return record.state === 'held' && this.#ending !== undefined ? 'pending' : record.state;
  }

  #record(id: string): StepRecord {
    return this.#records.get(id) as StepRecord;
  }

  /** Done, or skipped, and so is all that it needs: what was renewed below it comes first. */
  #settled(id: string): boolean {
    const { state, spec } = this.#record(id);
    return (state === 'done' || state === 'skipped') && spec.needs.every((need) => this.#settled(need));
  }

  #needsOneOf({ spec }: StepRecord, steps: ReadonlySet<string>): boolean {
    return spec.needs.some((need) => steps.has(need) || this.#needsOneOf(this.#record(need), steps));
  }

  #forwardDone(): boolean {
    return [...this.#records.keys()].every((id) => this.#settled(id));
  }
}
