/** A client of the Engine at an endpoint. Whatever call it makes, an Engine that does not answer is DOCKER_UNREACHABLE. */
import { existsSync, readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import Dockerode from 'dockerode';
import { BottleError } from '../core/errors.ts';
import { answerLimit, dialWithin, type EngineCall } from './answer-limit.ts';
import { contextNames } from './docker-context.ts';
import { type DockerEndpoint, defaultSockets, endpointText } from './docker-endpoint.ts';
import { SshAgent } from './docker-ssh.ts';
import { settleCalls } from './engine-calls.ts';

/**
 * Connects lazily, anew for each call.
 * @param limitMs how long a call may wait for its answer, where that is no matter of what it does
 * @throws BottleError `DOCKER_CONTEXT_INVALID` when the endpoint's certificates cannot be read
 */
export function dockerAt(endpoint: DockerEndpoint, limitMs?: number): Dockerode {
  const docker = new Dockerode(optionsFor(endpoint));
  places.set(docker, endpoint);
  const modem = docker.modem as unknown as Modem;
  const dial = modem.dial.bind(modem);
  // Here, and not where it is called: no call can forget it, whoever adds one.
  modem.dial = (options, callback) =>
    dialWithin(
      answerLimit(options, limitMs),
      dial,
      options,
      (error, answer) =>
        callback(unreachable(error, endpoint) ?? noEngine(options, error, answer, endpoint) ?? error, answer),
      () => noWord(options, endpoint),
    );
  return settleCalls(docker);
}

/** Where each client connects to. */
const places = new WeakMap<Dockerode, DockerEndpoint>();

/** What is said of an Engine that takes a call and says nothing. */
export function noAnswer(docker: Dockerode): BottleError {
  const endpoint = places.get(docker);
  if (endpoint === undefined) return new BottleError('DOCKER_UNREACHABLE', 'the Docker Engine does not answer');
  return silence(endpoint, 'ETIMEDOUT', 'ETIMEDOUT');
}

/** What is said of an Engine that answers others, and says nothing to one call. */
function noWord({ method = 'GET', path = '' }: EngineCall, endpoint: DockerEndpoint): BottleError {
  const [address] = path.split('?');
  return new BottleError(
    'DOCKER_UNREACHABLE',
    `the Docker Engine at ${endpointText(endpoint)} has not answered in time: ${method} ${address}`,
    {
      hint: 'see whether docker ps shows a container as paused (docker unpause); where that hangs too, restart Docker; then retry',
    },
  );
}

/** What every call of dockerode goes through (docker-modem). */
interface Modem {
  dial(options: EngineCall, callback: (error: unknown, answer: unknown) => void): void;
}

/** All that docker-modem would otherwise take from the environment is said, if only to be undefined. */
function optionsFor({ address, tls }: DockerEndpoint): Dockerode.DockerOptions {
  const nothing = {
    socketPath: undefined,
    host: undefined,
    port: undefined,
    ca: undefined,
    cert: undefined,
    key: undefined,
  };
  const options = { ...nothing, protocol: 'http', pathPrefix: '/' } as const;
  const rest = address.slice(address.indexOf('://') + '://'.length);
  if (address.startsWith('unix://') || address.startsWith('npipe://'))
    return { ...options, socketPath: rest } as unknown as Dockerode.DockerOptions;
  // The name is for the header alone: ssh leads there.
  if (address.startsWith('ssh://'))
    return { ...options, host: 'docker', port: 80, agent: new SshAgent(address) } as unknown as Dockerode.DockerOptions;
  const { hostname, port } = new URL(`http://${rest}`);
  // An IPv6 address is understood only as part of a URL.
  const place = (protocol: string): object => ({
    protocol,
    host: hostname.startsWith('[') ? `${protocol}://${hostname}` : hostname,
    port: port === '' ? 80 : Number(port),
  });
  if (tls === undefined) return { ...options, ...place('http') } as unknown as Dockerode.DockerOptions;
  const agent = new https.Agent({ ...certificatesIn(tls.certificates), rejectUnauthorized: tls.verify });
  return { ...options, ...place('https'), agent } as unknown as Dockerode.DockerOptions;
}

function certificatesIn(directory: string | undefined): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  const read = (name: string): Buffer | undefined => {
    const file = path.join(directory ?? '', `${name}.pem`);
    if (directory === undefined || !existsSync(file)) return undefined;
    try {
      return readFileSync(file);
    } catch (error) {
      throw new BottleError(
        'DOCKER_CONTEXT_INVALID',
        `the Engine's certificate ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
        { hint: 'make it readable, or name another directory in DOCKER_CERT_PATH' },
      );
    }
  };
  const [ca, cert, key] = ['ca', 'cert', 'key'].map(read);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

const SILENT = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ECONNABORTED'],
  ...['ENOTFOUND', 'EAI_AGAIN', 'EAI_NODATA', 'EPROTO', 'SSH_FAILED'],
]);
/** The same words are said of files; what is not a call to connect is somebody else's. */
const NO_SOCKET = new Set(['ENOENT', 'EACCES', 'EPERM', 'ENOTSOCK', 'ENOTDIR', 'EINVAL']);

/** @returns undefined for any other error: an answer of the Engine, or that nobody waits any more */
function unreachable(error: unknown, endpoint: DockerEndpoint): BottleError | undefined {
  if (!(error instanceof Error) || 'statusCode' in error) return undefined;
  const { code = '', syscall, message } = error as NodeJS.ErrnoException;
  const tls = /^ERR_(TLS|SSL)_|CERT|^UNABLE_TO_|^HOSTNAME_MISMATCH$|^HPE_/.test(code);
  if (!SILENT.has(code) && !tls && !(NO_SOCKET.has(code) && syscall === 'connect')) return undefined;
  return silence(endpoint, code, tls || code === 'SSH_FAILED' ? message : code, error);
}

function silence(endpoint: DockerEndpoint, code: string, why: string, cause?: unknown): BottleError {
  const message = `the Docker Engine at ${endpointText(endpoint)} does not answer (${why})`;
  return new BottleError('DOCKER_UNREACHABLE', message, { hint: hintFor(endpoint, code), cause });
}

/** What a web server says to a call that it does not know; a filter before an Engine refuses otherwise. */
const UNKNOWN_CALL = [301, 302, 307, 308, 400, 404, 405, 501];

/** Something answers, in HTTP, but not as an Engine does: it always speaks JSON, of its version and of what was wrong. */
function noEngine(
  call: EngineCall,
  error: unknown,
  answer: unknown,
  endpoint: DockerEndpoint,
): BottleError | undefined {
  const { statusCode, json } = (error ?? {}) as { statusCode?: number; json?: unknown };
  const strange = statusCode !== undefined && UNKNOWN_CALL.includes(statusCode) && isOtherText(json);
  const nameless = !error && call.path === '/version' && !isEngineVersion(answer);
  if (!strange && !nameless) return undefined;
  return new BottleError(
    'DOCKER_UNREACHABLE',
    `what answers at ${endpointText(endpoint)} is no Docker Engine (HTTP ${statusCode ?? 200})`,
    { hint: hintFor(endpoint, ''), cause: error },
  );
}

const isOtherText = (body: unknown): boolean => (typeof body === 'string' || Buffer.isBuffer(body)) && body.length > 0;
const isEngineVersion = (said: unknown): boolean => typeof said === 'object' && said !== null && 'Version' in said;

/** @param code of the failure, where there was one: some say more than that nobody is there */
export function hintFor(endpoint: DockerEndpoint, code: string, env: NodeJS.ProcessEnv = process.env): string {
  const { address, chosenBy } = endpoint;
  if (code === 'EACCES' || code === 'EPERM')
    return `add yourself to the group docker (sudo usermod -aG docker $USER) and log in again`;
  // It takes the call, so it is there.
  const standsStill = code === 'ETIMEDOUT' && address.startsWith('unix://');
  const start = standsStill ? 'restart Docker if it does not go on by itself' : startHint(endpoint);
  if (chosenBy.kind === 'DOCKER_HOST') return `${start}, or unset DOCKER_HOST; then retry`;
  const others = contextNames(env).filter((name) => chosenBy.kind !== 'context' || name !== chosenBy.name);
  if (chosenBy.kind === 'context')
    return `${start}, or choose another Engine: docker context use ${['default', ...others].join('|')}; then retry`;
  const sockets = defaultSockets(env).filter((socket) => address !== `unix://${socket}` && existsSync(socket));
  const elsewhere = [
    ...(others.length === 0 ? [] : [`docker context use ${others.join('|')}`]),
    ...(sockets.length === 0 ? [] : [`export DOCKER_HOST=unix://${sockets[0]}`]),
  ];
  return elsewhere.length === 0 ? `${start}, then retry` : `${start}, or: ${elsewhere.join(', or ')}; then retry`;
}

/** How the Engine behind a name or a socket is started. */
function startHint({ address, chosenBy }: DockerEndpoint): string {
  const name = chosenBy.kind === 'context' ? chosenBy.name : '';
  const says = (pattern: RegExp): boolean => pattern.test(name) || pattern.test(address);
  if (says(/^colima\b|\/\.colima\//)) {
    const profile = /^colima-(.+)$/.exec(name)?.[1] ?? /\/\.colima\/([^/]+)\//.exec(address)?.[1] ?? 'default';
    return profile === 'default' ? 'colima start' : `colima start ${profile}`;
  }
  if (says(/^orbstack\b|\/\.orbstack\//)) return 'start OrbStack (orb start)';
  if (says(/^rancher-desktop\b|\/\.rd\//)) return 'start Rancher Desktop';
  if (says(/^desktop-|\/\.docker\/(run|desktop)\//)) return 'start Docker Desktop';
  if (says(/^rootless$|^unix:\/\/\/run\/user\//)) return 'systemctl --user start docker';
  if (address.startsWith('ssh://')) return `see whether this works: ssh ${sshTarget(address)} docker version`;
  if (address.startsWith('tcp://')) return 'see whether an Engine listens there';
  return 'start Docker';
}

const sshTarget = (address: string): string => address.replace(/^ssh:\/\//, '').replace(/[:/].*$/, '');
