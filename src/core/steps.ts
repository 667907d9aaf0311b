/** The launch as data: its steps, what each needs, and the compensation that undoes it (contract.md: Workflow). */
import type { LaunchInput } from './launch-input.ts';

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
  { id: 'provision.ca', summary: "The bottle's CA trusted", needs: PROVISION_NEEDS },
  { id: 'provision.prompt', summary: 'Prompt copied in', needs: PROVISION_NEEDS },
  { id: 'provision.skills', summary: 'Skills copied in', needs: PROVISION_NEEDS },
  { id: 'provision.git', summary: 'Repositories led to the push gate', needs: PROVISION_NEEDS },
  { id: 'provision.supervise', summary: 'Way to the operator', needs: PROVISION_NEEDS },
  { id: 'provision.agent', summary: "Agent's own configuration", needs: PROVISION_NEEDS },
  {
    id: 'check',
    summary: 'Proof from inside: only the bundle is reachable, the agent runs',
    needs: [
      'provision.ca',
      'provision.prompt',
      'provision.skills',
      'provision.git',
      'provision.supervise',
      'provision.agent',
    ],
  },
] as const satisfies readonly LaunchStep[];

/** Only where a folder is to be copied in. */
const WORKSPACE_STEP = {
  id: 'provision.workspace',
  summary: 'Working folder copied in',
  needs: PROVISION_NEEDS,
} as const satisfies LaunchStep;

export type StepId = (typeof LAUNCH_STEPS)[number]['id'] | typeof WORKSPACE_STEP.id;

/**
 * The newest graph. A launch goes on with the one it began with, whatever worker serves it: where these steps, or what they need,
 * become others, this goes up, and {@link launchSteps} still gives the earlier ones (ARCHITECTURE, "A step that is added later").
 */
export const GRAPH_VERSION = 1;

/**
 * The steps of one launch, each after all that it needs.
 * @param version of the graph the launch began with
 * @throws Error for a version that is newer than this code
 */
export function launchSteps(
  { copyCwd }: Pick<LaunchInput, 'copyCwd'>,
  version: number = GRAPH_VERSION,
): readonly LaunchStep[] {
  if (version > GRAPH_VERSION) throw new Error(`graph ${version} is of a newer version of bottle`);
  if (copyCwd === undefined) return LAUNCH_STEPS;
  const check: LaunchStep = LAUNCH_STEPS[LAUNCH_STEPS.length - 1] as LaunchStep;
  return [...LAUNCH_STEPS.slice(0, -1), WORKSPACE_STEP, { ...check, needs: [...check.needs, WORKSPACE_STEP.id] }];
}

/** Ids of all steps that need a step, or one that needs it, in the order of the launch. */
export function dependentsOf(step: StepId): StepId[] {
  const found = new Set<string>([step]);
  for (const { id, needs } of launchSteps({ copyCwd: 'all' })) if (needs.some((need) => found.has(need))) found.add(id);
  found.delete(step);
  return [...found] as StepId[];
}
