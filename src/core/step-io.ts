/**
 * What each step takes and gives. Inputs are slices of the plan and of earlier results, so a history holds each
 * fact once and stays small (the launch's history is a figure of the bench).
 */
import type { BundlePlans, Scanner } from './bundle-plans.ts';
import type { WaitsFor } from './capacity.ts';
import type { DaemonName, DaemonState } from './daemons.ts';
import type { ErrorView } from './errors.ts';
import type { LaunchInput } from './launch-input.ts';
import type { Link } from './machine-link.ts';
import type { MemoryKill } from './memory-kills.ts';
import type { Plan, PrivateVariable, Resources } from './plan.ts';
import type { ProcessLimitMet } from './process-limit.ts';
import type { ProviderContext, Template } from './providers/provider.ts';
import type { Unsearched, WayOutProblem } from './reach.ts';
import type { BookChanges } from './request-book.ts';
import type { AskedRequest, RequestView } from './requests.ts';
import type { SecretRef } from './secret-ref.ts';
import type { Driver } from './status.ts';

/** A launch, by its owner (`<Temporal cluster id>/<namespace>`) and its first run id: as labels name who made an object. */
export interface Maker {
  owner: string;
  run: string;
}

/** Whose step it is: the workflow's id and run id. */
export interface BottleRef {
  id: string;
  runId: string;
  /** The launch that made the bottle, where this one has adopted it: labels cannot be changed, so they go on naming that one. */
  madeBy?: Maker;
}

export interface NetworkFacts {
  name: string;
  /** CIDR, a /28. */
  subnet: string;
  /** The bridge's gateway address, which nothing answers at. */
  gateway: string;
  /** The bundle's pinned address. */
  bundleIp: string;
  /** The machine's pinned address. */
  machineIp: string;
}

export interface PrepareInput extends LaunchInput {
  bottle: BottleRef;
  /** When the launch was asked for, ISO 8601. Default: now. */
  askedAt?: string | undefined;
}

/** The plan, and where a person can look at the launch. */
export interface PrepareResult {
  plan: Plan;
  uiUrl: string | null;
  /** What the launch has to wait for before it goes on; absent when the host has room for it. */
  waitsFor?: WaitsFor;
  /** Its state is removed beside its bridge; histories from before remove it after that, and have none. */
  endsSideBySide?: true;
  /** As in {@link BottleRef}. */
  madeBy?: Maker;
  /** Of an adopted bottle, what its agent had asked; taken out of the result by the launch. */
  asked?: AskedBefore;
}

/** What the agent of a bottle had asked of the launch that made it. */
export interface AskedBefore {
  requests: RequestView[];
  /** From when on the bundle's log may have more, ISO 8601; null: from its start. */
  since: string | null;
}

export interface AdmitInput {
  bottle: BottleRef;
  askedAt: string;
  /** What its machine may use. */
  cpus: number;
}

export interface NetworkInput {
  bottle: BottleRef;
  pool: string;
  /** CIDR of the one it had, which is taken again where it is free. */
  subnet?: string;
  driver: Driver;
  link?: Link | undefined;
}

export interface BundleInput {
  bottle: BottleRef;
  network: NetworkFacts;
  image: string;
  uplink: string;
  scanner: Scanner;
  plans: BundlePlans;
  /** What the agent has asked so far: approved routes are rendered with the rest, answers are passed on. */
  requests: RequestView[];
}

/**
 * What the activity of the step takes: of the requests, what the host does not know yet. Each has long texts, and a history keeps every
 * input.
 */
export interface BundleStepInput extends Omit<BundleInput, 'requests'> {
  book?: BookChanges;
  /** All of them, in place of `book`, where an earlier version scheduled the step. */
  requests?: RequestView[];
}

export interface BundleResult {
  container: string;
  daemons: Record<string, DaemonState>;
}

export interface MachineCreateInput {
  bottle: BottleRef;
  driver: Driver;
  network: NetworkFacts;
  link?: Link | undefined;
  image: string;
  env: Record<string, string>;
  resources: Resources;
}

export interface MachineInput {
  bottle: BottleRef;
  driver: Driver;
}

export interface CaInput extends MachineInput {
  /** Whether the bundle reads the agent's HTTPS, for which the machine has to trust its CA. */
  intercept: boolean;
  /** PEM file on the host with CAs of its network, and what changes with its content; absent for none. */
  ca?: { file: string; digest: string } | undefined;
}

export interface PromptInput extends MachineInput {
  /** Of the text, which the state directory has. */
  digest: string;
}

/** Of an adopted bottle, whose agent may have changed what was provisioned: what is there stays, and what is not is brought. */
export interface KeepingInput extends MachineInput {
  keeps?: true;
}

export interface WorkspaceInput extends KeepingInput {
  /** Absolute path on the host. */
  folder: string;
  gitignore: boolean;
}

