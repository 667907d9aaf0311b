import { sleep } from '@temporalio/activity';
import { BottleError } from '../core/errors.ts';
import type { Deaths, MachineInput } from '../core/step-io.ts';
import { bundleRuns } from '../host/bundle.ts';
import { containerEvents } from '../host/container-events.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import type { ActivityHost } from './activity-host.ts';

/**
 * Waits until the bundle or the machine of a ready bottle has died, and says which steps bring it back.
 * @throws BottleError `DOCKER_UNREACHABLE` when the Engine goes away, `WORKER_LOST` when the worker stops: in either
 *   case the next attempt looks again
 */
export async function watch(host: ActivityHost, input: MachineInput, signal: AbortSignal): Promise<Deaths> {
  const { bottle } = input;
  const ended = AbortSignal.any([signal, host.stopping]);
  // Subscribed before the first look, so that no death falls between the two.
  for await (const _event of containerEvents(host, bottle.id, ended)) {
    if ((await lost(host, input)).length === 0) continue;
    // Who removes a running container kills it first: what is to be done depends on how it ends.
    await sleep(SETTLE_MS);
    const steps = await lost(host, input);
    if (steps.length > 0) return { steps };
  }
  signal.throwIfAborted();
  if (host.stopping.aborted) throw new BottleError('WORKER_LOST', 'the worker stops; the next one watches on');
  throw new BottleError('DOCKER_UNREACHABLE', 'the Docker Engine went away while the bottle was watched');
}

const SETTLE_MS = 500;

const MACHINE_ANEW = ['machine.create', 'machine.start', 'provision.prompt', 'provision.skills', 'provision.agent'];

async function lost(host: ActivityHost, { bottle, driver }: MachineInput): Promise<string[]> {
  const [bundle, machine] = await Promise.all([
    bundleRuns(host, bottle.id),
    machineDriver(driver, host).status(bottle.id),
  ]);
  const steps = [
    ...(bundle ? [] : ['bundle']),
    ...(machine === 'running' ? [] : machine === 'absent' ? MACHINE_ANEW : ['machine.start']),
  ];
  return steps.length === 0 ? [] : [...steps, 'check'];
}
