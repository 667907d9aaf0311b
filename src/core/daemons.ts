/**
 * The daemons of a bundle: their names, states and the csv that chooses among them. Pure, so that core and the host's
 * `bundle` step can share it with what runs inside the container.
 */

export const DAEMON_NAMES = ['pipelock', 'egress', 'git-gate', 'supervise'] as const;
export type DaemonName = (typeof DAEMON_NAMES)[number];

/**
 * `starting` until its readiness signal; `backoff` while it waits to be started again; `failed` once it keeps dying
 * (it is still tried, at the longest delay, and stays `failed` until it is ready); `stopped` after SIGTERM.
 */
export type DaemonState = 'starting' | 'ready' | 'backoff' | 'failed' | 'stopped';

/** Where the guest finds the forward proxy, on the bundle's own address. */
export const PIPELOCK_PORT = 8888;

/** What init exits with when its environment makes no sense (EX_USAGE of sysexits): trying again cannot help. */
export const EXIT_CONFIG = 64;

/** The start of the line init prints at every change of a state; JSON of name -> state follows. */
export const STATUS_LINE_PREFIX = '[init] status ';

/** A wrong environment, in one line for a person; init prints it and exits with {@link EXIT_CONFIG}. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * The daemons a csv such as `pipelock, egress` names, in the order of {@link DAEMON_NAMES} and each once.
 * @throws ConfigError for a name that is none of them
 */
export function parseDaemons(csv: string): DaemonName[] {
  const wanted = csv.split(',').flatMap((part) => part.trim() || []);
  for (const name of wanted) {
    if (!isDaemonName(name)) {
      throw new ConfigError(`unknown daemon ${JSON.stringify(name)} (known: ${DAEMON_NAMES.join(', ')})`);
    }
  }
  return DAEMON_NAMES.filter((name) => wanted.includes(name));
}

export function isDaemonName(name: string): name is DaemonName {
  return (DAEMON_NAMES as readonly string[]).includes(name);
}

/** The line init prints for these states: {@link STATUS_LINE_PREFIX} and JSON of name -> state. */
export function statusLine(states: Readonly<Record<string, DaemonState>>): string {
  return STATUS_LINE_PREFIX + JSON.stringify(states);
}

/** The states a log line tells, or undefined for any other line (the inverse of {@link statusLine}). */
export function parseStatusLine(line: string): Record<string, DaemonState> | undefined {
  if (!line.startsWith(STATUS_LINE_PREFIX)) return undefined;
  try {
    return JSON.parse(line.slice(STATUS_LINE_PREFIX.length)) as Record<string, DaemonState>;
  } catch {
    return undefined; // cut off in the middle by whoever split the log
  }
}
