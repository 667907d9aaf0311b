/**
 * The daemons of a bundle: their names, states and the csv that chooses among them. Pure, so that core and the host's
 * `bundle` step can share it with what runs inside the container.
 */

export const DAEMON_NAMES = ['pipelock', 'egress', 'git-gate', 'supervise'] as const;
export type DaemonName = (typeof DAEMON_NAMES)[number];

/** User and group ids of the daemons in the bundle's image (images/bundle/Dockerfile): none can read another's. */
export const DAEMON_USERS: Readonly<Record<DaemonName, number>> = {
  pipelock: 8001,
  egress: 8002,
  'git-gate': 8003,
  supervise: 8004,
};

/** Beside the scanner wherever there is egress (front.ts), with nothing that anybody would want to read. */
export const FRONT_NAME = 'front';
export const FRONT_USER = 8005;

/**
 * `starting` until its readiness signal; `backoff` while it waits to be started again; `failed` once it keeps dying
 * (it is still tried, at the longest delay, and stays `failed` until it is ready); `stopped` after SIGTERM.
 */
export type DaemonState = 'starting' | 'ready' | 'backoff' | 'failed' | 'stopped';

/** Where the guest finds the forward proxy, on the bundle's own address. */
export const PIPELOCK_PORT = 8888;
/** Where the guest finds the push gate and the operator's ear, on the bundle's own address. */
export const GIT_GATE_PORT = 9418;
export const SUPERVISE_PORT = 9100;

/**
 * The name by which egress is asked for. In the bundle it leads to egress itself, on an address of its own
 * (egress-address.ts); in the machine to the bundle's address, where the front passes on to the scanner what is asked.
 */
export const EGRESS_NAME = 'egress';
export const EGRESS_PORT = 9099;
export const EGRESS_URL = `http://${EGRESS_NAME}:${EGRESS_PORT}`;

/** Where pipelock keeps the CA that it signs with: in the bundle, nobody else's. */
export const PIPELOCK_DIRECTORY = '/run/bottle/pipelock';
/** Files in that directory, PEM: the CA's certificate and key, and who may have issued an upstream's. */
export const PIPELOCK_FILES = {
  caCert: `${PIPELOCK_DIRECTORY}/ca.pem`,
  caKey: `${PIPELOCK_DIRECTORY}/ca-key.pem`,
  upstreamCa: `${PIPELOCK_DIRECTORY}/upstream-ca.pem`,
} as const;

/** Where the gate keeps repositories and, in a directory of its own, what it may show nobody. */
export const GIT_GATE_DIRECTORY = '/var/lib/bottle/git';
export const GIT_GATE_SECRETS = `${GIT_GATE_DIRECTORY}/secrets`;

/**
 * What of the bundle holds credentials lies in memory alone, so that no copy of the container (`docker export`, `commit`) and
 * no disk of the host has any. Path to mount options; the sizes are many times what is ever kept.
 */
export const SECRET_MOUNTS: Readonly<Record<string, string>> = {
  [PIPELOCK_DIRECTORY]: secretMount(DAEMON_USERS.pipelock),
  [GIT_GATE_SECRETS]: secretMount(DAEMON_USERS['git-gate']),
};

function secretMount(user: number): string {
  return `rw,noexec,nosuid,nodev,size=16m,mode=0700,uid=${user},gid=${user}`;
}

/**
 * What the scanner lets through of one request. Egress refuses an answer that the scanner would cut; of an intercepted
 * host the scanner itself refuses one that is longer than `interceptedMiB`, with 403.
 */
export const SCANNER_LIMITS = { requestMiB: 16, responseMiB: 24, interceptedMiB: 24, requestSeconds: 3600 } as const;

/** What init exits with when its environment makes no sense (EX_USAGE of sysexits): trying again cannot help. */
export const EXIT_CONFIG = 64;

/** The start of the line init prints at every change of a state; JSON of name -> state follows. */
export const STATUS_LINE_PREFIX = '[init] status ';

/** The line init prints when it has read a delivery, before any daemon has taken it. */
export const givenLine = (revision: string): string => `[init] given ${revision}`;

/** The start of the line init prints once every daemon has taken a delivery; its revision follows. */
const APPLIED_LINE_PREFIX = '[init] applied ';

export const appliedLine = (revision: string): string => APPLIED_LINE_PREFIX + revision;

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
