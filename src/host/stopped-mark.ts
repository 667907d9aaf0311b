/**
 * A person's word that this installation's server and worker are to stay stopped. Whoever only follows a launch starts again
 * what has died, and must not start what was stopped on purpose.
 */
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Settings, stateDirectory } from './settings.ts';

const markOf = ({ state }: Pick<Settings, 'state'>): string => path.join(state, 'run', 'stopped');

/** Before they are stopped: a follower that looks in between must know already. */
export function markStopped(settings: Pick<Settings, 'state'>): void {
  writeFileSync(path.join(stateDirectory(settings, 'run'), 'stopped'), '', { mode: 0o600 });
}

/** By whoever starts one of them. */
export const clearStopped = (settings: Pick<Settings, 'state'>): void => rmSync(markOf(settings), { force: true });

export const wereStopped = (settings: Pick<Settings, 'state'>): boolean => existsSync(markOf(settings));

/** @param time in milliseconds since the epoch */
export const wereStoppedSince = (settings: Pick<Settings, 'state'>, time: number): boolean =>
  (statSync(markOf(settings), { throwIfNoEntry: false })?.mtimeMs ?? 0) > time;
