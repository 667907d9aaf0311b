/** Which driver makes the machines a plan asks for. */
import { BottleError } from '../../core/errors.ts';
import type { Driver } from '../../core/status.ts';
import type { DockerHost } from '../docker.ts';
import { dockerDriver } from './docker.ts';
import type { MachineDriver } from './driver.ts';

const dockerDrivers = new WeakMap<DockerHost, MachineDriver>();

/**
 * The driver of a host, one and the same each time: those who use it together can then share trips into a machine.
 * @throws BottleError `DRIVER_UNAVAILABLE`
 */
export function machineDriver(driver: Driver, host: DockerHost): MachineDriver {
  if (driver === 'docker') {
    const known = dockerDrivers.get(host) ?? dockerDriver(host);
    dockerDrivers.set(host, known);
    return known;
  }
  throw new BottleError('DRIVER_UNAVAILABLE', `this version of bottle has no ${driver} driver`, {
    hint: 'use --driver docker',
  });
}
