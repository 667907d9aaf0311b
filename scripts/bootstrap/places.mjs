// Folders that the things share. The cache is the one src/host/tools.ts looks into.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const binaries = join(root, 'node_modules/.bin');
export const node24Path = join(binaries, 'node');
export const cache =
  process.env.BOTTLE_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'bottle');
export const logs = join(process.env.XDG_STATE_HOME || join(homedir(), '.local/state'), 'bottle/log');
