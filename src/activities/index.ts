/** Every activity of a worker, by the names of contract.md: one a step, one a compensation. */
import type { Loss } from '../core/healing.ts';
import type { RereadInput, RereadResult } from '../core/plan-change.ts';
import {
  type AdmitInput,
  type BottleRef,
  type MachineInput,
  noNews,
  type StepIo,
  type StepReturn,
  type UndoIo,
  type WatchInput,
  type WatchNews,
} from '../core/step-io.ts';
import { launchSteps } from '../core/steps.ts';
import { admissionOf } from '../host/admission.ts';
import { ensureBundle, removeBundle } from '../host/bundle.ts';
import { takeRequests } from '../host/kept-requests.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { ensureNetwork, removeNetwork, subnetOfMachine } from '../host/network.ts';
import { lossOf } from '../host/standing.ts';
import { giveBackState } from '../host/state-owner.ts';
import type { ActivityHost } from './activity-host.ts';
import { adoptedAway, inNameOfMaker } from './adopt.ts';
import { asActivity, type Step } from './as-activity.ts';
import { check } from './check.ts';
import { admit, prepare, removeState } from './prepare.ts';
import {
  provisionAgent,
  provisionGit,
  provisionPrompt,
  provisionSkills,
  provisionSupervise,
  provisionWorkspace,
} from './provision.ts';
import { provisionCa } from './provision-ca.ts';
import { reread } from './reread.ts';
import { watch } from './watch.ts';

const WATCH_HEARTBEAT_MS = 20_000;

/** Every step and compensation as a plain function, for a caller that has no Temporal (the bench). */
export type StepFunctions = {
  [Name in keyof StepIo]: Step<StepIo[Name]['input'], StepIo[Name]['result']>;
} & {
  [Name in keyof UndoIo]: Step<UndoIo[Name], null>;
};

export function stepFunctions(host: ActivityHost): StepFunctions {
  return {
    prepare: (input) => prepare(host, input),
    network: async ({ bottle, pool, driver, link, subnet }) => {
      const spec = { pool, hostOnBridge: driver !== 'docker' && link !== 'sockets' };
      // Its machine knows no other place, and nobody remembers a result of the step.
      const had = subnet ?? (bottle.madeBy === undefined ? undefined : await subnetOfMachine(host, bottle.id));
      return ensureNetwork(host, bottle, spec, had);
    },
    bundle: async (input, signal) =>
      ensureBundle(host, { ...input, requests: await takeRequests(host.settings, input) }, signal),
    'machine.create': ({ bottle, driver, ...spec }, signal) =>
      done(machineDriver(driver, host).create(bottle, spec, signal)),
    'machine.start': ({ bottle, driver }, signal) => done(machineDriver(driver, host).start(bottle, signal)),
    'provision.ca': (input, signal) => provisionCa(host, input, signal),
    'provision.prompt': (input, signal) => provisionPrompt(host, input, signal),
    'provision.skills': (input, signal) => provisionSkills(host, input, signal),
    'provision.git': (input, signal) => provisionGit(host, input, signal),
    'provision.supervise': (input, signal) => provisionSupervise(host, input, signal),
    'provision.agent': (input, signal) => provisionAgent(host, input, signal),
    'provision.workspace': (input, signal) => provisionWorkspace(host, input, signal),
    check: (input, signal) => check(host, input, signal),

    // By run: the launch may have been terminated meanwhile, and another of the same id begun.
    'machine.stop': ({ bottle: { id, runId }, driver }) => done(machineDriver(driver, host).stop(id, runId)),
    'machine.delete': ({ bottle: { id, runId }, driver }) => done(machineDriver(driver, host).delete(id, runId)),
    'bundle.remove': ({ bottle: { id, runId } }) => done(removeBundle(host, id, runId)),
    'network.remove': ({ bottle: { id, runId } }) => done(removeNetwork(host, id, runId)),
    'state.remove': ({ bottle, givesBack }) =>
      done(givesBack === true ? giveBackState(host.settings, bottle, host.owner) : removeState(host, bottle)),
  };
}

export type Activities = Record<
  keyof StepFunctions | 'watch' | 'survey' | 'reread',
  (input: never) => Promise<StepReturn<unknown>>
>;

