/** What is shown of a launch, from its runner's state and its steps' results: the status document and its Markdown. */

import { waitsForText } from './capacity.ts';
import type { ErrorView } from './errors.ts';
import type { GraphRunner } from './graph-runner.ts';
import { healingText } from './healing.ts';
import { type MemoryKill, memoryKillText } from './memory-kills.ts';
import { bottleName, bundleName } from './names.ts';
import { Observation } from './observation.ts';
import type { Plan } from './plan.ts';
import { processLimitText } from './process-limit.ts';
import { unsearchedText } from './reach.ts';
import type { RequestView } from './requests.ts';
import type {
  BundleStatus,
  CredentialRefusal,
  MachineStatus,
  NetworkStatus,
  StatusDocument,
  StepState,
  StepStatus,
} from './status.ts';
import type { BundleResult, CheckResult, NetworkFacts, PrepareResult } from './step-io.ts';

export interface LaunchIdentity {
  id: string;
  /** Of the launch's first run, by which everything it makes is labelled. */
  runId: string;
  /** Of the run it is in now, which is the one to look at. */
  currentRunId: string;
  agent: string;
  host: string;
  startedAt: Date;
}

/** The status document of contract.md. */
export function statusDocument(
  launch: LaunchIdentity,
  runner: GraphRunner,
  observed: Observation = new Observation(),
): StatusDocument {
  const steps = runner.steps();
  const prepared = runner.value('prepare') as PrepareResult | undefined;
  const waitsFor = runner.phase === 'launching' ? observed.waitsFor : undefined;
  return {
    id: launch.id,
    agent: launch.agent,
    phase: waitsFor === undefined ? runner.phase : 'queued',
    host: launch.host,
    driver: prepared?.plan.driver ?? null,
    runId: launch.runId,
    uiUrl: prepared?.uiUrl?.replace(launch.runId, launch.currentRunId) ?? null,
    startedAt: launch.startedAt.toISOString(),
    readyAt: runner.readyAt === undefined ? null : new Date(runner.readyAt).toISOString(),
    stoppedBy: observed.stoppedBy,
    ...(prepared?.madeBy === undefined ? {} : { madeBy: prepared.madeBy }),
    ...(waitsFor === undefined ? {} : { waitsFor }),
    ...limitsStatus(runner, prepared?.plan.limits),
    network: networkStatus(runner),
    bundle: bundleStatus(launch.id, runner, prepared?.plan, observed),
    machine: machineStatus(launch.id, steps),
    ...checkStatus(runner),
    steps,
    requests: observed.book.view(),
    ...(observed.book.forgotten === 0 ? {} : { olderRequests: observed.book.forgotten }),
    ...killedForMemory(observed, prepared?.plan),
    ...outOfPids(observed, prepared?.plan),
    ...(observed.healings.status === undefined ? {} : { healings: { ...observed.healings.status } }),
    ...(observed.trouble === undefined ? {} : { trouble: observed.trouble }),
  };
}

function limitsStatus({ readyAt }: GraphRunner, limits: Plan['limits'] | undefined): Pick<StatusDocument, 'limits'> {
  const { lifetimeMs = null, idleMs = null } = limits ?? {};
  if (lifetimeMs === null && idleMs === null) return {};
  const endsAt = readyAt === undefined || lifetimeMs === null ? null : new Date(readyAt + lifetimeMs).toISOString();
  return { limits: { lifetimeMs, idleMs, endsAt } };
}

function killedForMemory({ killed }: Observation, plan: Plan | undefined): Pick<StatusDocument, 'killedForMemory'> {
  if (killed.length === 0) return {};
  const limitMiB = plan?.resources.memoryMiB;
  const withLimit = (kill: MemoryKill) =>
    kill.part === 'bundle' || limitMiB === undefined ? kill : { ...kill, limitMiB };
  return { killedForMemory: killed.map(withLimit) };
}

/** Null in a history from before it was told. */
function checkStatus(runner: GraphRunner): Pick<StatusDocument, 'wayOut' | 'unsearched'> {
  const { wayOut, unsearched } = (runner.value('check') as CheckResult | undefined) ?? {};
  if (!runner.isDone('check')) return {};
  return { ...(wayOut === undefined ? {} : { wayOut }), ...(unsearched === undefined ? {} : { unsearched }) };
}

function outOfPids({ outOfPids: met }: Observation, plan: Plan | undefined): Pick<StatusDocument, 'outOfPids'> {
  if (met === undefined) return {};
  return { outOfPids: { ...met, ...(plan === undefined ? {} : { limit: plan.resources.pids }) } };
}

