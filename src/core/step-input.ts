/** Cuts each step's input out of the launch: the slice of plan and earlier results that it works from. */
import { agentEnvironment } from './agent-environment.ts';
import type { LaunchInput } from './launch-input.ts';
import type { BottleRef, MachineInput, NetworkFacts, PrepareResult, StepIo } from './step-io.ts';
import type { StepId } from './steps.ts';

export interface LaunchContext {
  bottle: BottleRef;
  input: LaunchInput;
  /** The result of a step that is done. */
  result(step: StepId): unknown;
}

/** The slice of plan and earlier results that a step works from; undefined when an earlier result is missing. */
export function stepInput(step: StepId, { bottle, input, result }: LaunchContext): StepIo[StepId]['input'] | undefined {
  if (step === 'prepare') return { bottle, ...input };
  const prepared = result('prepare') as PrepareResult | undefined;
  if (prepared === undefined) return undefined;
  const { plan } = prepared;
  const { driver } = plan;
  if (step === 'network') return { bottle, pool: plan.pool, driver };
  const network = result('network') as NetworkFacts | undefined;
  if (network === undefined) return undefined;
  const machine: MachineInput = { bottle, driver };
  switch (step) {
    case 'bundle':
      return { bottle, network, image: plan.images.bundle, daemons: plan.daemons, allow: plan.allow };
    case 'machine.create': {
      const env = agentEnvironment(network, plan.env);
      return { ...machine, network, image: plan.images.guest, env, resources: plan.resources };
    }
    case 'provision.skills':
      return { ...machine, skills: plan.skills, directory: plan.guest.skillsDirectory };
    case 'check':
      return { ...machine, network, allow: plan.allow };
    default:
      return machine;
  }
}

/** An undo finds things by label, so it needs no result of the step it undoes: that may have been lost. */
export function undoInput({ bottle, input, result }: LaunchContext): MachineInput {
  const prepared = result('prepare') as PrepareResult | undefined;
  return { bottle, driver: prepared?.plan.driver ?? input.driver ?? 'docker' };
}
