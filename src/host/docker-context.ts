/**
 * Docker's contexts as `docker context` keeps them: names of Engines below `$DOCKER_CONFIG`, of which one is current.
 * (docker/cli: cli/command/cli.go `resolveContextName`, cli/context/store.)
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';

/** Docker's name for "no context": DOCKER_HOST, else the default socket. */
export const DEFAULT_CONTEXT = 'default';

export interface DockerContext {
  readonly name: string;
  /** `unix://`, `tcp://`, `ssh://`, as written. */
  readonly host: string;
  /** Directory with `ca.pem`, `cert.pem` and `key.pem`; undefined when it keeps none of them. */
  readonly certificates: string | undefined;
  /** Whether the Engine's certificate may be anybody's. */
  readonly skipVerify: boolean;
}

export const homeOf = (env: NodeJS.ProcessEnv): string => env['HOME'] || os.homedir();

const configDirectory = (env: NodeJS.ProcessEnv): string => env['DOCKER_CONFIG'] || path.join(homeOf(env), '.docker');

/** Where Docker's own programs look for certificates when DOCKER_CERT_PATH says nothing. */
export const certificateDirectory = (env: NodeJS.ProcessEnv): string => env['DOCKER_CERT_PATH'] || configDirectory(env);

/**
 * The name of the current context, and who says so; undefined when nobody names one.
 * @throws BottleError `DOCKER_CONTEXT_INVALID` when `config.json` cannot be read
 */
export function currentContextName(env: NodeJS.ProcessEnv): { name: string; saidBy: string } | undefined {
  const named = env['DOCKER_CONTEXT'];
  if (named) return named === DEFAULT_CONTEXT ? undefined : { name: named, saidBy: 'DOCKER_CONTEXT' };
  const file = path.join(configDirectory(env), 'config.json');
  const { currentContext } = (readJson(file, 'mend it, or move it away') ?? {}) as { currentContext?: unknown };
  if (typeof currentContext !== 'string' || currentContext === '' || currentContext === DEFAULT_CONTEXT)
    return undefined;
  return { name: currentContext, saidBy: file };
}

/** @throws BottleError `DOCKER_CONTEXT_INVALID` when there is no such context, or its files make no sense */
export function readContext(env: NodeJS.ProcessEnv, name: string, saidBy: string): DockerContext {
  const id = createHash('sha256').update(name).digest('hex');
  const contexts = path.join(configDirectory(env), 'contexts');
  const file = path.join(contexts, 'meta', id, 'meta.json');
  const meta = readJson(file, `docker context rm ${shown(name)}, and create it anew`);
  if (meta === undefined) {
    const others = contextNames(env);
    throw new BottleError(
      'DOCKER_CONTEXT_INVALID',
      `${saidBy} names the Docker context ${shown(name)}, which is not there`,
      {
        hint: `docker context use ${others[0] ?? DEFAULT_CONTEXT}${saidBy === 'DOCKER_CONTEXT' ? ', and unset DOCKER_CONTEXT' : ''}; there are: ${[DEFAULT_CONTEXT, ...others].join(', ')}`,
      },
    );
  }
  const endpoint = (meta as Meta).Endpoints?.docker;
  if (typeof endpoint?.Host !== 'string' || endpoint.Host === '')
    throw new BottleError('DOCKER_CONTEXT_INVALID', `the Docker context ${shown(name)} names no Engine (${file})`, {
      hint: 'choose another with: docker context use NAME',
    });
  const certificates = path.join(contexts, 'tls', id, 'docker');
  return {
    name,
    host: endpoint.Host,
    certificates: existsSync(certificates) ? certificates : undefined,
    skipVerify: endpoint.SkipTLSVerify === true,
  };
}

/** Names of the contexts that are kept, `default` not among them; a broken one is left out. */
export function contextNames(env: NodeJS.ProcessEnv): string[] {
  const directory = path.join(configDirectory(env), 'contexts', 'meta');
  try {
    return readdirSync(directory).flatMap((id) => {
      try {
        const { Name } = JSON.parse(readFileSync(path.join(directory, id, 'meta.json'), 'utf8')) as Meta;
        return typeof Name === 'string' ? [shown(Name)] : [];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

interface Meta {
  Name?: unknown;
  Endpoints?: { docker?: { Host?: unknown; SkipTLSVerify?: unknown } };
}

/** @returns undefined when there is no such file */
function readJson(file: string, hint: string): object | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    // A parser's message would quote the file, which may hold the credentials of registries.
    if (code !== undefined)
      throw new BottleError('DOCKER_CONTEXT_INVALID', `Docker's ${file} cannot be read (${code})`, { hint });
  }
  throw new BottleError('DOCKER_CONTEXT_INVALID', `Docker's ${file} is not JSON`, { hint });
}

const shown = (name: string): string => JSON.stringify(name.slice(0, 80)).slice(1, -1);
