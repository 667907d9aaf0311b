/** The status document of contract.md: what `bottle status --json` prints and the `status` query answers. */
import type { Scanner } from './bundle-plans.ts';
import type { WaitsFor } from './capacity.ts';
import type { ErrorView } from './errors.ts';
import type { HealingStatus } from './healing.ts';
import type { MemoryKill } from './memory-kills.ts';
import type { ProcessLimitMet } from './process-limit.ts';
import type { Unsearched, WayOutProblem } from './reach.ts';
import type { RequestView } from './requests.ts';
import type { Maker } from './step-io.ts';

export type Phase = 'queued' | 'launching' | 'held' | 'ready' | 'healing' | 'stopping' | 'stopped' | 'failed';

export type StepState = 'pending' | 'running' | 'done' | 'held' | 'skipped' | 'undoing' | 'undone' | 'undo-held';

export type Driver = 'docker' | 'smolvm';

export interface StepStatus {
  id: string;
  state: StepState;
  /** How often the step was started, automatic attempts included; 0 while pending. */
  attempts: number;
  /** ISO 8601, when it was first started; absent while pending. */
  startedAt?: string;
  /** Milliseconds from the last start to its end; absent until then. */
  durationMs?: number;
  /** Why it is held, or what its last attempt failed with. */
  error?: ErrorView;
}

export interface NetworkStatus {
  name: string;
  /** CIDR, always a /28. */
  subnet: string;
  gateway: string;
  bundleIp: string;
}

export interface BundleStatus {
  container: string;
  /** Daemon name to state, as last reported by the bundle's init. */
  daemons: Record<string, string>;
  /** What stands at the way out: `allow-list` where pipelock itself is not to be had. */
  scanner: Scanner;
  /** Routes whose credential the upstream refused, newest last. */
  refused: CredentialRefusal[];
}

export interface CredentialRefusal {
  route: string;
  /** 401 or 403. */
  status: number;
  /** ISO 8601. */
  at: string;
}

export interface MachineStatus {
  name: string;
  state: 'created' | 'running' | 'stopped' | 'absent';
}

/** The limit of its manifest that ends a bottle. */
export type StopReason = 'lifetime' | 'idle';

export interface LimitsStatus {
  /** Since it was ready, and without any process beyond those it began with; null for never. */
  lifetimeMs: number | null;
  idleMs: number | null;
  /** ISO 8601: the end of its lifetime; null while it is not ready, or without one. */
  endsAt: string | null;
}

export interface StatusDocument {
  id: string;
  agent: string;
  phase: Phase;
  host: string;
  /** `null` until `prepare` has chosen one. */
  driver: Driver | null;
  runId: string;
  uiUrl: string | null;
  startedAt: string;
  readyAt: string | null;
  /** Why it ends by itself; null while it does not. */
  stoppedBy: StopReason | null;
  /** The launch that made the bottle, as labels name it, where this one has adopted it; absent where it made it itself. */
  madeBy?: Maker;
  /** What a queued launch waits for, since when (ISO 8601); absent in every other phase. */
  waitsFor?: WaitsFor & { since: string };
  /** When it is stopped by itself; absent where it never is, or is not known yet. */
  limits?: LimitsStatus;
  network: NetworkStatus | null;
  bundle: BundleStatus | null;
  machine: MachineStatus | null;
  /** Whom the bottle did not reach when it was checked, and why; absent where that is well, or not known. */
  wayOut?: WayOutProblem;
  /** The machine held more than `check` looks through for credentials; absent where it looked at all of it. */
  unsearched?: Unsearched;
  /** Why the Engine of this host does not answer: what is told of bundle and machine is from before. Only told by `bottle status`. */
  engineError?: ErrorView;
  steps: StepStatus[];
  /** What the agent asked, oldest first. */
  requests: RequestView[];
  /** How many more it asked that were answered long ago and are kept no more; absent while there are none. */
  olderRequests?: number;
  /** Processes that were killed for memory, and the limit they reached in MiB; absent while there are none. */
  killedForMemory?: (MemoryKill & { limitMiB?: number })[];
  /** The machine has had as many processes as it may, which is `limit`: `resources.pids`; absent while it never had. */
  outOfPids?: ProcessLimitMet & { limit?: number };
  /** What has died under it and was made again; absent while nothing has. */
  healings?: HealingStatus;
  /**
   * Why nobody can look at what it stands on, record what it does, or make it again: an Engine that does not answer, a full
   * disk, a state directory that is gone; absent while all is well.
   */
  trouble?: ErrorView;
}

/** One row of `bottle ls --json`. */
export interface BottleRow {
  id: string;
  agent: string;
  phase: Phase;
  host: string;
  driver: Driver | null;
  heldSteps: string[];
  startedAt: string;
  /** What a queued one waits for; absent in every other phase. */
  waitsFor?: WaitsFor;
  /** The limit that ended it; absent where none did. */
  stoppedBy?: StopReason;
  /** Why nobody can look at what it stands on, or record what it does; absent while all is well, and for a closed one. */
  trouble?: ErrorView;
}

/** What a launch keeps in its memo, so that `bottle ls` needs no worker: small, durable, no secrets. */
export interface LaunchMemo {
  agent: string;
  driver: Driver | null;
  /** Step ids waiting for a decision, in the order of the launch. */
  heldSteps: string[];
  /** The first held step's error. */
  error?: ErrorView;
  /** How many requests wait for the operator; absent while none does. */
  pendingRequests?: number;
  /** When the launch began, ISO 8601; absent in its first run, which began just then. */
  startedAt?: string;
  /** The limit that ends it; absent while none does. */
  stoppedBy?: StopReason;
  /** The id under which the operator's answers were laid aside for it; absent for none. */
  answers?: string;
  /** First run id of the launch whose bottle it takes over; absent where it makes one. */
  adopts?: string;
  /** What it waits for, as it was when it was queued; it may stay when the launch has gone on. */
  waitsFor?: WaitsFor;
  /** Why nobody can look at what it stands on; absent while somebody can. */
  trouble?: ErrorView;
}
