/** From the container's environment to the processes to run. Each daemon gets only the variables it needs. */
import { isIP } from 'node:net';
import { parseAllowList } from '../core/allow-list.ts';
import { ConfigError, type DaemonName, parseDaemons } from '../core/daemons.ts';
import { type DaemonSpec, readyByMessage } from './supervisor.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What is built in, by daemon: checks its part of the environment and picks it out. */
const BUILT_IN: Partial<Record<DaemonName, (env: Environment) => Record<string, string>>> = {
  pipelock: (env) => ({ BOTTLE_LISTEN_HOST: listenHost(env), BOTTLE_ALLOW: allowJson(env) }),
};

/**
 * The processes for `BOTTLE_DAEMONS`.
 * @throws ConfigError in one line, for an unknown or missing daemon or a variable that makes no sense
 */
export function planDaemons(env: Environment): DaemonSpec[] {
  return parseDaemons(env['BOTTLE_DAEMONS'] ?? '').map((name) => {
    const environmentOf = BUILT_IN[name];
    if (environmentOf === undefined) throw new ConfigError(`daemon "${name}" is not built into this bundle`);
    return {
      name,
      command: process.execPath,
      args: [...process.execArgv, process.argv[1] ?? '', '--daemon', name],
      env: { PATH: env['PATH'] ?? '', ...environmentOf(env) },
      readiness: readyByMessage,
    };
  });
}

function listenHost(env: Environment): string {
  const host = env['BOTTLE_LISTEN_HOST'] ?? '';
  if (isIP(host) === 0) throw new ConfigError('BOTTLE_LISTEN_HOST is not an IP address');
  // All addresses would include the one towards the internet.
  if (host === '0.0.0.0' || /^[0:]+$/.test(host)) throw new ConfigError('BOTTLE_LISTEN_HOST must be one address');
  return host;
}

function allowJson(env: Environment): string {
  const json = env['BOTTLE_ALLOW'] ?? '[]';
  try {
    parseAllowList(json);
  } catch (error) {
    throw new ConfigError(`BOTTLE_ALLOW: ${(error as Error).message}`);
  }
  return json;
}
