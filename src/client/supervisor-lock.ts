/** Held by a `bottle serve` in the foreground: it starts again what dies, so nobody else has to. */
import path from 'node:path';
import { type FileLock, isHeld, lockWithin } from '../host/file-lock.ts';
import { type Settings, stateDirectory } from '../host/settings.ts';

const NAME = 'serve.lock';
/** Whoever only looks whether it is held shares the lock for an instant. */
const PATIENCE_MS = 1000;

/** @returns null when another one holds it */
export const takeSupervisorLock = (settings: Settings): Promise<FileLock | null> =>
  lockWithin(path.join(stateDirectory(settings, 'run'), NAME), PATIENCE_MS);

export const isSupervised = ({ state }: Settings): boolean => isHeld(path.join(state, 'run', NAME));
