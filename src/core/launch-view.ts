/** What is shown of a launch, from its runner's state and its steps' results: the status document and its Markdown. */

import type { GraphRunner } from './graph-runner.ts';
import { bottleName, bundleName } from './names.ts';
import type { BundleStatus, MachineStatus, NetworkStatus, StatusDocument, StepState, StepStatus } from './status.ts';
import type { BundleResult, NetworkFacts, PrepareResult } from './step-io.ts';

export interface LaunchIdentity {
  id: string;
  runId: string;
  agent: string;
  host: string;
  startedAt: Date;
}

/** The status document of contract.md. */
export function statusDocument(launch: LaunchIdentity, runner: GraphRunner): StatusDocument {
  const steps = runner.steps();
  const prepared = runner.value('prepare') as PrepareResult | undefined;
  return {
    id: launch.id,
    agent: launch.agent,
    phase: runner.phase,
    host: launch.host,
    driver: prepared?.plan.driver ?? null,
    runId: launch.runId,
    uiUrl: prepared?.uiUrl ?? null,
    startedAt: launch.startedAt.toISOString(),
    readyAt: runner.readyAt === undefined ? null : new Date(runner.readyAt).toISOString(),
    network: networkStatus(runner),
    bundle: bundleStatus(launch.id, runner),
    machine: machineStatus(launch.id, steps),
    steps,
    requests: [],
  };
}

function networkStatus(runner: GraphRunner): NetworkStatus | null {
  const facts = runner.value('network') as NetworkFacts | undefined;
  if (facts === undefined || stateOf(runner.steps(), 'network') === 'undone') return null;
  return { name: facts.name, subnet: facts.subnet, gateway: facts.gateway, bundleIp: facts.bundleIp };
}

function bundleStatus(id: string, runner: GraphRunner): BundleStatus | null {
  const result = runner.value('bundle') as BundleResult | undefined;
  if (result === undefined || stateOf(runner.steps(), 'bundle') === 'undone') return null;
  return { container: bundleName(id), daemons: result.daemons };
}

function machineStatus(id: string, steps: readonly StepStatus[]): MachineStatus | null {
  const created = stateOf(steps, 'machine.create');
  const started = stateOf(steps, 'machine.start');
  if (created === 'pending' || created === 'running' || created === 'held') return null;
  if (created === 'undone') return { name: bottleName(id), state: 'absent' };
  if (started === 'done' || started === 'skipped') return { name: bottleName(id), state: 'running' };
  return { name: bottleName(id), state: started === 'undone' ? 'stopped' : 'created' };
}

const stateOf = (steps: readonly StepStatus[], id: string): StepState | undefined =>
  steps.find((step) => step.id === id)?.state;

const MARKS: Record<StepState, string> = {
  pending: '·',
  running: '▶',
  done: '✓',
  held: '!',
  skipped: '⤼',
  undoing: '↩',
  undone: '○',
  'undo-held': '!',
};

/** The launch as Markdown for the Temporal UI's current details: what is held, what to send, every step. */
export function detailsMarkdown(status: StatusDocument): string {
  const held = status.steps.filter((step) => step.state === 'held' || step.state === 'undo-held');
  const rows = status.steps.map(
    (step) => `| ${MARKS[step.state]} | \`${step.id}\` | ${step.state} | ${step.attempts} | ${duration(step)} |`,
  );
  return [
    `**${status.phase}** · agent \`${status.agent}\` on \`${status.host}\``,
    ...held.map(heldMarkdown),
    '',
    '| | step | state | attempts | time |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

function heldMarkdown(step: StepStatus): string {
  const { code, message, hint } = step.error ?? { code: 'INTERNAL', message: 'no reason given' };
  const choices =
    step.state === 'held'
      ? '`retry`, `skip` or `abort`'
      : 'its undo failed: send `retry` or `skip` once it is sorted out';
  return [
    '',
    `**Held at \`${step.id}\`**: \`${code}\` ${escapeMarkdown(message)}`,
    ...(hint === undefined ? [] : ['', `Hint: ${escapeMarkdown(hint)}`]),
    '',
    step.state === 'held' ? `Send the update ${choices}.` : choices,
  ].join('\n');
}

const duration = (step: StepStatus): string => (step.durationMs === undefined ? '' : `${step.durationMs} ms`);

/** Messages can carry text an agent chose: it is data, not markup. */
const escapeMarkdown = (text: string): string => text.replace(/[\\`*_[\]<>|#~]/g, '\\$&');
