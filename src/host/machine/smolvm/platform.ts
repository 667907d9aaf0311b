/** What differs between the hosts that smolvm runs on. */
import path from 'node:path';
import process from 'node:process';
import { BottleError } from '../../../core/errors.ts';

/** How smolvm is told where to keep everything, and where it then keeps machines. */
export interface Placing {
  /** Options of every call. */
  options(state: string): string[];
  /** Variables of every call. */
  env(state: string): Record<string, string>;
  /** The folder of caches, in the state directory: in it are machines, and archives of images. */
  caches: string;
  /** Bytes of the longest state directory that a machine can start from: the paths of its sockets must fit. */
  longest: number;
  /** Whether the host tells arguments of processes apart that have blanks in them. */
  canShowBlanks: boolean;
}

const PLACINGS: Readonly<Partial<Record<NodeJS.Platform, Placing>>> = {
  linux: {
    options: (state) => ['--state-dir', state],
    env: () => ({}),
    caches: '.cache',
    // Measured with 1.32.2: with 60 bytes a start fails with `krun_start_enter returned: -22`, from 62 on with a socket path
    // that is over 107 bytes. `create` does not look.
    longest: 59,
    canShowBlanks: true,
  },
  // Not run, for want of a Mac: read in smolvm's sources, and in the program for macOS of 1.32.2, which says that
  // `--state-dir` is for Linux only. All its folders follow from HOME there, and a socket's path has 104 bytes.
  darwin: {
    options: () => [],
    env: (state) => ({ HOME: state }),
    caches: 'Library/Caches',
    longest: 47,
    canShowBlanks: false,
  },
};

/** @throws BottleError `DRIVER_UNAVAILABLE` where smolvm does not run */
export function placing(platform: NodeJS.Platform = process.platform): Placing {
  const found = PLACINGS[platform];
  if (found !== undefined) return found;
  throw new BottleError('DRIVER_UNAVAILABLE', `smolvm runs on Linux and macOS, not on ${platform}`, {
    hint: 'use --driver docker',
  });
}

/**
 * The name that a call goes by among the host's processes. It tells whose call it is where no option does.
 */
export const callName = (state: string): string => path.join(state, 'smolvm');
