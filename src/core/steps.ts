/** The launch as data: its steps, what each needs, and the compensation that undoes it (contract.md: Workflow). */

export interface StepSpec {
  readonly id: string;
  /** Steps that must be done (or skipped) before this one starts. */
  readonly needs: readonly string[];
  /** Name of the compensation; a step without one leaves nothing that its needs' compensations do not take away. */
  readonly undo?: string;
  /** Later steps take its result as input, so nobody can skip it. */
  readonly yields?: boolean;
}

const PROVISION_NEEDS = ['bundle', 'machine.start'] as const;

export const LAUNCH_STEPS = [
  { id: 'prepare', needs: [], undo: 'state.remove', yields: true },
  { id: 'network', needs: ['prepare'], undo: 'network.remove', yields: true },
  { id: 'bundle', needs: ['network'], undo: 'bundle.remove' },
  { id: 'machine.create', needs: ['network'], undo: 'machine.delete' },
  { id: 'machine.start', needs: ['machine.create'], undo: 'machine.stop' },
  { id: 'provision.prompt', needs: PROVISION_NEEDS },
  { id: 'provision.skills', needs: PROVISION_NEEDS },
  { id: 'provision.agent', needs: PROVISION_NEEDS },
  { id: 'check', needs: ['provision.prompt', 'provision.skills', 'provision.agent'] },
] as const satisfies readonly StepSpec[];

export type StepId = (typeof LAUNCH_STEPS)[number]['id'];
