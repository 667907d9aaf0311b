/**
 * A launch whose manifest has changed on disk: which of its steps would work from something else now, and whether those
 * that are done can take it. Pure.
 */
import type { BundlePlans } from './bundle-plans.ts';
import { caEnvironment } from './ca-environment.ts';
import type { LaunchInput } from './launch-input.ts';
import { NPM_REGISTRY_HOST } from './npm-settings.ts';
import type { Plan } from './plan.ts';
import { PROVIDERS } from './providers/providers.ts';
import { NOTHING_ASKED } from './request-book.ts';
import { type LaunchContext, stepInput } from './step-input.ts';
import type { BottleRef, MachineCreateInput, NetworkFacts } from './step-io.ts';
import { LAUNCH_STEPS, type StepId } from './steps.ts';

export interface RereadInput {
  bottle: BottleRef;
  launch: LaunchInput;
  /** What the launch works from until now. */
  plan: Plan;
  network: NetworkFacts;
  /** `retry`: what is done must stay as it is; `apply`: what can be done again in place is. */
  mode: 'retry' | 'apply';
  /** Steps that are done, or under way. */
  built: string[];
}

export interface RereadResult {
  /** Null: nothing that matters has changed. */
  plan: Plan | null;
  /** Done steps that have to run again, in the order of the launch. */
  again: string[];
}

/** A network or a machine cannot become another; everything else is written anew into what there is. */
const FIXED: ReadonlySet<string> = new Set(['network', 'machine.create', 'machine.start']);

export interface PlanChange {
  /** What the launch works from from now on. */
  plan: Plan;
  /** Steps that would work from something else than until now. */
  changed: StepId[];
  /** Done ones among them. */
  again: StepId[];
  /** Those of them that cannot; empty when the change can be taken over. */
  refused: StepId[];
  /** What has changed, in the manifest's words. */
  keys: string[];
}

/**
 * @param found the plan that the files make now
 */
export function planChange(input: RereadInput, found: Plan): PlanChange {
  const plan = withHostFacts(input.mode === 'retry' ? asBefore(found, input.plan) : found, input.plan);
  const changed = LAUNCH_STEPS.map(({ id }) => id).filter(
    (step) => step !== 'prepare' && inputText(step, input, input.plan) !== inputText(step, input, plan),
  );
  const again = changed.filter((step) => input.built.includes(step));
  const refused = again.filter((step) => (input.mode === 'retry' ? step !== 'check' : FIXED.has(step)));
  return { plan, changed, again, refused, keys: changedKeys(input.plan, plan) };
}

/**
 * What a newer version of bottle makes of the same file is no change of it, and nothing that is done should stand in the way of
 * a retry: the keys for the agent's program were not read once, and fewer hosts were open for its login. `apply` takes them.
 */
function asBefore(found: Plan, plan: Plan): Plan {
  const { hosts } = PROVIDERS[found.provider.template];
  const { allow } = plan.bundle.pipelock;
  const direct = hosts[0] !== undefined && allow.includes(hosts[0]);
  const newer = direct ? hosts.filter((host) => !allow.includes(host)) : [];
  const { pipelock } = found.bundle;
  const bundle = {
    ...found.bundle,
    pipelock: { ...pipelock, allow: pipelock.allow.filter((host) => !newer.includes(host)) },
  };
  return plan.agentSettings === undefined
    ? { ...found, bundle, agentSettings: undefined, message: plan.message }
    : { ...found, bundle };
}

/** What a newer version of bottle, or another pool or uplink of the host, would bring is no change of the manifest. */
function withHostFacts(found: Plan, plan: Plan): Plan {
  const { pool, uplink, scanner, link, front } = plan;
  const ours = (tag: string): boolean => /^bottleworks\/(guest|codex|custom)(-full)?:/.test(tag);
  // What a bottle of an older version was made from is not known, and need not be what it would be made from now.
  const stock = plan.stock === undefined ? undefined : found.stock;
  const sameKind =
    ours(found.images.guest) &&
    ours(plan.images.guest) &&
    found.provider.template === plan.provider.template &&
    stock === plan.stock;
  const sameContext = found.dockerfile?.digest === plan.dockerfile?.digest;
  const guest = sameKind && sameContext ? plan.images.guest : found.images.guest;
  const bundle = withoutNewerFacts(found.bundle, plan.bundle);
  return { ...found, stock, pool, uplink, scanner, link, front, bundle, images: { guest, bundle: plan.images.bundle } };
}

