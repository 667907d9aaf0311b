/** What proxy-chain leaves to its user, or does otherwise than this proxy needs. */
import { Agent, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import type { PrepareRequestFunctionResult, Server } from 'proxy-chain';

type ConnectServer = NonNullable<PrepareRequestFunctionResult['customConnectServer']>;

/** Methods whose body Node sends without any framing once a proxy has taken `Transfer-Encoding` away. */
const UNFRAMED_METHODS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']);

/** Whether the body would reach the upstream unframed, and so could pass for a second request. */
export function hasUnframedBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined && UNFRAMED_METHODS.has(request.method ?? '');
}

/**
 * RFC 9112 3.2.2: Host is the address's, whatever the client said; else a listed host fronts for an unlisted one.
 * Proxy-Connection is for us; proxy-chain takes away the other hop-by-hop headers.
 */
export function cleanHeaders(request: IncomingMessage): void {
  const raw = request.rawHeaders;
  for (let at = raw.length - 2; at >= 0; at -= 2) {
    const name = raw[at]?.toLowerCase();
    if (name === 'host' || name === 'proxy-connection') raw.splice(at, 2);
  }
  raw.push('Host', new URL(request.url ?? '').host);
}

/** An agent for one request, over the connection already open. */
export function agentOf(upstream: Socket): Agent {
  const agent = new Agent({ keepAlive: false });
  agent.createConnection = () => upstream;
  return agent;
}

/**
 * What proxy-chain hands the client of a CONNECT to once it has answered 200: it is joined to `upstream` until both
 * are done. `onEnd` gets the number of bytes the client was sent.
 */
export function tunnelTo(upstream: Socket, onEnd: (bytes: number) => void): ConnectServer {
  const handOver = createServer((client) => {
    const before = client.bytesWritten;
    pipeline(client, upstream, client, () => {
      client.destroy();
      upstream.destroy();
      onEnd(client.bytesWritten - before);
    });
  });
  // Of the declared HTTP server only the 'connection' event is used, and a tunnel is not to be parsed.
  return handOver as unknown as ConnectServer;
}

/**
 * Two corrections of the answer to a plain request. Node keeps headers back until the first byte of the body, so an
 * event stream would open only with its first event: send them at once. And where the upstream hangs up without an
 * answer, proxy-chain invents a status from 590 up: say 502.
 */
export function correctAnswer(response: ServerResponse): void {
  const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse;
  response.writeHead = (...args: unknown[]) => {
    const invented = args.length === 1; // an upstream's own status comes with its headers
    writeHead(...(invented ? [502] : args));
    response.flushHeaders();
    return response;
  };
}

/**
 * A 407 of the proxy behind is no answer for the client, which would take it for a question to itself; proxy-chain makes a
 * status of its own of it.
 * @param refusal what the client is told instead
 */
export function refuseLogins(server: Server, refusal: () => Error): void {
  const normalize = server.normalizeHandlerError.bind(server);
  server.normalizeHandlerError = (error) => (/^407 /.test(error.message) ? refusal() : normalize(error)) as Error;
}
