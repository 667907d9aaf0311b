/** A launch that its host has no room for yet: it waits between `prepare` and everything that takes room. */
import type { GraphRunner, StepOutcome } from '../core/graph-runner.ts';
import type { Observation } from '../core/observation.ts';
import type { BottleRef, PrepareResult } from '../core/step-io.ts';
import type { StepActivities } from './step-activities.ts';

interface Launch {
  bottle: BottleRef;
  startTime: Date;
  steps: Pick<StepActivities, 'admit'>;
  observed: Observation;
  publish: () => void;
}

/** What `prepare` came to, once the host has room; at once, and without an event, when it has. */
export async function admitted(outcome: StepOutcome, launch: Launch): Promise<StepOutcome> {
  const prepared = outcome.ok === true ? (outcome.value as PrepareResult) : undefined;
  if (prepared?.waitsFor === undefined) return outcome;
  const { bottle, startTime, steps, observed, publish } = launch;
  observed.waitsFor = { ...prepared.waitsFor, since: new Date().toISOString() };
  publish();
  const { cpus } = prepared.plan.resources;
  const ended = await steps.admit({ bottle, askedAt: startTime.toISOString(), cpus });
  observed.waitsFor = undefined;
  return ended.ok === true ? outcome : ended;
}

/** Whether the launch waits for room. */
export const isWaiting = (runner: GraphRunner, { waitsFor }: Observation): boolean =>
  waitsFor !== undefined && !runner.isEnding;

/** Aborts a launch that waits; false when it does not. */
export function giveUpWaiting(runner: GraphRunner, observed: Observation): boolean {
  const { waitsFor } = observed;
  if (waitsFor === undefined || !isWaiting(runner, observed)) return false;
  runner.giveUp('prepare', { code: 'HOST_FULL', message: `the host had no room for it yet: ${waitsFor.message}` });
  return true;
}
