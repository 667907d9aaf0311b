/** Held by a `bottle serve` in the foreground: it starts again what dies, so nobody else has to. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type FileLock, tryLock } from '../host/file-lock.ts';
import { type Settings, stateDirectory } from '../host/settings.ts';

const NAME = 'serve.lock';

/** @returns null when another one holds it */
export const takeSupervisorLock = (settings: Settings): FileLock | null =>
  tryLock(path.join(stateDirectory(settings, 'run'), NAME));

export function isSupervised(settings: Settings): boolean {
  const file = path.join(settings.state, 'run', NAME);
  if (!existsSync(file)) return false;
  const lock = tryLock(file, 'shared');
  lock?.release();
  return lock === null;
}
