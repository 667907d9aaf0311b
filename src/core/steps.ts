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

/** A step of the launch, with what it does in a few words for whoever watches. */
export interface LaunchStep extends StepSpec {
  readonly summary: string;
}

const PROVISION_NEEDS = ['bundle', 'machine.start'] as const;

export const LAUNCH_STEPS = [
  { id: 'prepare', summary: 'Read the manifest and make the plan', needs: [], undo: 'state.remove', yields: true },
  {
    id: 'network',
    summary: 'Private bridge with a pinned address for the bundle',
    needs: ['prepare'],
    undo: 'network.remove',
    yields: true,
  },
  { id: 'bundle', summary: 'Sidecar bundle and its daemons', needs: ['network'], undo: 'bundle.remove' },
  { id: 'machine.create', summary: 'Machine made from the guest image', needs: ['network'], undo: 'machine.delete' },
  { id: 'machine.start', summary: 'Machine started', needs: ['machine.create'], undo: 'machine.stop' },
  { id: 'provision.prompt', summary: 'Prompt copied in', needs: PROVISION_NEEDS },
  { id: 'provision.skills', summary: 'Skills copied in', needs: PROVISION_NEEDS },
  { id: 'provision.git', summary: 'Repositories led to the push gate', needs: PROVISION_NEEDS },
  { id: 'provision.supervise', summary: 'Way to the operator', needs: PROVISION_NEEDS },
  { id: 'provision.agent', summary: "Agent's own configuration", needs: PROVISION_NEEDS },
  {
    id: 'check',
    summary: 'Proof from inside: only the bundle is reachable, the agent runs',
    needs: ['provision.prompt', 'provision.skills', 'provision.git', 'provision.supervise', 'provision.agent'],
  },
] as const satisfies readonly LaunchStep[];

export type StepId = (typeof LAUNCH_STEPS)[number]['id'];