export interface SkillsInput extends KeepingInput {
  skills: string[];
  /** Changes with what is in their folders. */
  digest: string;
  /** Absolute path inside the machine. */
  directory: string;
}

export interface GitInput extends MachineInput {
  /** As it is from inside the machine. */
  network: NetworkFacts;
  repos: { name: string; upstream: string }[];
  user: { name?: string; email?: string };
}

/** What the agent is told of its supervise daemon; null where there is none. */
export interface SuperviseInput extends MachineInput {
  url: string | null;
}

export interface AgentInput extends KeepingInput {
  template: Template;
  context: ProviderContext;
  privateEnv: Record<string, PrivateVariable>;
  /** The first message of the first conversation; null for none. */
  message: string | null;
}

export interface CheckInput extends MachineInput {
  /** As it is from inside the machine. */
  network: NetworkFacts;
  link?: Link | undefined;
  /** Whether it finds egress by its name; absent: the launch began before anybody did. */
  front?: true | undefined;
  daemons: DaemonName[];
  scanner: Scanner;
  template: Template;
  /** Hosts the proxy must let through; the check asks for the proxy's verdict on the first. */
  allow: string[];
  /** What must be nowhere in the machine. */
  secrets: SecretRef[];
}

/** What is no fault of the bottle, and worth knowing; null where there is nothing. */
export type CheckResult = { wayOut?: WayOutProblem; unsearched?: Unsearched } | null;

/** Step id to its input and result. */
export interface StepIo {
  prepare: { input: PrepareInput; result: PrepareResult };
  network: { input: NetworkInput; result: NetworkFacts };
  bundle: { input: BundleStepInput; result: BundleResult };
  'machine.create': { input: MachineCreateInput; result: null };
  'machine.start': { input: MachineInput; result: null };
  'provision.ca': { input: CaInput; result: null };
  'provision.prompt': { input: PromptInput; result: null };
  'provision.skills': { input: SkillsInput; result: null };
  'provision.git': { input: GitInput; result: null };
  'provision.supervise': { input: SuperviseInput; result: null };
  'provision.agent': { input: AgentInput; result: null };
  'provision.workspace': { input: WorkspaceInput; result: null };
  check: { input: CheckInput; result: CheckResult };
}

/** Compensation name to its input; none has a result. */
export interface UndoIo {
  'machine.stop': MachineInput;
  'machine.delete': MachineInput;
  'bundle.remove': { bottle: BottleRef };
  'network.remove': { bottle: BottleRef };
  /** `givesBack`: the bottle was adopted, and is that of the launch before again, with all that is kept of it. */
  'state.remove': { bottle: BottleRef; givesBack?: true };
}

export interface WatchInput extends MachineInput {
  /** The states last told of; the watch ends with the first change. */
  daemons: Record<string, DaemonState>;
  /** Where in the bundle's log the last watch ended, as {@link WatchNews.cursor}; null: from the bundle's start. */
  cursor: string | null;
  /** The watch ends when no command has run in the machine for so long; null: never for that. */
  idleMs: number | null;
  /** Processes killed for memory since then have not been told of; ISO 8601. */
  killsSince?: string;
  /** When one was last told of; absent: never yet. */
  killedAt?: string;
  /** When the machine's limit of processes was last told of; absent: never yet. */
  outOfPids?: ProcessLimitMet;
  /** It was told that nobody could look; absent: that it can be looked at. */
  blind?: true;
  /** It was told that what the host keeps of the bottle is gone; absent: that it is there. */
  stateGone?: true;
}

/** What happened while a bottle was watched. */
/** What a watch tells that has heard nothing. */
export const noNews = (cursor: string | null): WatchNews => ({
  steps: [],
  daemons: null,
  asked: [],
  refused: [],
  cursor,
});

export interface WatchNews {
  /** Ids of the steps that must run again, in the order of the launch, because what they made has died. */
  steps: string[];
  /** With steps: of each whose own making is gone, how it went, in words. */
  why?: Record<string, string>;
  /** With steps: for how long it had been watched, in milliseconds. */
  stoodMs?: number;
  /** Nobody can look any more, and why; null: somebody can again. */
  trouble?: ErrorView | null;
  /** What the host keeps of the bottle (plan, answers, the CA's key) is gone, or there again. */
  state?: 'gone' | 'back';
  /** States of the daemons now; null when nothing was heard of them. */
  daemons: Record<string, DaemonState> | null;
  /** What the agent asked. */
  asked: AskedRequest[];
  /** Routes whose credential the upstream refused. */
  refused: { route: string; status: number; at: string }[];
  cursor: string | null;
  /** No command has run in the machine for as long as it may. */
  idle?: true;
  /** Processes killed for memory. */
  killed?: MemoryKill[];
  /** The machine has had as many processes as it may. */
  outOfPids?: ProcessLimitMet;
}

/** What an activity gives back: its result, and which attempt it was, which a workflow cannot see otherwise. */
export interface StepReturn<Result> {
  attempt: number;
  value: Result;
}
