import type { PrepareInput, PrepareResult } from '../core/step-io.ts';
import { removeBottleState, writeBottleState } from '../host/bottle-state.ts';
import { assertGitleaks, assertImages } from '../host/images.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { makePlan } from '../host/planning.ts';
import type { ActivityHost } from './activity-host.ts';

/** Reads the manifest as it is on disk now, and keeps plan and prompt in the bottle's state directory. */
export async function prepare(host: ActivityHost, input: PrepareInput): Promise<PrepareResult> {
  const { settings } = host;
  const { plan, prompt } = await makePlan({ settings, agent: input.agent, driver: input.driver });
  // Found out now rather than half-way: no driver and no image is nothing another step can mend.
  machineDriver(plan.driver, host);
  await assertImages(host.docker, Object.values(plan.images));
  if (plan.bundle.gitGate !== null) await assertGitleaks();
  await writeBottleState(settings, input.bottle.id, plan, prompt);
  return { plan, uiUrl: host.uiUrl(input.bottle.id, input.bottle.runId) };
}

export async function removeState({ settings }: ActivityHost, id: string): Promise<void> {
  await removeBottleState(settings, id);
}
