/** Whether there may be anything of smolvm's that is this installation's. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Settings } from '../../settings.ts';
import { findSmolvm } from '../../smolvm-package.ts';
import type { Smolvm } from './cli.ts';
import { STATE_FOLDER } from './state-directory.ts';

/** @returns undefined where this installation never made a machine with it, or there is no program that could tell */
export async function smolvmInUse({ state }: Pick<Settings, 'state'>): Promise<Smolvm | undefined> {
  const directory = path.join(state, STATE_FOLDER);
  const program = existsSync(directory) ? await findSmolvm() : undefined;
  return program === undefined ? undefined : { program, state: directory };
}
