/** Connections to a bundle's daemons where its address cannot be dialled: all of them over one command in its container. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http2 from 'node:http2';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { type Duplex, pipeline, Writable } from 'node:stream';
import type Dockerode from 'dockerode';
import { RELAY_MEMORY, RELAY_SETTINGS } from '../../../core/relay-settings.ts';
import { demultiplex } from '../demultiplex.ts';

export interface BundleConnections {
  /** A new connection to a port of the bundle. Ends with an error when nobody takes it. */
  open(port: number): Promise<Duplex>;
}

const { HTTP2_HEADER_AUTHORITY: AUTHORITY, HTTP2_HEADER_METHOD: METHOD } = http2.constants;
const BEAT_MS = 15_000;
const INIT = '/opt/bottle/init.js';
/** It only carries: none of the daemons' users, and nothing that they may do. */
const USER = 'nobody';

/**
 * The command is started with the first connection, and anew with the next one after it has ended, as it does with its
 * container.
 * @param container name of the bundle's
 * @param address of the bundle, in its own network
 */
export function bundleConnections(docker: Dockerode, container: string, address: string): BundleConnections {
  let current: Promise<http2.ClientHttp2Session> | undefined;

  function session(): Promise<http2.ClientHttp2Session> {
    current ??= connect(docker, container, address).then(
      (made) => made.once('close', forget),
      (error: unknown) => {
        forget();
        throw error;
      },
    );
    return current;
  }
  function forget(): void {
    current = undefined;
  }

  return {
    async open(port) {
      return (await session()).request({ [METHOD]: 'CONNECT', [AUTHORITY]: String(port) }, { endStream: false });
    },
  };
}

async function connect(docker: Dockerode, container: string, address: string): Promise<http2.ClientHttp2Session> {
  const exec = await docker.getContainer(container).exec({
    Cmd: ['node', INIT, '--relay', address],
    User: USER,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  });
  const wire = await exec.start({ hijack: true, stdin: true });
  const [socket, own] = await socketPair();
  const dropped = new Writable({ write: (_chunk, _encoding, taken) => taken() });
  const end = (): void => {
    for (const each of [socket, own, wire]) each.destroy();
  };
  demultiplex(wire, own, dropped).then(end, end);
  pipeline(own, wire, end);
  const made = http2.connect('http://bundle', {
    createConnection: () => socket,
    settings: RELAY_SETTINGS,
    maxSessionMemory: RELAY_MEMORY,
  });
  made.once('connect', () => made.setLocalWindowSize(RELAY_SETTINGS.initialWindowSize));
  // Each connection on it ends with it, and says so.
  made.on('error', () => undefined);
  made.once('close', end);
  keepAlive(made);
  return made;
}

/** A computer that slept may find the other end gone without having been told. */
function keepAlive(session: http2.ClientHttp2Session): void {
  let answered = true;
  const timer = setInterval(() => {
    if (!answered) session.destroy();
    if (session.destroyed) return;
    answered = false;
    session.ping((error) => {
      answered = error === null;
    });
  }, BEAT_MS);
  timer.unref();
  session.once('close', () => clearInterval(timer));
}

/**
 * Two ends of one connection within this process. Node's HTTP/2 is sound on sockets only: on other streams it fails
 * assertions of its own under load (24.21, JSStreamSocket).
 */
async function socketPair(): Promise<[net.Socket, net.Socket]> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'bottle-pair-'));
  const listener = net.createServer({ allowHalfOpen: true });
  try {
    listener.listen(path.join(directory, 's'));
    await once(listener, 'listening');
    const connected = once(listener, 'connection') as Promise<[net.Socket]>;
    const one = net.connect({ path: path.join(directory, 's'), allowHalfOpen: true });
    const [[other]] = await Promise.all([connected, once(one, 'connect')]);
    for (const each of [one, other]) each.on('error', () => undefined);
    return [one, other];
  } finally {
    listener.close();
    await rm(directory, { recursive: true, force: true });
  }
}
