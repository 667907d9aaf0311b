/**
 * The bundle's end of a machine that has no network: `init.js --relay ADDRESS`, started by the host in the container, carries
 * connections from its standard input and output to the daemons. Many at once, each with its own flow control and its own
 * end of either direction: HTTP/2 streams opened by CONNECT (RFC 9113, 8.5), with the port as their authority.
 */
import { randomUUID } from 'node:crypto';
import http2 from 'node:http2';
import net from 'node:net';
import { pipeline } from 'node:stream';
import { BUNDLE_PORTS } from '../core/machine-link.ts';
import { RELAY_MEMORY, RELAY_SETTINGS } from '../core/relay-settings.ts';

const { HTTP2_HEADER_AUTHORITY: AUTHORITY, HTTP2_HEADER_METHOD: METHOD, HTTP2_HEADER_STATUS: STATUS } = http2.constants;

/** Lasts until the other end goes away. @param address where the daemons listen */
export function runRelay(address: string): void {
  const server = http2.createServer({ settings: RELAY_SETTINGS, maxSessionMemory: RELAY_MEMORY });
  server.on('session', (session) => {
    session.setLocalWindowSize(RELAY_SETTINGS.initialWindowSize);
    session.on('close', () => process.exit(0));
    session.on('error', () => process.exit(1));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const port = Number(headers[AUTHORITY]);
    if (headers[METHOD] !== 'CONNECT' || !BUNDLE_PORTS.some((each) => each === port)) {
      stream.respond({ [STATUS]: 403 }, { endStream: true });
      return;
    }
    carry(stream, port, address);
  });
  overSocket((socket) => server.emit('connection', socket));
}

/**
 * The streams of this process as a socket, which is all that Node's HTTP/2 is sound on: on other streams it fails assertions
 * of its own under load (24.21, JSStreamSocket).
 */
function overSocket(use: (socket: net.Socket) => void): void {
  const listener = net.createServer({ allowHalfOpen: true }, (socket) => {
    listener.close();
    use(socket);
  });
  const name = `\0bottle-relay-${randomUUID()}`;
  listener.listen(name, () => {
    const own = net.connect({ path: name, allowHalfOpen: true });
    pipeline(process.stdin, own, process.stdout, () => process.exit(0));
    // The host has gone away, and with it everything that is under way.
    process.stdin.once('end', () => process.exit(0));
  });
}

function carry(stream: http2.ServerHttp2Stream, port: number, address: string): void {
  const daemon = net.connect({ host: address, port, allowHalfOpen: true });
  daemon.once('error', () => stream.close(http2.constants.NGHTTP2_CONNECT_ERROR));
  daemon.once('connect', () => {
    if (stream.destroyed) return void daemon.destroy();
    stream.respond({ [STATUS]: 200 });
    pipeline(stream, daemon, stream, () => undefined);
  });
  stream.once('close', () => daemon.destroy());
}
