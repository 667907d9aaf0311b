/** Cuts each step's input out of the launch: the slice of plan and earlier results that it works from. */
import { agentEnvironment, providerContext, superviseUrl } from './agent-environment.ts';
import { type BundlePlans, secretRefsOf } from './bundle-plans.ts';
import type { LaunchInput } from './launch-input.ts';
import { seenFromMachine } from './machine-link.ts';
import type { BookChanges } from './request-book.ts';
import type { BottleRef, CaInput, MachineInput, NetworkFacts, PrepareResult, StepIo } from './step-io.ts';
import type { StepId } from './steps.ts';

export interface LaunchContext {
  bottle: BottleRef;
  input: LaunchInput;
  /** When the launch was asked for, ISO 8601. */
  askedAt?: string;
  /** The result of a step that is done. */
  result(step: StepId): unknown;
  /** What the agent has asked, and the host does not know yet. */
  requests(): BookChanges;
}

/** The slice of plan and earlier results that a step works from; undefined when an earlier result is missing. */
export function stepInput(step: StepId, context: LaunchContext): StepIo[StepId]['input'] | undefined {
  const { input, askedAt, result } = context;
  if (step === 'prepare') return { bottle: context.bottle, ...input, ...(askedAt === undefined ? {} : { askedAt }) };
  const prepared = result('prepare') as PrepareResult | undefined;
  if (prepared === undefined) return undefined;
  const { plan } = prepared;
  const { driver, link } = plan;
  const bottle = bottleRef(context.bottle, prepared);
  const network = result('network') as NetworkFacts | undefined;
  if (step === 'network') {
    const had = network === undefined ? {} : { subnet: network.subnet };
    return { bottle, pool: plan.pool, driver, link, ...had };
  }
  if (network === undefined) return undefined;
  const machine: MachineInput = { bottle, driver };
  // Once: what is provisioned later has changed in the manifest, or the machine is another one.
  const keeping =
    prepared.madeBy !== undefined && result(step) === undefined ? { ...machine, keeps: true as const } : machine;
  const inside = seenFromMachine(network, link);
  switch (step) {
    case 'bundle': {
      const { images, uplink, scanner, bundle: plans } = plan;
      return { bottle, network, image: images.bundle, uplink, scanner, plans, book: context.requests() };
    }
    case 'machine.create': {
      const env = agentEnvironment(inside, plan);
      return { ...machine, network, link, image: plan.images.guest, env, resources: plan.resources };
    }
    case 'provision.ca':
      return { ...machine, intercept: plan.bundle.pipelock.intercept, ...networkCa(plan.bundle) };
    case 'provision.prompt':
      return { ...machine, digest: plan.prompt.digest };
    case 'provision.skills': {
      const { skills, skillsDigest: digest, guest } = plan;
      return { ...keeping, skills, digest, directory: guest.skillsDirectory };
    }
    case 'provision.git': {
      const repos = (plan.bundle.gitGate?.repos ?? []).map(({ name, upstream }) => ({ name, upstream }));
      return { ...machine, network: inside, repos, user: plan.git.user };
    }
    case 'provision.supervise':
      return { ...machine, url: superviseUrl(inside, plan) };
    case 'provision.agent': {
      const { provider, privateEnv, message } = plan;
      return { ...keeping, template: provider.template, context: providerContext(inside, plan), privateEnv, message };
    }
    case 'provision.workspace':
      return plan.workspace === null ? undefined : { ...keeping, ...plan.workspace };
    case 'check': {
      const { front, daemons, scanner, bundle, provider } = plan;
      const { allow } = bundle.pipelock;
      return {
        ...machine,
        network: inside,
        link,
        ...(front === undefined ? {} : { front }),
        daemons,
        scanner,
        template: provider.template,
        allow,
        secrets: secretRefsOf(bundle),
      };
    }
    default:
      return machine;
  }
}

function networkCa({ ca, caDigest }: BundlePlans): Pick<CaInput, 'ca'> {
  return ca === null ? {} : { ca: { file: ca, digest: caDigest ?? '' } };
}

/** An undo finds things by label, so it needs no result of the step it undoes: that may have been lost. */
export function undoInput({ bottle, input, result }: LaunchContext): MachineInput {
  const prepared = result('prepare') as PrepareResult | undefined;
  return { bottle: bottleRef(bottle, prepared), driver: prepared?.plan.driver ?? input.driver ?? 'docker' };
}

/** A bottle as its steps know it: where the launch has adopted it, with who made it. */
export const bottleRef = (bottle: BottleRef, prepared: Pick<PrepareResult, 'madeBy'> | undefined): BottleRef =>
  prepared?.madeBy === undefined ? bottle : { ...bottle, madeBy: prepared.madeBy };
