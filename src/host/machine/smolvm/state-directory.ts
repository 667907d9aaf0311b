/** Where smolvm keeps the machines of this installation: a directory of their own, so nobody else's are ever met. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { BottleError } from '../../../core/errors.ts';
import { type Settings, stateDirectory } from '../../settings.ts';
import { type Placing, placing } from './platform.ts';

/** In BOTTLE_STATE. */
export const STATE_FOLDER = 'vm';

/** Where it is to be. @throws BottleError `DRIVER_UNAVAILABLE` when no machine could start from there */
export function machineStatePath(
  { state }: Pick<Settings, 'state'>,
  { longest, canShowBlanks }: Placing = placing(),
): string {
  const directory = path.join(state, STATE_FOLDER);
  const bytes = Buffer.byteLength(directory);
  if (!path.isAbsolute(directory) || bytes > longest) {
    throw new BottleError(
      'DRIVER_UNAVAILABLE',
      `no smolvm machine can start from ${directory}: its path has ${bytes} bytes, and ${longest} are the most`,
      { hint: `set BOTTLE_STATE to a path of at most ${longest - STATE_FOLDER.length - 1} bytes` },
    );
  }
  if (!canShowBlanks && /\s/.test(directory)) {
    throw new BottleError(
      'DRIVER_UNAVAILABLE',
      `no smolvm machine could be found again in ${directory}: it has a blank`,
      {
        hint: 'set BOTTLE_STATE to a path without blanks: ps does not tell them from what is between arguments',
      },
    );
  }
  return directory;
}

/** Makes it, 0700. @throws BottleError `DRIVER_UNAVAILABLE` */
export function machineStateDirectory(settings: Pick<Settings, 'state'>): string {
  machineStatePath(settings);
  return stateDirectory(settings, STATE_FOLDER);
}

/** The directory in which smolvm keeps a folder for each machine. */
export const machinesDirectory = (state: string): string => path.join(state, placing().caches, 'smolvm/vms');

/** The folder of one machine: what it is called follows from the machine's name. */
export function machineDirectory(state: string, name: string): string {
  return path.join(machinesDirectory(state), createHash('sha256').update(name).digest('hex').slice(0, 16));
}

/** Where smolvm keeps each archive that a machine was ever made from, in a folder by its sha256, and never removes one. */
export const archivesDirectory = (state: string): string => path.join(state, placing().caches, 'smolvm-image-archives');

/** What smolvm calls each in its folder. */
export const ARCHIVE = 'archive.tar';

/** @param folder {@link archivesDirectory} */
export const archiveIn = (folder: string, sha256: string): string => path.join(folder, sha256, ARCHIVE);

/** Left empty by calls that found no machine of that name. */
export const operationLock = (state: string, name: string): string =>
  path.join(machinesDirectory(state), `.${name}.fork-operation.lock`);
