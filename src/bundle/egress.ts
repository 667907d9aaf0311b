/**
 * The daemon that holds the credentials: a reverse proxy from plain HTTP on an address only the scanner in front can
 * reach, to the HTTPS upstreams of its routes. A request is judged first; then it goes out with the route's credential
 * and without the agent's own; and what comes back is cleaned of the credential. Both ways stream.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { type Agent, request as requestUpstream } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import type { EgressConfig, Listen } from '../core/bundle-config.ts';
import { credentialRefusedLine, decideEgress, type EgressDecision, viewRoute } from '../core/egress-routes.ts';
import type { UpstreamProxy } from '../core/network-proxy.ts';
import type { Reached, ReachQuestion, WayOutProblem } from '../core/reach.ts';
import { type Daemon, runDaemon } from './daemon-process.ts';
import { DialError, type Resolve, resolveBySystem } from './dial.ts';
import { answerHeaders, answerProblem, framingProblem, isEventStream, requestHeaders } from './egress-headers.ts';
import { addressRefusal, describeFailure, openRoute, portOf, type Route, retire } from './egress-upstream.ts';
import { limitStream } from './limit-stream.ts';
import { reach } from './reach.ts';

export interface EgressOptions {
  /** Takes each line of the log, JSON without its line break. */
  log: (line: string) => void;
  resolve?: Resolve;
  /** Milliseconds since 1970. @default Date.now */
  now?: () => number;
  /** Tries the way out whenever a configuration has come into force, to tell of it; absent: nobody tries. */
  reach?: (question: ReachQuestion, resolve: Resolve) => Promise<Reached>;
  /** How long name, connection and TLS may take together, in milliseconds. @default 15000 */
  connectTimeoutMs?: number;
}

export interface Egress extends Daemon<EgressConfig> {
  /**
   * The first call listens; later ones change the routes, and what is under way goes on as it began.
   * @throws Error that names the route that cannot be, before anything is changed
   */
  configure(config: EgressConfig): Promise<void>;
  /** Where it listens, once it does. */
  readonly port: number;
  /** Ends every connection. */
  close(): Promise<void>;
}

/** Longer than the scanner keeps an idle connection (90 s), so that it never sends into one that is being closed. */
const KEEP_ALIVE_MS = 120_000;
const HEADERS_TIMEOUT_MS = 60_000;
const MAX_LOGGED_PATH = 256;
const WAY_OUT_MS = 3000;

type WayOut = null | { reached: true } | ({ reached: false } & WayOutProblem);

