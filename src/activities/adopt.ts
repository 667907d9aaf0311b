/** The first step of a launch that takes a lost bottle over as it is, in place of planning one. */
import { BottleError } from '../core/errors.ts';
import type { BottleRef, Maker, PrepareInput, PrepareResult } from '../core/step-io.ts';
import { readPlan, readPrompt, writeBottleState } from '../host/bottle-state.ts';
import { assertSupported } from '../host/engine-support.ts';
import { readRequests } from '../host/kept-requests.ts';
import { assertDriver } from '../host/machine/drivers.ts';
import { removeMadeBy } from '../host/reap.ts';
import { adoptedBy, adoptState, isLaunch, isSuperseded, makerOf, readStateOwner } from '../host/state-owner.ts';
import type { ActivityHost } from './activity-host.ts';

/**
 * Goes on with the plan that the bottle was made from, whatever the files say now, so that nothing of it is made anew. It stands
 * already, so it need not wait for room.
 * @param adopts whose it is until now
 * @throws BottleError `STATE_MISSING` when there is nothing to go on from, `ADOPTED` when another launch has
 */
export async function adopt(
  host: ActivityHost,
  { bottle, adopts, askedAt: _askedAt, ...launch }: PrepareInput & { adopts: Maker },
): Promise<PrepareResult> {
  const { settings } = host;
  const plan = await readPlan(settings, bottle.id);
  if (plan === undefined)
    throw new BottleError('STATE_MISSING', `the plan of ${bottle.id} is gone from ${settings.state}`, {
      hint: `what it was made from is not known: bottle abort ${bottle.id}, then bottle gc --lost ${bottle.id}`,
    });
  await assertSupported(host.docker);
  await assertDriver(plan.driver, host);
  const [prompt, asked] = await Promise.all([readPrompt(settings, bottle.id), readRequests(settings, bottle.id)]);
  // Until now nothing has happened; from now on it is this launch's.
  const state = await adoptState(settings, bottle, host, adopts);
  await writeBottleState(settings, bottle.id, { plan, prompt, launch });
  return { plan, uiUrl: host.uiUrl(bottle.id, bottle.runId), madeBy: makerOf(state), asked };
}

/** Ensures that nothing of an adopted bottle is left, also where the launch ends before all its steps had to do with what was there. */
export async function removeAdopted(host: ActivityHost, { id, runId, madeBy }: BottleRef): Promise<void> {
  const state = await readStateOwner(host.settings, id);
  const isOurs = isLaunch(state, { owner: host.owner, run: runId });
  const maker = isOurs && state?.adopted !== undefined ? makerOf(state) : madeBy;
  if (maker !== undefined) await removeMadeBy(host, id, maker);
}

/**
 * Whether another launch has adopted the bottle since: its steps must change nothing of it any more, and there is nothing of it to undo.
 * @returns the error that says so
 */
export async function adoptedAway(
  { settings, owner }: Pick<ActivityHost, 'settings' | 'owner'>,
  { id, runId }: BottleRef,
): Promise<BottleError | undefined> {
  const state = await readStateOwner(settings, id);
  if (state === undefined || !isSuperseded(state, { owner, run: runId })) return undefined;
  return adoptedBy(state, id);
}

/**
 * In whose name the objects of a bottle are worked with: that of the launch that made it, since that is what their labels say.
 * One host for each owner, as what is shared among bottles hangs on it.
 */
export function inNameOfMaker(
  host: ActivityHost,
): <Input extends { bottle: BottleRef }>(input: Input) => [ActivityHost, Input] {
  const hosts = new Map([[host.owner, host]]);
  return (input) => {
    const { madeBy } = input.bottle;
    if (madeBy === undefined) return [host, input];
    const maker = hosts.get(madeBy.owner) ?? { ...host, owner: madeBy.owner };
    hosts.set(madeBy.owner, maker);
    return [maker, { ...input, bottle: { ...input.bottle, runId: madeBy.run } }];
  };
}