function networkStatus(runner: GraphRunner): NetworkStatus | null {
  const facts = runner.value('network') as NetworkFacts | undefined;
  if (facts === undefined || stateOf(runner.steps(), 'network') === 'undone') return null;
  return { name: facts.name, subnet: facts.subnet, gateway: facts.gateway, bundleIp: facts.bundleIp };
}

function bundleStatus(
  id: string,
  runner: GraphRunner,
  plan: Plan | undefined,
  observed: Observation,
): BundleStatus | null {
  const result = runner.value('bundle') as BundleResult | undefined;
  if (result === undefined || stateOf(runner.steps(), 'bundle') === 'undone') return null;
  const daemons = { ...result.daemons, ...observed.daemons };
  return { container: bundleName(id), daemons, scanner: plan?.scanner ?? 'allow-list', refused: observed.refused };
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

function hinders({ code }: ErrorView): string {
  if (code === 'DISK_FULL') return 'nothing can be recorded';
  return code === 'STATE_MISSING' ? 'cannot be healed' : 'cannot be looked at';
}

/** What has befallen the bottle: who cannot be asked, what died and was made again, limits that were met; a line each. */
export const befallenText = ({
  trouble,
  healings,
  killedForMemory: kills = [],
  outOfPids: met,
}: StatusDocument): string[] => [
  ...(trouble === undefined ? [] : [`${hinders(trouble)}: ${trouble.code} ${trouble.message}`]),
  ...(healings === undefined ? [] : [healingText(healings)]),
  ...kills.map((kill) => memoryKillText(kill, kill.limitMiB)),
  ...(met === undefined ? [] : [processLimitText(met, met.limit)]),
];

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
    `**${status.phase}**${status.stoppedBy === null ? '' : ` (${status.stoppedBy})`} · agent \`${status.agent}\` on \`${status.host}\``,
    ...(status.waitsFor === undefined ? [] : [`\n**Waits** for ${escapeMarkdown(waitsForText(status.waitsFor))}`]),
    ...held.map(heldMarkdown),
    ...status.requests.filter(({ state }) => state === 'pending').map(requestMarkdown),
    ...(status.bundle?.refused ?? []).map(refusalMarkdown),
    ...(status.wayOut === undefined ? [] : [`\n**The way out leads nowhere**: ${escapeMarkdown(status.wayOut.why)}`]),
    ...(status.unsearched === undefined ? [] : [`\n${escapeMarkdown(unsearchedText(status.unsearched))}.`]),
    ...befallenText(status).map((line) => `\n${escapeMarkdown(line)}.`),
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

function requestMarkdown({ id, ask }: RequestView): string {
  const what =
    ask.kind === 'question'
      ? `asks: ${escapeMarkdown(ask.question)}${ask.options.length === 0 ? '' : ` (${escapeMarkdown(ask.options.join(' / '))})`}`
      : `asks for ${codeSpan(askedRoute(ask))}: ${escapeMarkdown(ask.reason)}`;
  return `\n**Request \`${id}\`** ${what}\n\nSend the update \`decide\` with \`{"request": "${id}", "decision": "approve"}\` (or "deny"; "note" and "for": "10m" as you like).`;
}

/** A route in a few words: `GET,POST api.example.com/v1`. */
export function askedRoute({
  host,
  methods,
  pathPrefix,
}: Extract<RequestView['ask'], { kind: 'egress-route' }>): string {
  return `${methods.length === 0 ? '' : `${methods.join(',')} `}${host}${pathPrefix ?? ''}`;
}

const refusalMarkdown = ({ route, status, at }: CredentialRefusal): string =>
  `\n**The credential of \`${route}\` was refused** by the upstream (${status}) at ${at}.`;

const duration = (step: StepStatus): string => (step.durationMs === undefined ? '' : `${step.durationMs} ms`);

/** Messages can carry text an agent chose: it is data, not markup, and begins no line, where a dash or digit is markup. */
const escapeMarkdown = (text: string): string => text.replace(/[\\`*_[\]<>|#~&]/g, '\\$&').replace(/\s+/g, ' ');

/** CommonMark 6.1: a run of backticks that is not in the text; the spaces within are not shown. */
function codeSpan(text: string): string {
  const longest = Math.max(0, ...(text.match(/`+/g) ?? []).map(({ length }) => length));
  const fence = '`'.repeat(longest + 1);
  return longest === 0 ? fence + text + fence : `${fence} ${text} ${fence}`;
}
