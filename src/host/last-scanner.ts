/** What stood at the way out of this installation's last launch: that it is another now comes from a program found or gone. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Scanner } from '../core/bundle-plans.ts';
import { writePrivate } from './private-file.ts';
import { type Settings, stateDirectory } from './settings.ts';

const FILE = 'scanner';

/** Notes what a launch has. @returns whether the launch before it had another; the first is no change */
export async function scannerChanged(settings: Settings, scanner: Scanner): Promise<boolean> {
  const file = path.join(stateDirectory(settings, 'run'), FILE);
  const last = (await readFile(file, 'utf8').catch(() => scanner)).trim();
  await writePrivate(file, `${scanner}\n`);
  return last !== scanner;
}
