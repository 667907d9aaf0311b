/**
 * What a worker works with: Engine, files, host name, environment. It is in the worker's record, so that whoever has another
 * finds out rather than be served with the wrong one. Of a variable only a digest under a key of this state is kept.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type DockerEndpoint, dockerEndpoint, endpointText, isSameAddress } from './docker-endpoint.ts';
import { ensurePrivateSync } from './private-file.ts';
import { type Settings, stateDirectory } from './settings.ts';

export interface WorkerPlace {
  host: string;
  home: string;
  cache: string;
  engine: DockerEndpoint;
  /** Variable to digest. */
  environment: Record<string, string>;
}

/** One thing that a worker has otherwise. */
export interface Difference {
  kind: 'host' | 'home' | 'cache' | 'engine' | 'variable';
  /** In words: what the worker has, and what is here. */
  text: string;
  /** Of `variable`. */
  name?: string;
}

/** These decide which images and folders are used, whether they are set or not. */
const DECISIVE = ['BOTTLE_TOOLS', 'BOTTLE_PIPELOCK_IMAGE', 'BOTTLE_GUEST_SKILLS_DIR'];

/** @throws BottleError `DOCKER_CONTEXT_INVALID` */
export function workerPlace(settings: Settings, env: NodeJS.ProcessEnv = process.env): WorkerPlace {
  const { host, home, cache } = settings;
  const digest = digester(settings);
  const set = Object.entries(env).filter((entry): entry is [string, string] => Boolean(entry[1]));
  const environment = Object.fromEntries(set.map(([name, value]) => [name, digest(name, value)]));
  return { host, home, cache, engine: dockerEndpoint(env), environment };
}

/**
 * What a worker has otherwise than this process.
 * @param names of variables that matter; one that is not set here may well be the worker's alone
 * @throws BottleError `DOCKER_CONTEXT_INVALID`
 */
export function differences(
  theirs: Partial<WorkerPlace>,
  settings: Settings,
  names: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Difference[] {
  // A worker of a version that did not say.
  if (theirs.engine === undefined || theirs.environment === undefined) return [];
  const found: Difference[] = [];
  const differ = (kind: Difference['kind'], what: string, theirsIs: string | undefined, oursIs: string): void => {
    if (theirsIs !== undefined && theirsIs !== oursIs) found.push({ kind, text: `${what} ${theirsIs}, not ${oursIs}` });
  };
  const engine = dockerEndpoint(env);
  if (!isSameAddress(engine.address, theirs.engine.address) || certificates(engine) !== certificates(theirs.engine))
    found.push({
      kind: 'engine',
      text: `the Docker Engine at ${endpointText(theirs.engine)}, not ${endpointText(engine)}`,
    });
  differ('home', 'BOTTLE_HOME', theirs.home, settings.home);
  differ('cache', 'BOTTLE_CACHE', theirs.cache, settings.cache);
  differ('host', 'the host name', theirs.host, settings.host);
  const digest = digester(settings);
  const kept = theirs.environment;
  for (const name of [...new Set([...DECISIVE, ...names])]) {
    const value = env[name];
    const [is, was] = [value ? digest(name, value) : undefined, kept[name]];
    if (is === was || (is === undefined && !DECISIVE.includes(name))) continue;
    const text =
      was === undefined ? `no ${name}` : is === undefined ? `${name}, which is not set here` : `another ${name}`;
    found.push({ kind: 'variable', text, name });
  }
  return found;
}

const certificates = ({ tls }: DockerEndpoint): string => JSON.stringify(tls ?? null);

/** A short value could be guessed from a plain hash of it; who has the key can read the worker's environment anyway. */
function digester(settings: Pick<Settings, 'state'>): (name: string, value: string) => string {
  const key = keyOf(settings);
  return (name, value) => createHmac('sha256', key).update(`${name}\0${value}`).digest('base64url').slice(0, 22);
}

function keyOf(settings: Pick<Settings, 'state'>): Buffer {
  const file = path.join(stateDirectory(settings, 'run'), 'environment.key');
  if (!existsSync(file)) ensurePrivateSync(file, randomBytes(32));
  return readFileSync(file);
}
