import { BottleError } from '../core/errors.ts';
import { type PlanChange, planChange, type RereadInput, type RereadResult } from '../core/plan-change.ts';
import { hasPlan, writeBottleState } from '../host/bottle-state.ts';
import { makePlan } from '../host/planning.ts';
import { claimState } from '../host/state-owner.ts';
import type { ActivityHost } from './activity-host.ts';
import { assertPossible } from './prepare.ts';

/**
 * Reads the manifest again for a launch that is under way. What it changes takes effect only when every step that is done
 * can take it. What the host keeps of the launch is written anew where it is gone.
 * @throws BottleError `PLAN_CHANGED` naming what differs in which steps, and what makePlan throws
 */
export async function reread(host: ActivityHost, input: RereadInput): Promise<RereadResult> {
  const { bottle, launch } = input;
  const { plan: found, prompt } = await makePlan({ settings: host.settings, launch });
  const change = planChange(input, found);
  if (change.refused.length > 0) throw refusal(input, change);
  if (change.changed.length > 0) await assertPossible(host, change.plan);
  const same = JSON.stringify(change.plan) === JSON.stringify(input.plan);
  const isKept = hasPlan(host.settings, bottle.id);
  if (!isKept) await claimState(host.settings, bottle, host);
  if (!same || !isKept) await writeBottleState(host.settings, bottle.id, { plan: change.plan, prompt, launch });
  return { plan: same ? null : change.plan, again: change.again };
}

function refusal({ bottle, launch, mode }: RereadInput, { refused, keys }: PlanChange): BottleError {
  const anew = `bottle up ${launch.agent} --name ${bottle.id} --replace makes it anew`;
  const inPlace =
    mode === 'retry' && !refused.some((step) => ['network', 'machine.create', 'machine.start'].includes(step));
  return new BottleError(
    'PLAN_CHANGED',
    `the manifest has changed in ${keys.join(', ')}: ${refused.join(', ')} ${refused.length === 1 ? 'was' : 'were'} made from what it said before`,
    { hint: inPlace ? `bottle apply ${bottle.id} takes it over in place; ${anew}` : anew },
  );
}
