/** Every activity of a worker, by the names of contract.md: one a step, one a compensation. */
import type { StepIo, StepReturn, UndoIo } from '../core/step-io.ts';
import { ensureBundle, removeBundle } from '../host/bundle.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { ensureNetwork, removeNetwork } from '../host/network.ts';
import type { ActivityHost } from './activity-host.ts';
import { asActivity } from './as-activity.ts';
import { check } from './check.ts';
import { prepare, removeState } from './prepare.ts';
import { provisionAgent, provisionPrompt, provisionSkills } from './provision.ts';

type Activities = {
  [Name in keyof StepIo]: (input: StepIo[Name]['input']) => Promise<StepReturn<StepIo[Name]['result']>>;
} & {
  [Name in keyof UndoIo]: (input: UndoIo[Name]) => Promise<StepReturn<null>>;
};

export function createActivities(host: ActivityHost): Activities {
  return {
    prepare: asActivity((input) => prepare(host, input)),
    network: asActivity(({ bottle, pool, driver }) =>
      ensureNetwork(host, bottle, { pool, hostOnBridge: driver !== 'docker' }),
    ),
    bundle: asActivity((input, signal) => ensureBundle(host, input, signal)),
    'machine.create': asActivity(async ({ bottle, driver, ...spec }) => {
      await machineDriver(driver, host).create(bottle, spec);
      return null;
    }),
    'machine.start': asActivity(async ({ bottle, driver }) => {
      await machineDriver(driver, host).start(bottle);
      return null;
    }),
    'provision.prompt': asActivity((input) => provisionPrompt(host, input)),
    'provision.skills': asActivity((input, signal) => provisionSkills(host, input, signal)),
    'provision.agent': asActivity((input) => provisionAgent(host, input)),
    check: asActivity((input, signal) => check(host, input, signal)),

    'machine.stop': undo(({ bottle, driver }) => machineDriver(driver, host).stop(bottle.id)),
    'machine.delete': undo(({ bottle, driver }) => machineDriver(driver, host).delete(bottle.id)),
    'bundle.remove': undo(({ bottle }) => removeBundle(host, bottle.id)),
    'network.remove': undo(({ bottle }) => removeNetwork(host, bottle.id)),
    'state.remove': undo(({ bottle }) => removeState(host, bottle.id)),
  };
}

/** A compensation has nothing to give back but that it is done. */
function undo<Input>(remove: (input: Input) => Promise<void>): (input: Input) => Promise<StepReturn<null>> {
  return asActivity(async (input) => {
    await remove(input);
    return null;
  });
}
