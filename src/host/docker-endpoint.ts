/**
 * Where the Docker Engine is: DOCKER_HOST, then the current Docker context, then the first default socket that is there.
 * The one place that decides it, for everything that connects: worker, client, bootstrap, demo.
 */
import { accessSync, constants, existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { certificateDirectory, currentContextName, homeOf, readContext } from './docker-context.ts';

export interface DockerEndpoint {
  /** `unix:///path`, `npipe://path`, `tcp://host:port` or `ssh://[user@]host[:port][/socket]`. */
  readonly address: string;
  /** `DOCKER_HOST`, the name of a context, or nobody: a default socket. */
  readonly chosenBy: { kind: 'DOCKER_HOST' | 'default' } | { kind: 'context'; name: string };
  /** Present: the connection is TLS. */
  readonly tls?: {
    /** Directory with `ca.pem`, `cert.pem`, `key.pem`, each of which may be missing. */
    certificates: string | undefined;
    verify: boolean;
  };
}

export const SYSTEM_SOCKET = '/var/run/docker.sock';

/**
 * Sockets that an Engine may have where nobody has made a context for it: the system's, Docker Desktop's, a rootless
 * Engine's, Colima's, OrbStack's, Rancher Desktop's. Docker Desktop and the others also put a link at the system's when they may.
 */
export function defaultSockets(env: NodeJS.ProcessEnv): string[] {
  const home = homeOf(env);
  const runtime = env['XDG_RUNTIME_DIR'];
  const colima = env['COLIMA_HOME'] || path.join(home, '.colima');
  return [
    SYSTEM_SOCKET,
    path.join(home, '.docker/run/docker.sock'),
    ...(runtime ? [path.join(runtime, 'docker.sock')] : []),
    path.join(home, '.docker/desktop/docker.sock'),
    path.join(colima, 'default/docker.sock'),
    path.join(home, '.config/colima/default/docker.sock'),
    path.join(home, '.orbstack/run/docker.sock'),
    path.join(home, '.rd/docker.sock'),
  ];
}

/**
 * The Engine's place as this environment has it; reads Docker's files, and connects to nothing.
 * @throws BottleError `DOCKER_CONTEXT_INVALID` when what chooses it makes no sense
 */
export function dockerEndpoint(env: NodeJS.ProcessEnv = process.env): DockerEndpoint {
  const host = env['DOCKER_HOST'];
  if (host) return fromHost(host, env);
  const current = currentContextName(env);
  if (current !== undefined) {
    const context = readContext(env, current.name, current.saidBy);
    const { address, remote } = parseAddress(context.host, `the Docker context ${context.name}`);
    const chosenBy = { kind: 'context', name: context.name } as const;
    if (!remote || (context.certificates === undefined && !context.skipVerify)) return { address, chosenBy };
    return { address, chosenBy, tls: { certificates: context.certificates, verify: !context.skipVerify } };
  }
  return { address: `unix://${firstSocket(defaultSockets(env))}`, chosenBy: { kind: 'default' } };
}

/** The first that we may use, else the first that is there, else the first of all. */
export function firstSocket(sockets: readonly string[]): string {
  const there = sockets.filter((socket) => existsSync(socket));
  return there.find(isOpenToUs) ?? there[0] ?? sockets[0] ?? SYSTEM_SOCKET;
}

/** DOCKER_TLS_VERIFY counts when it is not empty, whatever it says (docker/cli). */
function fromHost(host: string, env: NodeJS.ProcessEnv): DockerEndpoint {
  const { address, remote } = parseAddress(host, 'DOCKER_HOST');
  const chosenBy = { kind: 'DOCKER_HOST' } as const;
  const verify = Boolean(env['DOCKER_TLS_VERIFY']);
  if (!remote || !(verify || env['DOCKER_TLS'] || host.startsWith('https://'))) return { address, chosenBy };
  return { address, chosenBy, tls: { certificates: certificateDirectory(env), verify: verify || !env['DOCKER_TLS'] } };
}

/** Whether two endpoints lead to the same Engine as far as can be told: a link to a socket is that socket. */
export const isSameAddress = (one: string, other: string): boolean => canonicalAddress(one) === canonicalAddress(other);

export function canonicalAddress(address: string): string {
  if (!address.startsWith('unix://')) return address;
  try {
    return `unix://${realpathSync(address.slice('unix://'.length))}`;
  } catch {
    return address;
  }
}

/** An endpoint in words: its address, and what chose it. */
export function endpointText({ address, chosenBy }: DockerEndpoint): string {
  if (chosenBy.kind === 'context') return `${address} (context ${chosenBy.name})`;
  return chosenBy.kind === 'DOCKER_HOST' ? `${address} (DOCKER_HOST)` : address;
}

/** Variables with which any program of Docker's or ours comes to the same Engine, whatever context is chosen later. */
export function endpointEnvironment({ address, chosenBy }: DockerEndpoint): Record<string, string> {
  if (chosenBy.kind === 'context') return { DOCKER_HOST: '', DOCKER_CONTEXT: chosenBy.name };
  return { DOCKER_HOST: address, DOCKER_CONTEXT: '' };
}

function isOpenToUs(socket: string): boolean {
  try {
    accessSync(socket, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param said who wrote it, for the error */
function parseAddress(text: string, said: string): { address: string; remote: boolean } {
  const wrong = (why: string): BottleError =>
    // The text itself may hold a password.
    new BottleError('DOCKER_CONTEXT_INVALID', `${said} ${why}`, {
      hint: 'expected unix:///path/docker.sock, tcp://host:2375 or ssh://user@host',
    });
  const [, scheme = 'tcp', rest = text] = /^([a-z]+):\/\/(.*)$/s.exec(text) ?? [];
  if (scheme === 'unix' || scheme === 'npipe') {
    const file = rest || SYSTEM_SOCKET;
    if (scheme === 'unix' && !path.isAbsolute(file)) throw wrong('names a socket by no absolute path');
    return { address: `${scheme}://${file}`, remote: false };
  }
  if (scheme !== 'tcp' && scheme !== 'http' && scheme !== 'https' && scheme !== 'ssh')
    throw wrong(`begins with ${scheme}://, which bottle does not know`);
  // Of schemes it does not know, URL keeps hosts as they are written.
  const url = URL.parse(`${scheme === 'ssh' ? 'ssh' : 'http'}://${rest}`);
  if (url === null || url.hostname === '' || url.hostname.startsWith('-')) throw wrong('names no host');
  if (url.password !== '') throw wrong('holds a password, which ssh would not take');
  if (url.search !== '' || url.hash !== '') throw wrong('is no address');
  if (scheme === 'ssh') {
    const user = url.username === '' ? '' : `${url.username}@`;
    return { address: `ssh://${user}${url.host}${url.pathname === '/' ? '' : url.pathname}`, remote: false };
  }
  if (url.pathname !== '/' && url.pathname !== '') throw wrong('has a path, which bottle does not know how to use');
  const port = url.port || (/:80$/.test(rest.replace(/\/$/, '')) ? '80' : scheme === 'https' ? '443' : '2375');
  return { address: `tcp://${url.hostname}:${port}`, remote: true };
}
