/** A bottle's machine on this host, to run commands in; looked up without Temporal where that is possible. */
import { BottleError } from '../core/errors.ts';
import { assertBottleId } from '../core/names.ts';
import type { Plan } from '../core/plan.ts';
import { readPlan } from '../host/bottle-state.ts';
import { connectDocker, type DockerHost } from '../host/docker.ts';
import { dockerAt } from '../host/docker-connection.ts';
import type { MachineDriver } from '../host/machine/driver.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { makerOf, readStateOwner } from '../host/state-owner.ts';
import { temporalTarget } from '../host/temporal-target.ts';
import { describeBottle } from './bottle-status.ts';
import type { Context } from './context.ts';
import { withSession } from './session.ts';
import { readWorkerRecord } from './worker-presence.ts';

export interface LocalMachine {
  plan: Plan;
  driver: MachineDriver;
  host: DockerHost;
}

/**
 * @throws BottleError `NO_SUCH_BOTTLE`, `OTHER_HOST`, `MACHINE_NOT_RUNNING` when it has none yet, `DRIVER_UNAVAILABLE`
 */
export async function localMachine(context: Context, id: string): Promise<LocalMachine> {
  const plan = await localPlan(context, id);
  const host = { ...(await bottleHost(context, id)), settings: context.settings };
  return { plan, driver: machineDriver(plan.driver, host), host };
}

/**
 * The plan of a bottle of this host.
 * @throws BottleError `NO_SUCH_BOTTLE`, `OTHER_HOST`, `MACHINE_NOT_RUNNING` when `prepare` has not made one yet
 */
export async function localPlan(context: Context, id: string): Promise<Plan> {
  assertBottleId(id);
  return (await readPlan(context.settings, id)) ?? (await whyNotHere(context, id));
}

/** The Engine, and whose objects we may touch: as the worker says, else as the server does. */
export async function dockerHost(context: Context): Promise<DockerHost> {
  const target = await temporalTarget(context.settings);
  const record = await readWorkerRecord(context.settings);
  const same = record?.address === target.address && record.namespace === target.namespace;
  // Where the worker makes machines they are, whatever Engine this shell would choose.
  const docker = same && record.engine !== undefined ? dockerAt(record.engine) : connectDocker();
  if (same && record.owner !== undefined) return { docker, owner: record.owner };
  const { clusterOwner } = await import('../host/temporal-connection.ts');
  const owner = await withSession(context, ({ client }) => clusterOwner(client));
  return { docker, owner };
}

/** The same for one bottle: of an adopted one, the objects bear the name of the launch that made it. */
export async function bottleHost(context: Context, id: string): Promise<DockerHost> {
  const [host, state] = await Promise.all([dockerHost(context), readStateOwner(context.settings, id)]);
  return state?.owner === host.owner ? { ...host, owner: makerOf(state).owner } : host;
}

async function whyNotHere(context: Context, id: string): Promise<never> {
  const description = await withSession(context, (session) => describeBottle(session, id));
  const host = description.taskQueue.replace(/^bottle@/, '');
  if (host !== context.settings.host) {
    throw new BottleError('OTHER_HOST', `${id} lives on ${host}, not on this host`, { hint: `run it on ${host}` });
  }
  throw new BottleError('MACHINE_NOT_RUNNING', `${id} has no machine now`, { hint: `see: bottle status ${id}` });
}
