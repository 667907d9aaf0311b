/** The process environment, read once into typed settings. Everything else takes a {@link Settings}, never `process.env`. */
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { configuredHost, isHostName, pinnedHost } from './host-name.ts';

export interface Settings {
  /** What a person writes: `agents/`, `bottles/`, `skills/`, `config.yaml` (BOTTLE_HOME). */
  readonly home: string;
  /** What bottle keeps: database, logs, process ids, prompts (BOTTLE_STATE). Directories in it are 0700. */
  readonly state: string;
  /** What can be made again: tools, built images' contexts (BOTTLE_CACHE). */
  readonly cache: string;
  /** This host's name; its task queue is `bottle@<host>` (BOTTLE_HOST, else config.yaml's, else the one kept in the state). */
  readonly host: string;
  /** Port of the embedded server on 127.0.0.1 (BOTTLE_PORT). */
  readonly port: number;
  /** Port of the embedded server's UI: {@link Settings.port} + 1000. */
  readonly uiPort: number;
}

export const DEFAULT_PORT = 7233;
const UI_PORT_OFFSET = 1000;
const HIGHEST_PORT = 65_535 - UI_PORT_OFFSET;

/** The facts of the machine that {@link settings} falls back to; a parameter so that it stays a pure function. */
export interface MachineFacts {
  homedir: string;
  hostname: string;
}

const thisMachine = (): MachineFacts => ({ homedir: os.homedir(), hostname: os.hostname() });

/** Where a server on `port` has its UI, by the rule that the dev server and our compose file share. */
export const uiPortOf = (port: number): number => port + UI_PORT_OFFSET;

/**
 * The settings of this process.
 * @throws BottleError `USAGE` when BOTTLE_PORT or BOTTLE_HOST cannot be what they say
 */
export function settings(env: NodeJS.ProcessEnv = process.env, machine: MachineFacts = thisMachine()): Settings {
  const port = portOf(env['BOTTLE_PORT']);
  const own = (variable: string, fallback: string): string => path.resolve(env[variable] || fallback);
  // The XDG specification has relative paths ignored.
  const xdg = (variable: string, fallback: string): string => {
    const value = env[variable];
    return value && path.isAbsolute(value) ? value : path.join(machine.homedir, fallback);
  };
  const home = own('BOTTLE_HOME', path.join(machine.homedir, '.bottle'));
  const state = own('BOTTLE_STATE', path.join(xdg('XDG_STATE_HOME', '.local/state'), 'bottle'));
  return {
    home,
    state,
    cache: own('BOTTLE_CACHE', path.join(xdg('XDG_CACHE_HOME', '.cache'), 'bottle')),
    host: hostOf(env['BOTTLE_HOST']) ?? configuredHost(home) ?? pinnedHost(state) ?? machine.hostname,
    port,
    uiPort: uiPortOf(port),
  };
}

/**
 * Makes a directory below `settings.state` and gives its path. It and its parents up to the state directory are
 * 0700, also when they were there before with a looser mode.
 */
export function stateDirectory(settings: Pick<Settings, 'state'>, ...parts: string[]): string {
  const directory = path.join(settings.state, ...parts);
  const below = path.relative(settings.state, directory);
  if (below === '..' || below.startsWith(`..${path.sep}`) || path.isAbsolute(below)) {
    throw new BottleError('INTERNAL', `"${parts.join('/')}" leaves the state directory`, { retryable: false });
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  let each = settings.state;
  for (const part of ['', ...below.split(path.sep)]) {
    each = path.join(each, part);
    if ((statSync(each).mode & 0o777) !== 0o700) chmodSync(each, 0o700);
  }
  return directory;
}

function portOf(value: string | undefined): number {
  if (!value) return DEFAULT_PORT;
  const port = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (port >= 1 && port <= HIGHEST_PORT) return port;
  throw new BottleError(
    'USAGE',
    `BOTTLE_PORT is "${value.slice(0, 40)}", expected a number from 1 to ${HIGHEST_PORT}`,
    {
      hint: `the UI takes the port ${UI_PORT_OFFSET} above it`,
    },
  );
}

function hostOf(value: string | undefined): string | undefined {
  if (!value) return undefined;
  if (isHostName(value)) return value;
  throw new BottleError('USAGE', `BOTTLE_HOST is "${value.slice(0, 40)}", expected a host name`, {
    hint: 'letters, digits, dots, dashes and underscores, a letter or digit first',
  });
}
