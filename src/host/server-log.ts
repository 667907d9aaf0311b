/** The embedded server's log, `log/server.log` in the state directory. */
import { existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import { type Settings, stateDirectory } from './settings.ts';

const LIMIT_BYTES = 10 * 1024 * 1024;
const TAIL_LINES = 5;

export const serverLogFile = (settings: Pick<Settings, 'state'>): string =>
  path.join(settings.state, 'log', 'server.log');

/** Opens the log for a server to append to; one that grew large goes to `server.log.1`. `start` is where its part begins. */
export function openServerLog(settings: Pick<Settings, 'state'>): { descriptor: number; start: number } {
  stateDirectory(settings, 'log');
  const file = serverLogFile(settings);
  const size = existsSync(file) ? statSync(file).size : 0;
  if (size > LIMIT_BYTES) renameSync(file, `${file}.1`);
  return { descriptor: openSync(file, 'a', 0o600), start: size > LIMIT_BYTES ? 0 : size };
}

/** The last lines that were written since `start`, in one line. */
export function serverLogTail(settings: Pick<Settings, 'state'>, start: number): string {
  const file = serverLogFile(settings);
  const written = existsSync(file) ? readFileSync(file).subarray(start).toString('utf8') : '';
  return written.trim().split('\n').slice(-TAIL_LINES).join(' | ');
}
