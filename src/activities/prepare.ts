import { heartbeat } from '@temporalio/activity';
import type { WaitsFor } from '../core/capacity.ts';
import { BottleError } from '../core/errors.ts';
import { DEFAULT_IMAGE } from '../core/manifest/fields.ts';
import { notProxied } from '../core/not-proxied.ts';
import type { Plan } from '../core/plan.ts';
import { smolmachineOf } from '../core/smolmachine.ts';
import type { AdmitInput, BottleRef, PrepareInput, PrepareResult } from '../core/step-io.ts';
import { admissionOf } from '../host/admission.ts';
import { takeAnswers } from '../host/answers-aside.ts';
import { writeBottleState } from '../host/bottle-state.ts';
import { ensureCustomImage } from '../host/custom-image.ts';
import { assertSupported } from '../host/engine-support.ts';
import { guestKind, imageTag } from '../host/image-tags.ts';
import { assertGitleaks, assertImages } from '../host/images.ts';
import { assertDriver } from '../host/machine/drivers.ts';
import { makePlan } from '../host/planning.ts';
import { inPlanningTurn } from '../host/planning-turns.ts';
import { claimState, releaseState } from '../host/state-owner.ts';
import { assertWorkspaceFolder } from '../host/workspace.ts';
import type { ActivityHost } from './activity-host.ts';
import { adopt, removeAdopted } from './adopt.ts';

const ADMIT_HEARTBEAT_MS = 10_000;

/**
 * Reads the manifest as it is on disk now, and keeps plan and prompt in the bottle's state directory. Whether the host has
 * room for the launch is found out on the way, so that one that need not wait loses no time by it.
 */
export async function prepare(
  host: ActivityHost,
  { bottle, askedAt = new Date().toISOString(), adopts, ...launch }: PrepareInput,
): Promise<PrepareResult> {
  if (adopts !== undefined) return adopt(host, { bottle, adopts, ...launch });
  const { settings } = host;
  // First of all: what is in the bottle's own directory goes with it, whatever becomes of the rest.
  await claimState(settings, bottle, host);
  if (launch.answers !== undefined) await takeAnswers(settings, bottle.id, launch.answers);
  const { plan, prompt } = await inPlanningTurn(() => makePlan({ settings, launch }));
  await assertPossible(host, plan);
  await writeBottleState(settings, bottle.id, { plan, prompt, launch });
  const { cpus } = plan.resources;
  const waitsFor = await admissionOf(host).ask({ id: bottle.id, askedAt, cpus });
  const uiUrl = host.uiUrl(bottle.id, bottle.runId);
  return { plan, uiUrl, endsSideBySide: true, ...(waitsFor === undefined ? {} : { waitsFor }) };
}

/** Waits until the host has room. What is missing is told by heartbeats, which leave nothing in a history. */
export async function admit(host: ActivityHost, { bottle, ...asking }: AdmitInput, signal: AbortSignal): Promise<null> {
  let waitsFor: WaitsFor | undefined;
  const tell = (what?: WaitsFor): void => {
    waitsFor = what ?? waitsFor;
    heartbeat(waitsFor);
  };
  const beat = setInterval(tell, ADMIT_HEARTBEAT_MS);
  const ended = AbortSignal.any([signal, host.stopping]);
  try {
    await admissionOf(host).wait({ id: bottle.id, ...asking }, ended, tell);
    return null;
  } catch (error) {
    signal.throwIfAborted();
    if (host.stopping.aborted) throw new BottleError('WORKER_LOST', 'the worker stops; the next one goes on waiting');
    throw error;
  } finally {
    clearInterval(beat);
  }
}

/** Found out now rather than half-way: no such Engine, no driver and no image is nothing another step can mend. */
export async function assertPossible(host: ActivityHost, plan: Plan): Promise<void> {
  await assertSupported(host.docker);
  await assertDriver(plan.driver, host);
  if (plan.workspace !== null) await assertWorkspaceFolder(plan.workspace.folder);
  if (plan.dockerfile !== null) {
    const base = await imageTag(guestKind(plan.provider.template, plan.stock ?? DEFAULT_IMAGE));
    await assertImages(host.docker, [base], plan.agent);
    const custom = { dockerfile: plan.dockerfile.file, tag: plan.images.guest, base };
    await ensureCustomImage(host.docker, custom, { report: () => undefined });
  }
  // A packed machine was found when the plan was made, and the Engine knows nothing of it.
  const tags = Object.values(plan.images).filter((image) => smolmachineOf(image) === undefined);
  await assertImages(host.docker, tags, plan.agent);
  if (plan.bundle.pipelock.intercept && plan.scanner !== 'pipelock') throw interceptsNothing();
  if (plan.bundle.gitGate !== null) await assertGitleaks();
  assertProxied(plan);
}

/** What would go out past the company's proxy, and so nowhere, is said before anything is made. */
function assertProxied({ bundle, scanner }: Plan): void {
  const { proxy } = bundle;
  if (proxy === undefined) return;
  const problems = notProxied(bundle, proxy, scanner);
  if (problems.length === 0) return;
  throw new BottleError('MANIFEST_INVALID', problems.map(({ what }) => what).join('; '), {
    hint: [...new Set(problems.map(({ hint }) => hint))].join('; '),
  });
}

/** Nobody should believe that their traffic is read when it is not. */
const interceptsNothing = (): BottleError =>
  new BottleError('TOOL_MISSING', 'intercept needs pipelock, which is not in the image of the bundle', {
    hint: 'bottle doctor says where it is looked for; or write intercept: false',
  });

export async function removeState(host: ActivityHost, bottle: BottleRef): Promise<void> {
  await removeAdopted(host, bottle);
  await releaseState(host.settings, bottle.id, { owner: host.owner, run: bottle.runId });
}