/** A plan from before the machine trusted `network.ca` says nothing of what is in that file. */
function withoutNewerFacts(found: BundlePlans, { ca, caDigest }: BundlePlans): BundlePlans {
  if (ca === null || caDigest !== undefined || found.ca !== ca) return found;
  const { caDigest: _unknown, ...rest } = found;
  return rest;
}

function inputText(step: StepId, { bottle, launch, network }: RereadInput, plan: Plan): string {
  const context: LaunchContext = {
    bottle,
    input: launch,
    requests: () => NOTHING_ASKED,
    result: (id) => (id === 'prepare' ? { plan, uiUrl: null } : id === 'network' ? network : undefined),
  };
  const made = stepInput(step, context);
  return JSON.stringify(step === 'machine.create' ? withoutWhatFollows(made as MachineCreateInput, plan) : made);
}

/**
 * A company's CA is often what somebody finds missing once the machine is there. Commands in it are given these variables
 * by whoever starts them, so a machine can do without. What npm calls a registry follows from the routes: one more of them is no
 * reason to refuse what needs no other machine.
 */
function withoutWhatFollows(input: MachineCreateInput, { env: own }: Plan): MachineCreateInput {
  const ours = { ...caEnvironment(), [NPM_REGISTRY_HOST]: '' };
  const env = Object.entries(input.env).filter(([name]) => !Object.hasOwn(ours, name) || Object.hasOwn(own, name));
  return { ...input, env: Object.fromEntries(env) };
}

/** Beginnings of paths in a plan, and what a person knows them by; longest first. */
const NAMES: readonly [path: string, name: string][] = [
  ['bundle.pipelock.allow', 'allow'],
  ['bundle.pipelock.intercept', 'intercept'],
  ['bundle.egress', 'egress.routes'],
  ['bundle.gitGate', 'git-gate.repos'],
  ['bundle.supervise', 'supervise'],
  ['bundle.caDigest', 'network.ca'],
  ['bundle.ca', 'network.ca'],
  ['bundle.proxy', 'network.proxy'],
  ['git.user', 'git-gate.user'],
  ['limits.lifetimeMs', 'limits.lifetime'],
  ['limits.idleMs', 'limits.idle'],
  ['images', 'image'],
  ['dockerfile', 'image'],
  ['stock', 'image'],
  ['privateEnv', 'env'],
  ['prompt', 'the prompt'],
  ['provider', 'agent_provider'],
  ['skillsDigest', 'skills'],
  ['guest', 'BOTTLE_GUEST_SKILLS_DIR'],
];
/** They follow from what else has changed. */
const FOLLOWING: ReadonlySet<string> = new Set(['sources', 'daemons']);

/** `resources.cpus (2 -> 4)`: what differs between two plans; values only of what is short and no reference to a secret. */
export function changedKeys(before: Plan, after: Plan): string[] {
  const keys = differences([], before, after)
    .filter(({ path }) => !FOLLOWING.has(path[0] ?? ''))
    .map(({ path, from, to }) => {
      const whole = path.join('.');
      // As it is called in an agent file.
      if (path[0] === 'agentSettings') return path[1] ?? "the keys of the agent's program";
      const named = NAMES.find(([beginning]) => whole === beginning || whole.startsWith(`${beginning}.`));
      if (named !== undefined) return named[0] === 'privateEnv' ? `env.${path[1]}` : named[1];
      return isShort(from) && isShort(to) ? `${whole} (${from} -> ${to})` : whole;
    });
  return [...new Set(keys)];
}

const isShort = (value: unknown): boolean =>
  typeof value === 'number' ||
  typeof value === 'boolean' ||
  (typeof value === 'string' && /^[\w./:-]{1,40}$/.test(value));

interface Difference {
  path: string[];
  from: unknown;
  to: unknown;
}

function differences(path: string[], from: unknown, to: unknown): Difference[] {
  if (JSON.stringify(from) === JSON.stringify(to)) return [];
  if (!isRecord(from) || !isRecord(to)) return [{ path, from, to }];
  const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])];
  return keys.flatMap((key) => differences([...path, key], from[key], to[key]));
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