/** What a worker takes from its host's task queue. */
export function createActivities(host: ActivityHost): Activities {
  const inName = inNameOfMaker(host);
  const steered = steeredSteps(host, inName);
  const wrapped = Object.entries(steered).map(([name, step]) => [name, asActivity(seenByAdmission(host, name, step))]);
  const rereading = asActivity<RereadInput, RereadResult>(async (input) => {
    await assertNotAdopted(host, input.bottle);
    return reread(host, input);
  });
  // One that stands on the task queue, where a launch of an earlier version has put it, ends at once: its launch watches on
  // from the same place by the waiting queue.
  const moving = asActivity<WatchInput, WatchNews>(async ({ cursor }) => noNews(cursor));
  const surveying = asActivity<MachineInput, Loss>(async (input) => {
    await assertNotAdopted(host, input.bottle);
    return lossOf(...inName(input));
  });
  return { ...Object.fromEntries(wrapped), watch: moving, survey: surveying, reread: rereading } as Activities;
}

const STEPS: ReadonlySet<string> = new Set(launchSteps({ copyCwd: 'all' }).map(({ id }) => id));

/** What is kept of a bottle is its launch's own; the others work with what Docker and the driver have of it. */
const OF_THE_STATE: ReadonlySet<string> = new Set(['prepare', 'state.remove']);

/**
 * A step or compensation, as the launch that steers the bottle has it done: in the name of the one that made the bottle, and not at
 * all once another launch has adopted it.
 */
function steeredSteps(host: ActivityHost, inName: ReturnType<typeof inNameOfMaker>): AnySteps {
  const own = stepFunctions(host) as unknown as AnySteps;
  const others = new WeakMap<ActivityHost, AnySteps>();
  const stepsOf = (maker: ActivityHost): AnySteps => {
    if (maker === host) return own;
    const steps = others.get(maker) ?? (stepFunctions(maker) as unknown as AnySteps);
    others.set(maker, steps);
    return steps;
  };
  const steered = (name: string): AnyStep => {
    return async (input, signal) => {
      const away = await adoptedAway(host, input.bottle);
      if (away !== undefined && STEPS.has(name)) throw away;
      if (away !== undefined) return null;
      const [maker, named] = OF_THE_STATE.has(name) ? [host, input] : inName(input);
      return (stepsOf(maker)[name] as AnyStep)(named, signal);
    };
  };
  return Object.fromEntries(Object.keys(own).map((name) => [name, steered(name)]));
}

type AnyStep = Step<{ bottle: BottleRef }, unknown>;
type AnySteps = Record<string, AnyStep>;

/** @throws BottleError `ADOPTED` */
async function assertNotAdopted(host: ActivityHost, bottle: BottleRef): Promise<void> {
  const away = await adoptedAway(host, bottle);
  if (away !== undefined) throw away;
}

/** Which launches are under way shows by their steps alone, so that a new worker knows it as soon as it works. */
function seenByAdmission<Result>(
  host: ActivityHost,
  name: string,
  step: Step<{ bottle: BottleRef }, Result>,
): Step<{ bottle: BottleRef }, Result> {
  // It is what asks for room; until it has, nothing is under way.
  if (name === 'prepare') return step;
  const admission = admissionOf(host);
  return async (input, signal) => {
    const { id } = input.bottle;
    if (STEPS.has(name)) admission.begin(id);
    else admission.over(id);
    try {
      return await step(input, signal);
    } finally {
      if (STEPS.has(name)) admission.end(id);
      else admission.over(id);
    }
  };
}

export type WaitingActivities = Record<'watch' | 'admit', (input: never) => Promise<StepReturn<unknown>>>;

/** What only waits, for as long as a bottle lives: taken from the waiting queue, where it keeps no step from running. */
export function createWaitingActivities(host: ActivityHost): WaitingActivities {
  // It lasts for days and nothing waits for its cancellation, so a beat now and then is enough.
  const inName = inNameOfMaker(host);
  const watching = asActivity<WatchInput, WatchNews>(async (input, signal) => {
    await assertNotAdopted(host, input.bottle);
    admissionOf(host).ready(input.bottle.id);
    const [maker, named] = inName(input);
    return watch(maker, named, signal);
  }, WATCH_HEARTBEAT_MS);
  const waiting = asActivity<AdmitInput, null>((input, signal) => admit(host, input, signal), null);
  return { watch: watching, admit: waiting };
}

/** Results are JSON, which has no `undefined`. */
async function done(work: Promise<void>): Promise<null> {
  await work;
  return null;
}
