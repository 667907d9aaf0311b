/**
 * The daemon through which the agent asks its operator: an MCP server on the bundle's address, path `/mcp`, streamable
 * HTTP without sessions. It decides nothing: it tells the host of what is asked on its standard output, and hears of
 * decisions with its configuration. Whoever reaches the address is the agent, so nobody logs in.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { SuperviseConfig } from '../core/bundle-config.ts';
import { type Daemon, runDaemon } from './daemon-process.ts';
import { createRequestDesk } from './supervise-requests.ts';
import type { ToolServer } from './supervise-tools.ts';

/** Far more than one agent's client opens. */
const MAX_CONNECTIONS = 64;
/** How long a request may take to arrive, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 60_000;

export interface SuperviseOptions {
  /** Takes the lines for the host, each with its end. */
  tell: (line: string) => void;
}

export interface Supervise extends Daemon<SuperviseConfig> {
  /** The port that it listens on, once configured. */
  port(): number;
  /** How many calls wait for a decision. */
  waiting(): number;
  /** Ends every connection. */
  close(): Promise<void>;
}

/** The daemon in this process. It listens from its first configuration on; another address needs another process. */
export function startSupervise({ tell }: SuperviseOptions): Supervise {
  const desk = createRequestDesk(tell);
  let config: SuperviseConfig | undefined;
  let tools: Promise<ToolServer> | undefined;

  const server = createServer((request, response) => {
    const refusal = refusalOf(request);
    if (refusal !== undefined) refuse(response, ...refusal);
    else answer(request, response).catch(() => response.destroy());
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Loaded when the agent first calls: it is most of the daemon's memory and start, and a bottle starts faster without.
    tools ??= import('./supervise-tools.ts').then(({ serveTools }) =>
      serveTools({ desk, config: () => config as SuperviseConfig }),
    );
    await (await tools).handle(request, response);
  }

  return {
    async configure(next) {
      if (config === undefined) await once(server.listen(next.listen.port, next.listen.host), 'listening');
      else if (next.listen.host !== config.listen.host || next.listen.port !== config.listen.port) {
        throw new Error('the address to listen on changed');
      }
      config = next;
      desk.update(next);
    },
    port: () => (server.address() as AddressInfo).port,
    waiting: () => desk.waiting(),
    async close() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await (await tools)?.close();
    },
  };
}

/** The daemon as a child process of init. */
export function runSupervise(): void {
  runDaemon(startSupervise({ tell: (line) => process.stdout.write(line) }));
}

/**
 * Why a request is none of the agent's, as status and text. 404 also for what OAuth discovery asks: an answer of any
 * other kind makes a client try to log in. An Origin is sent by browsers, and a web page is not the agent.
 */
function refusalOf({ method, url, headers }: IncomingMessage): [number, string] | undefined {
  if (url !== '/mcp') return [404, 'not found'];
  if (method !== 'POST') return [405, 'only POST'];
  if (headers.origin !== undefined) return [403, 'not for web pages'];
  return undefined;
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain',
    connection: 'close', // what else it sends is not read
    ...(status === 405 ? { allow: 'POST' } : {}),
  });
  response.end(`${text}\n`);
}
