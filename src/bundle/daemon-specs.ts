/** From the container's environment to the processes to run: each with its own user, and only the variables it needs. */
import {
  ConfigError,
  DAEMON_USERS,
  type DaemonName,
  FRONT_NAME,
  FRONT_USER,
  PIPELOCK_FILES,
  parseDaemons,
} from '../core/daemons.ts';
import { byMessage } from './feed.ts';
import { PIPELOCK_ARGV, pipelockFeed } from './pipelock.ts';
import type { DaemonSpec } from './supervisor.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Node gives young objects 16 MiB by default, times the number of daemons. */
const SMALL = ['--max-semi-space-size=2'];

/**
 * The processes for `BOTTLE_DAEMONS`.
 * @throws ConfigError in one line, for an unknown daemon or a variable that makes no sense
 */
export function planDaemons(env: Environment): DaemonSpec[] {
  const scanner = env['BOTTLE_SCANNER'] ?? 'allow-list';
  if (scanner !== 'pipelock' && scanner !== 'allow-list') {
    throw new ConfigError(`BOTTLE_SCANNER is ${JSON.stringify(scanner)} (known: pipelock, allow-list)`);
  }
  const names = parseDaemons(env['BOTTLE_DAEMONS'] ?? '');
  const userOf = (uid: number): { uid?: number } => (env['BOTTLE_SEPARATE_USERS'] === '1' ? { uid } : {});
  const daemons = names.map((name) => {
    const user = userOf(DAEMON_USERS[name]);
    return {
      name,
      ...(name === 'pipelock' && scanner === 'pipelock' ? realPipelock(env, user) : ownProgram(name, env)),
      ...user,
      // The way out opens when what is behind it stands.
      ...(name === 'pipelock' && names.includes('egress') ? { after: ['egress'] } : {}),
    };
  });
  const hasFront = names.includes('pipelock') && names.includes('egress');
  const front = { name: FRONT_NAME, partOf: 'pipelock', ...ownProgram(FRONT_NAME, env), ...userOf(FRONT_USER) };
  return hasFront ? [...daemons, front] : daemons;
}

type Program = Pick<DaemonSpec, 'command' | 'args' | 'env' | 'feed'>;

function ownProgram(name: DaemonName | typeof FRONT_NAME, env: Environment): Program {
  return {
    command: process.execPath,
    args: [...process.execArgv, ...SMALL, process.argv[1] ?? '', '--daemon', name],
    env: pathOf(env),
    feed: byMessage,
  };
}

/** It scans its own environment for secrets to look for, so there is none in it. */
function realPipelock(env: Environment, user: { uid?: number }): Program {
  const [command, ...args] = PIPELOCK_ARGV;
  return {
    command,
    args,
    // Go adds the certificates of /etc/ssl/certs to those of SSL_CERT_FILE, and does not mind when there is no such file.
    env: { ...pathOf(env), HOME: '/nonexistent', SSL_CERT_FILE: PIPELOCK_FILES.upstreamCa },
    feed: pipelockFeed({ ...user, path: env['PATH'] ?? '' }),
  };
}

const pathOf = (env: Environment): Record<string, string> => ({ PATH: env['PATH'] ?? '' });