export function startEgress(options: EgressOptions): Egress {
  const { log, reach: tryOut, resolve = resolveBySystem, now = Date.now, connectTimeoutMs = 15_000 } = options;
  let routes: ReadonlyMap<string, Route> = new Map();
  let agents = new Map<string, Agent>();
  let listen: Listen | undefined;
  let maxAnswerBytes: number | null = null;
  /** Whether the first route's upstream was reached; null while that is not known. */
  let wayOut: WayOut = null;
  let tries = 0;
  // An upload may take its time; with requestTimeout 0 Node would drop the limit for headers as well.
  const server = createServer(
    { requestTimeout: 0, headersTimeout: HEADERS_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS },
    serve,
  );
  server.on('connect', refuseProtocol).on('upgrade', refuseProtocol);

  async function configure(config: EgressConfig): Promise<void> {
    if (listen !== undefined && (listen.host !== config.listen.host || listen.port !== config.listen.port)) {
      throw new Error('the address to listen on cannot change');
    }
    const opened = new Map(agents);
    const next = config.routes.map((route) => openRoute(route, opened, { resolve, proxy: config.proxy }));
    const twice = next.find(({ id }, at) => next.findIndex((route) => route.id === id) !== at);
    if (twice !== undefined) throw new Error(`route ${JSON.stringify(twice.id)}: there are two of them`);
    if (listen === undefined) {
      await once(server.listen(config.listen.port, config.listen.host), 'listening');
      listen = config.listen;
    }
    const used = new Set(next.map(({ agent }) => agent));
    for (const agent of agents.values()) if (!used.has(agent)) retire(agent);
    agents = new Map([...opened].filter(([, agent]) => used.has(agent)));
    routes = new Map(next.map((route) => [route.id, route]));
    maxAnswerBytes = config.maxAnswerBytes;
    void tryWayOut(next[0], config.proxy);
  }

  /** Connects as a request would, asks nothing of the other end, and holds nobody up. */
  async function tryWayOut(first: Route | undefined, proxy: UpstreamProxy | undefined): Promise<void> {
    tries += 1;
    const mine = tries;
    wayOut = null;
    if (tryOut === undefined || first === undefined) return;
    const { hostname: host, url, ca, private: mayBePrivate } = first;
    const question = { host, port: portOf(url), ca, private: mayBePrivate, proxy, timeoutMs: WAY_OUT_MS };
    const reached = await tryOut(question, resolve).catch(() => null);
    // A newer configuration may have another way.
    if (mine !== tries || reached === null) return;
    wayOut = reached.reached ? { reached: true } : { reached: false, host: url.host, why: reached.why };
  }

  const port = () => (server.address() as AddressInfo).port;

  function judge(request: IncomingMessage): EgressDecision<Route> {
    const { method = '', url: target = '', headers } = request;
    const decision = decideEgress(routes, method, target, now(), headers);
    if (decision.verdict === 'refuse') return decision;
    const problem = framingProblem(request);
    if (problem === undefined) return decision;
    return { verdict: 'refuse', status: 400, route: null, path: '', text: `blocked: ${problem}` };
  }

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const decision = judge(request);
    if (decision.verdict === 'forward') {
      const { route, path, query } = decision;
      recordOnClose(request, response, route, path);
      const refusal = addressRefusal(route);
      if (refusal === undefined) forward(request, response, route, (route.base + path || '/') + query);
      else answer(response, 403, refusal);
    } else if (decision.verdict === 'list') {
      recordOnClose(request, response, null, '/');
      const list = [...routes.values()].map((route) => viewRoute(route, port()));
      answer(response, 200, JSON.stringify({ wayOut, routes: list }), { 'content-type': 'application/json' });
    } else {
      recordOnClose(request, response, decision.route, decision.path);
      // After what is no proper request, nothing on the connection can be trusted to be one.
      answer(response, decision.status, decision.text, decision.status === 400 ? { connection: 'close' } : {});
    }
  }

  /** Sends the request out as it comes in. */
  function forward(request: IncomingMessage, response: ServerResponse, route: Route, target: string): void {
    const { agent, hostname, url } = route;
    const fail = (error: Error) => {
      if (response.headersSent || response.destroyed) return;
      const { status, text } = describeFailure(error, url.host);
      answer(response, status, text);
    };
    const upstream = requestUpstream({
      agent,
      method: request.method,
      hostname,
      port: url.port,
      path: target,
      headers: requestHeaders(request, route),
    });
    upstream.once('socket', (socket) => {
      if (upstream.reusedSocket) return;
      const late = () => upstream.destroy(new DialError('failed', `no connection to ${url.host} in time`));
      const timer = setTimeout(late, connectTimeoutMs);
      socket.once('secureConnect', () => clearTimeout(timer));
      upstream.once('close', () => clearTimeout(timer));
    });
    upstream.on('error', fail);
    // Without an error where the upstream changes the protocol (101) unasked.
    upstream.on('close', () => fail(new DialError('failed', `no answer from ${url.host}`)));
    upstream.on('response', (incoming) => passBack(incoming, response, route, new URL(url.origin + target)));
    request.pipe(upstream);
    upstream.flushHeaders();
    response.once('close', () => {
      // The client left, the upstream broke off, or it answered without reading to the end; else nothing is left to do.
      request.unpipe(upstream).resume();
      upstream.destroy();
    });
  }

  /** Hands the answer to the agent as it comes in. */
  function passBack(incoming: IncomingMessage, response: ServerResponse, route: Route, asked: URL): void {
    const { redactor } = route;
    const { statusCode: status = 0 } = incoming;
    const maxBytes = isEventStream(incoming) ? null : maxAnswerBytes;
    const problem = answerProblem(incoming, route, maxBytes);
    if (problem !== undefined) {
      answer(response, 502, `failed: ${route.url.host} ${problem}`);
      return;
    }
    const headers = answerHeaders(incoming, route, asked);
    if (route.auth !== null && (status === 401 || status === 403)) {
      headers['x-bottle-egress'] = 'credential-refused';
      if (!route.refusalTold) log(credentialRefusedLine({ route: route.id, status }));
      route.refusalTold = true;
    }
    // The body may become longer or shorter; HEAD tells its length and has none.
    if (redactor !== undefined && response.req.method !== 'HEAD') delete headers['content-length'];
    response.writeHead(status, headers);
    response.flushHeaders(); // an event stream opens before its first event
    // An answer that breaks off destroys the response: the agent must not take it for a whole one.
    const cleaned = redactor === undefined ? [] : [redactor.stream()];
    const limited = maxBytes === null ? [] : [limitStream(maxBytes)];
    pipeline([incoming, ...cleaned, ...limited, response], () => {});
  }

  /** Logs the request when it is over. */
  function recordOnClose(request: IncomingMessage, response: ServerResponse, route: Route | null, path: string): void {
    const startedAt = now();
    const { socket, method } = request;
    const before = socket.bytesWritten;
    response.once('close', () => {
      // Neither finished nor failed: the client left. Failed: the upstream did.
      const status = response.writableFinished ? response.statusCode : response.errored === null ? 0 : 502;
      record(method, route, path, status, socket.bytesWritten - before, now() - startedAt);
    });
  }

  function record(method = '', route: Route | null, path: string, status: number, bytes: number, ms: number): void {
    const about = {
      method,
      host: route?.url.host ?? '',
      path: path.slice(0, MAX_LOGGED_PATH),
      route: route?.id ?? null,
    };
    log(JSON.stringify({ event: 'request', ...about, status, bytes, ms }));
  }

  function refuseProtocol({ method }: IncomingMessage, socket: Duplex): void {
    record(method, null, '', 405, 0, 0);
    socket.on('error', () => {});
    socket.end(NO_TUNNELS, () => socket.destroy());
  }

  return {
    configure,
    get port() {
      return port();
    },
    async close() {
      for (const agent of agents.values()) agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const NO_TUNNELS =
  'HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n' +
  'blocked: no tunnels and no upgrades\n';

/** @param line without its end, which a terminal needs before its next prompt */
function answer(response: ServerResponse, status: number, line: string, headers: OutgoingHttpHeaders = {}): void {
  const text = `${line}\n`;
  const length = Buffer.byteLength(text);
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'content-length': length, ...headers });
  response.end(text);
}

/** As a child process of init, logging to its standard output. */
export function runEgress(): void {
  runDaemon(startEgress({ log: (line) => process.stdout.write(`${line}\n`), reach }));
}
