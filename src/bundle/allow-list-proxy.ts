/**
 * The forward proxy that stands in pipelock's place: HTTP in absolute form and CONNECT, to the hosts of the
 * allow-list and nowhere else. Parsing, forwarding and the CONNECT handshake are proxy-chain's; every upstream
 * connection is opened here first (dial.ts), so that what was checked is what is used and a failure is a plain 502.
 */
import { Agent, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { type PrepareRequestFunctionOpts, type PrepareRequestFunctionResult, RequestError, Server } from 'proxy-chain';
import { type AllowEntry, type Decision, decide } from './allow-list.ts';
import { DialError, dial, type Resolve, resolveBySystem } from './dial.ts';
import { answerOwn } from './own-answers.ts';

/** One line of the log: no headers, no paths. `bytes` went to the guest. */
export interface RequestRecord {
  method: string;
  host: string;
  port: number;
  verdict: Decision['verdict'];
  status: number;
  bytes: number;
}

export interface AllowListProxyOptions {
  /** The address to listen on: the bundle's own, never all of them. */
  host: string;
  port: number;
  allow: readonly AllowEntry[];
  onRequest?: (record: RequestRecord) => void;
  resolve?: Resolve;
}

export interface AllowListProxy {
  port: number;
  /** Ends every connection, tunnels included. */
  close(): Promise<void>;
}

/** Methods whose body Node sends without any framing once a proxy has taken `Transfer-Encoding` away. */
const UNFRAMED_METHODS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']);

/** Starts the proxy; resolves once it listens. */
export async function startAllowListProxy(options: AllowListProxyOptions): Promise<AllowListProxy> {
  const { allow, onRequest = () => {}, resolve = resolveBySystem } = options;

  const server = new Server({
    host: options.host,
    port: options.port,
    authRealm: 'bottle',
    prepareRequestFunction: (asked) => prepare(asked),
  });

  async function prepare(asked: PrepareRequestFunctionOpts): Promise<PrepareRequestFunctionResult> {
    const { request, isHttp, port } = asked;
    const rawHost = isHttp ? asked.hostname : authorityHost(request.url);
    const decision = decide(allow, rawHost, port);
    const record = { method: request.method ?? '', host: decision.host, port, verdict: decision.verdict };
    const refuse = (status: number, message: string, verdict: Decision['verdict'] = 'deny') => {
      onRequest({ ...record, verdict, status, bytes: 0 });
      return answerWith(status, isHttp ? message : `CONNECT ${message}`);
    };
    if (decision.verdict === 'deny') throw refuse(403, `blocked: ${decision.reason}: ${decision.host}`);
    if (isHttp) {
      const fault = faultOf(request);
      if (fault !== undefined) throw refuse(400, `refused: ${fault}`);
      setHost(request);
    }

    let upstream: Socket;
    try {
      upstream = await dial(decision.host, port, { mayBePrivate: decision.private, resolve });
    } catch (error) {
      if (!(error instanceof DialError)) throw error;
      if (error.kind === 'refused') throw refuse(403, `blocked: ${error.message}`);
      throw refuse(502, `failed: ${error.message}`, 'allow');
    }
    if (request.socket.destroyed) upstream.destroy();
    if (isHttp) {
      return { httpAgent: agentOf(upstream) };
    }
    return { customConnectServer: tunnelTo(upstream, (bytes) => onRequest({ ...record, status: 200, bytes })) };
  }

  // proxy-chain answers 400 to every request in origin form; ours are the only ones.
  server.server.removeAllListeners('request');
  server.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (request.url?.startsWith('/') === true) {
      answerOwn(allow, request, response);
      return;
    }
    logWhenSent(request, response);
    sendHeadersAtOnce(response);
    void server.onRequest(request, response);
  });

  function logWhenSent(request: IncomingMessage, response: ServerResponse): void {
    const before = request.socket.bytesWritten;
    response.once('close', () => {
      if (!response.headersSent) return; // refused or failed before: logged where that was decided
      const url = URL.parse(request.url ?? '');
      if (url === null) return;
      const port = Number(url.port || 80);
      const { host, verdict } = decide(allow, url.hostname, port);
      const bytes = request.socket.bytesWritten - before;
      onRequest({ method: request.method ?? '', host, port, verdict, status: response.statusCode, bytes });
    });
  }

  // A request may upload for as long as it takes; the client decides when to give up.
  server.server.requestTimeout = 0;
  server.server.keepAliveTimeout = 60_000;
  await server.listen();
  return { port: server.port, close: () => server.close(true) };
}

/** An error that proxy-chain answers with; it knows it by a name that it takes from the class, which bundling renames. */
function answerWith(status: number, message: string): RequestError {
  return Object.assign(new RequestError(message, status), { name: 'RequestError' });
}

/** The host of `host:port` as CONNECT sends it, empty (and so refused) when there is anything else in it. */
function authorityHost(authority: string | undefined): string {
  return /^(\[[^\]@/?#]+\]|[^:@/?#[\]]+):\d+$/.exec(authority ?? '')?.[1] ?? '';
}

/** Why a plain request cannot be passed on as it is, if so. */
function faultOf(request: IncomingMessage): string | undefined {
  const url = new URL(request.url ?? '');
  if (url.username !== '' || url.password !== '') return 'user information in the address';
  const chunked = request.headers['transfer-encoding'] !== undefined;
  if (chunked && UNFRAMED_METHODS.has(request.method ?? '')) return 'a body without Content-Length';
  return undefined;
}

/** RFC 9112 3.2.2: Host is the address's, whatever the client said; else a listed host fronts for an unlisted one. */
function setHost(request: IncomingMessage): void {
  const raw = request.rawHeaders;
  for (let at = raw.length - 2; at >= 0; at -= 2) {
    if (raw[at]?.toLowerCase() === 'host') raw.splice(at, 2);
  }
  raw.push('Host', new URL(request.url ?? '').host);
}

/** An agent for one request that uses the connection already open. */
function agentOf(upstream: Socket): Agent {
  const agent = new Agent({ keepAlive: false });
  agent.createConnection = () => upstream;
  return agent;
}

/** What proxy-chain hands a CONNECT's client to once it has answered 200. */
function tunnelTo(
  upstream: Socket,
  onEnd: (bytes: number) => void,
): NonNullable<PrepareRequestFunctionResult['customConnectServer']> {
  const handOver = createServer((client) => {
    const before = client.bytesWritten;
    pipeline(client, upstream, client, () => {
      client.destroy();
      upstream.destroy();
      onEnd(client.bytesWritten - before);
    });
  });
  // Only its 'connection' event is used; it never listens, and never parses HTTP as the declared type would.
  return handOver as unknown as NonNullable<PrepareRequestFunctionResult['customConnectServer']>;
}

/** Node keeps headers back until the first byte of the body: an event stream would open only with its first event. */
function sendHeadersAtOnce(response: ServerResponse): void {
  const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse;
  response.writeHead = (...args: unknown[]) => {
    writeHead(...args);
    response.flushHeaders();
    return response;
  };
}
