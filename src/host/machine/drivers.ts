/** Which driver makes the machines a plan asks for. */
import { BottleError } from '../../core/errors.ts';
import type { Driver } from '../../core/status.ts';
import type { DockerHost } from '../docker.ts';
import { dockerDriver } from './docker.ts';
import type { MachineDriver } from './driver.ts';

/** @throws BottleError `DRIVER_UNAVAILABLE` */
export function machineDriver(driver: Driver, host: DockerHost): MachineDriver {
  if (driver === 'docker') return dockerDriver(host);
  throw new BottleError('DRIVER_UNAVAILABLE', `this version of bottle has no ${driver} driver`, {
    hint: 'use --driver docker',
  });
}
