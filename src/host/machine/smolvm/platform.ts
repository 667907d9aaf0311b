/** Where a machine of smolvm can be kept from everything but its bundle. */
import process from 'node:process';
import { BottleError } from '../../../core/errors.ts';

/**
 * On a Mac no address of a container can be reached from the host, where smolvm dials for its machines: what it would have
 * to be let reach instead is the host itself, which is no confinement.
 * @throws BottleError `DRIVER_UNAVAILABLE`
 */
export function assertConfinable(platform: NodeJS.Platform = process.platform): void {
  if (platform === 'linux') return;
  throw new BottleError(
    'DRIVER_UNAVAILABLE',
    `the smolvm driver works on Linux only so far: on ${platform} the bundle's address cannot be reached from the host, and a machine that may dial the host is not confined`,
    { hint: 'use --driver docker (what is missing is a way by socket: smolvm machine create --mount-socket)' },
  );
}
