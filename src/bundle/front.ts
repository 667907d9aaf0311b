/**
 * Where the machine finds egress by its name: a client that knows no proxy asks here, and what it asks goes to the scanner
 * in absolute form, as from one that does. It knows no other way, opens no tunnel and holds no secret, so nothing gets
 * around the scanner by it. Both ways stream.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as requestOf, type ServerResponse } from 'node:http';
import { type Duplex, pipeline } from 'node:stream';
import type { FrontConfig } from '../core/bundle-config.ts';
import { EGRESS_NAME, EGRESS_PORT, EGRESS_URL } from '../core/daemons.ts';
import { type Daemon, runDaemon } from './daemon-process.ts';
import { absoluteTarget } from './request-target.ts';

export interface Front extends Daemon<FrontConfig> {
  /** Ends every connection. */
  close(): Promise<void>;
}

/** Longer than clients keep an idle connection. */
const KEEP_ALIVE_MS = 120_000;
const HEADERS_TIMEOUT_MS = 60_000;

/** RFC 9110 7.6.1: of one connection, not the message; the framing of a body is said anew by whoever sends it. */
const HOP_BY_HOP = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'proxy-authenticate'],
  ...['te', 'trailer', 'upgrade', 'expect', 'http2-settings'],
]);
/** Methods that say nothing of a body when they have none. */
const BODYLESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']);

export function startFront(): Front {
  let scanner: FrontConfig['scanner'] | undefined;
  // An upload may take its time; with requestTimeout 0 Node would drop the limit for headers as well.
  const server = createServer(
    { requestTimeout: 0, headersTimeout: HEADERS_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS },
    serve,
  );
  server.on('connect', refuseTunnel);

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const target = egressTarget(request);
    if (target === undefined) {
      answer(response, 421, `blocked: only ${EGRESS_URL} is asked here`);
      return;
    }
    forward(request, response, target);
  }

  /** A connection for each request: one that is kept might be closed by the scanner just when it is used again. */
  function forward(request: IncomingMessage, response: ServerResponse, path: string): void {
    const { method = '' } = request;
    const headers = [...endToEnd(request.rawHeaders, 'host'), 'Host', `${EGRESS_NAME}:${EGRESS_PORT}`];
    const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
    if (length === undefined && coding === undefined && !BODYLESS.has(method)) headers.push('Content-Length', '0');
    const upstream = requestOf({ ...scanner, agent: false, method, path, headers });
    upstream.on('error', () => {
      if (response.headersSent) response.destroy();
      else answer(response, 502, 'failed: the scanner does not answer');
    });
    upstream.on('response', (incoming) => {
      response.sendDate = false;
      response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, answerHeaders(incoming));
      response.flushHeaders(); // an event stream opens before its first event
      // One that breaks off destroys the response: it must not pass for a whole one.
      pipeline(incoming, response, () => {});
    });
    request.pipe(upstream);
    upstream.flushHeaders();
    response.once('close', () => {
      // The client left, or the answer came before the whole request: else nothing is left to do.
      request.unpipe(upstream).resume();
      upstream.destroy();
    });
  }

  return {
    async configure(config) {
      const listening = scanner !== undefined;
      ({ scanner } = config);
      if (!listening) await once(server.listen(config.listen.port, config.listen.host), 'listening');
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What is asked of egress, in absolute form; undefined for anything else, whoever the client takes this for. */
function egressTarget({ url = '', headers }: IncomingMessage): string | undefined {
  const isOriginForm = url.startsWith('/');
  const named = absoluteTarget(isOriginForm ? `http://${headers.host ?? ''}/` : url);
  if (named === undefined || named.port !== EGRESS_PORT || named.host.replace(/\.$/, '') !== EGRESS_NAME)
    return undefined;
  return EGRESS_URL + (isOriginForm ? url : url.replace(/^[^:]+:\/\/[^/?#]*\/?/, '/'));
}

/** Names and values in turn, as they were written. Transfer-Encoding stays: Node frames the body by it. */
function endToEnd(raw: readonly string[], ...more: string[]): string[] {
  const dropped = new Set([...HOP_BY_HOP, ...more, ...namedByConnection(raw)]);
  return raw.flatMap((name, at) => (at % 2 === 0 && !dropped.has(name.toLowerCase()) ? [name, raw[at + 1] ?? ''] : []));
}

function namedByConnection(raw: readonly string[]): string[] {
  const values = raw.filter((_, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === 'connection');
  const names = values.flatMap((value) => value.toLowerCase().split(',')).map((name) => name.trim());
  // Were the length of a body taken away, its bytes would be another request.
  return names.filter((name) => name !== 'content-length' && name !== 'transfer-encoding');
}

/** Whether it comes in chunks is between two ends of a connection; Node says so to one that understands it. */
const answerHeaders = ({ rawHeaders }: IncomingMessage): string[] => endToEnd(rawHeaders, 'transfer-encoding');

function refuseTunnel(_request: IncomingMessage, socket: Duplex): void {
  socket.on('error', () => {});
  socket.end(NO_TUNNELS, () => socket.destroy());
}

const NO_TUNNELS =
  'HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nblocked: no tunnels here\n';

function answer(response: ServerResponse, status: number, line: string): void {
  const text = `${line}\n`;
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(text) };
  // Nothing more is read of a request that goes nowhere.
  response.writeHead(status, { ...headers, connection: 'close' });
  response.end(text);
}

/** As a child process of init. It says nothing: the scanner's log has every request. */
export function runFront(): void {
  runDaemon(startFront());
}
