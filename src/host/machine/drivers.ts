/** Which driver makes the machines a plan asks for. */
import type { Driver } from '../../core/status.ts';
import { findSmolvm } from '../smolvm-package.ts';
import { dockerDriver } from './docker.ts';
import type { MachineDriver } from './driver.ts';
import { smolvmInUse } from './smolvm/installed.ts';
import { type SmolvmDriver, type SmolvmHost, smolvmDriver } from './smolvm/machine.ts';

/** What any driver needs: an Engine, whose objects may be touched, and where things are kept. */
export type MachineHost = SmolvmHost;

const dockerDrivers = new WeakMap<MachineHost, MachineDriver>();
const smolvmDrivers = new WeakMap<MachineHost, SmolvmDriver>();

/** The driver of a host, one and the same each time: those who use it together can then share trips into a machine. */
export function machineDriver(driver: Driver, host: MachineHost): MachineDriver {
  return driver === 'docker' ? known(dockerDrivers, host, dockerDriver) : smolvmOf(host);
}

/**
 * Found out before anything is made.
 * @throws BottleError `DRIVER_UNAVAILABLE` when this host cannot make machines of that kind
 */
export async function assertDriver(driver: Driver, host: MachineHost): Promise<void> {
  if (driver === 'smolvm') await smolvmOf(host).assertAvailable();
}

/**
 * Bottles of this owner that have a machine of smolvm, whether or not anybody still wants it, and of which launch. (Of Docker's machines the
 * Engine tells, with all that is Docker's.)
 * @throws BottleError when smolvm is there and cannot tell: that is not none
 */
export async function bottlesInSmolvm(host: MachineHost): Promise<{ id: string; run: string }[]> {
  return (await smolvmInUse(host.settings)) === undefined ? [] : smolvmOf(host).bottles();
}

/**
 * Ensures that smolvm has nothing of a launch: also what is left of a machine that it does not know any more.
 * @throws BottleError as {@link MachineDriver.delete}
 */
export async function removeFromSmolvm(host: MachineHost, id: string, run: string): Promise<void> {
  if ((await smolvmInUse(host.settings)) !== undefined) await smolvmOf(host).delete(id, run);
}

function smolvmOf(host: MachineHost): SmolvmDriver {
  return known(smolvmDrivers, host, () => smolvmDriver(host, { find: () => findSmolvm() }));
}

function known<T>(drivers: WeakMap<MachineHost, T>, host: MachineHost, make: (host: MachineHost) => T): T {
  const driver = drivers.get(host) ?? make(host);
  drivers.set(host, driver);
  return driver;
}
