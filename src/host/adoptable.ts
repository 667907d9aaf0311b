/** Whether a lost bottle can be taken over as it is: what a new launch of it goes on from. */
import { BottleError } from '../core/errors.ts';
import { type LaunchInput, validateLaunch } from '../core/launch-input.ts';
import { taskQueueOf } from '../core/names.ts';
import type { Plan } from '../core/plan.ts';
import { readLaunch, readPlan } from './bottle-state.ts';
import type { LostBottle } from './lost.ts';
import type { Settings } from './settings.ts';

export interface Adoptable {
  /** What the launch is asked for by: as the one before it, and with whose bottle it takes over. */
  input: LaunchInput;
  /** Of which it is made, and stays. */
  plan: Plan;
}

/** @throws BottleError `NOT_ADOPTABLE` with what is missing */
export async function adoptable(
  settings: Settings,
  { id, owner, run }: Pick<LostBottle, 'id' | 'owner' | 'run'>,
): Promise<Adoptable> {
  if (owner === undefined || run === undefined)
    throw refused(id, 'an earlier version of bottle noted nowhere whose it is');
  const [plan, launch] = await Promise.all([
    readPlan(settings, id).catch(() => undefined),
    readLaunch(settings, id).catch(() => undefined),
  ]);
  if (plan === undefined)
    throw refused(id, `its plan is gone from ${settings.state}, so nobody knows what it is made of`);
  if (launch === undefined) throw refused(id, 'an earlier version of bottle launched it, and kept nothing of how');
  const input = validateLaunch(id, taskQueueOf(settings.host), [{ ...launch, adopts: { owner, run } }]);
  if (typeof input === 'string') throw refused(id, `what is kept of how it was launched cannot be used: ${input}`);
  return { input, plan };
}

const refused = (id: string, why: string): BottleError =>
  new BottleError('NOT_ADOPTABLE', `${id} cannot be adopted: ${why}`, {
    hint: `take its work out (docker cp bottle-${id}-machine:/home/agent .), then: bottle gc --lost ${id}`,
  });
