/**
 * What each step takes and gives. Inputs are slices of the plan and of earlier results, so a history holds each
 * fact once and stays small (the launch's history is a figure of the bench).
 */
import type { DaemonName } from './daemons.ts';
import type { Plan, Resources } from './plan.ts';
import type { Driver } from './status.ts';

/** Whose step it is: the workflow's id and run id. */
export interface BottleRef {
  id: string;
  runId: string;
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

export interface PrepareInput {
  bottle: BottleRef;
  agent: string;
  driver?: Driver;
}

/** The plan, and where a person can look at the launch. */
export interface PrepareResult {
  plan: Plan;
  uiUrl: string | null;
}

export interface NetworkInput {
  bottle: BottleRef;
  pool: string;
  driver: Driver;
}

export interface BundleInput {
  bottle: BottleRef;
  network: NetworkFacts;
  image: string;
  daemons: DaemonName[];
  allow: string[];
}

export interface BundleResult {
  container: string;
  daemons: Record<string, string>;
}

export interface MachineCreateInput {
  bottle: BottleRef;
  driver: Driver;
  network: NetworkFacts;
  image: string;
  env: Record<string, string>;
  resources: Resources;
}

export interface MachineInput {
  bottle: BottleRef;
  driver: Driver;
}

export interface SkillsInput extends MachineInput {
  skills: string[];
  /** Absolute path inside the machine. */
  directory: string;
}

export interface CheckInput extends MachineInput {
  network: NetworkFacts;
  /** Hosts the proxy must let through; the check asks for the proxy's verdict on the first. */
  allow: string[];
}

/** Step id to its input and result. */
export interface StepIo {
  prepare: { input: PrepareInput; result: PrepareResult };
  network: { input: NetworkInput; result: NetworkFacts };
  bundle: { input: BundleInput; result: BundleResult };
  'machine.create': { input: MachineCreateInput; result: null };
  'machine.start': { input: MachineInput; result: null };
  'provision.prompt': { input: MachineInput; result: null };
  'provision.skills': { input: SkillsInput; result: null };
  'provision.agent': { input: MachineInput; result: null };
  check: { input: CheckInput; result: null };
}

/** Compensation name to its input; none has a result. */
export interface UndoIo {
  'machine.stop': MachineInput;
  'machine.delete': MachineInput;
  'bundle.remove': { bottle: BottleRef };
  'network.remove': { bottle: BottleRef };
  'state.remove': { bottle: BottleRef };
}

/** What can die while a bottle is ready, and what then has to run again. */
export interface Deaths {
  /** Step ids, in the order of the launch. */
  steps: string[];
}

/** What an activity gives back: its result, and which attempt it was, which a workflow cannot see otherwise. */
export interface StepReturn<Result> {
  attempt: number;
  value: Result;
}
