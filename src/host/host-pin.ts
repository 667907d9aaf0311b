/**
 * What this host is called: its task queue, and so all its open bottles, hang on the name. Computers change theirs with the
 * network they are in, so it is kept in the state at first use, and stays as long as there is a bottle of it.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { isBottleId } from '../core/names.ts';
import { pinFile, pinnedHost } from './host-name.ts';
import { writePrivateSync } from './private-file.ts';
import { type Settings, stateDirectory } from './settings.ts';

/** Keeps the host's name in the state, unless bottles hang on the one that is kept there already. */
export function pinHost(settings: Pick<Settings, 'state' | 'host'>): void {
  const pinned = pinnedHost(settings.state);
  if (pinned === settings.host || (pinned !== undefined && bottlesHere(settings).length > 0)) return;
  stateDirectory(settings);
  writePrivateSync(pinFile(settings.state), `${settings.host}\n`);
}

/** The name that bottles of this state hang on, where it is another than the one asked for now. */
export function strandedHost(settings: Pick<Settings, 'state' | 'host'>): string | undefined {
  const pinned = pinnedHost(settings.state);
  return pinned !== undefined && pinned !== settings.host && bottlesHere(settings).length > 0 ? pinned : undefined;
}

/** Ids of bottles that this host keeps something of: those that are open, and what a killed launch left. */
export function bottlesHere({ state }: Pick<Settings, 'state'>): string[] {
  try {
    return readdirSync(path.join(state, 'bottles')).filter(isBottleId);
  } catch {
    return [];
  }
}
