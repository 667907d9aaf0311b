/**
 * The forward proxy that stands in pipelock's place: HTTP in absolute form and CONNECT, to the hosts of the
 * allow-list and nowhere else. Parsing, forwarding and the CONNECT handshake are proxy-chain's; every upstream
 * connection is opened here first (dial.ts), so that what was checked is what is used and a failure is a plain 502.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BlockList, isIPv6, type Socket } from 'node:net';
import { type PrepareRequestFunctionOpts, type PrepareRequestFunctionResult, RequestError, Server } from 'proxy-chain';
import { type AllowEntry, type Decision, decide } from '../core/allow-list.ts';
import { EGRESS_NAME, EGRESS_PORT } from '../core/daemons.ts';
import { goesDirectly, proxyUrlWithLogin, type UpstreamProxy } from '../core/network-proxy.ts';
import { type Address, DialError, dial, type Resolve, resolveBySystem } from './dial.ts';
import { answerOwn } from './own-answers.ts';
import { agentOf, cleanHeaders, correctAnswer, hasUnframedBody, refuseLogins, tunnelTo } from './proxy-chain-glue.ts';
import { dialProxy, loginRefused } from './proxy-dial.ts';
import { absoluteTarget, connectTarget, type RequestTarget } from './request-target.ts';

/** One line of the log for each request: no headers, no paths. `bytes` went to the guest. */
export interface RequestRecord {
  method: string;
  host: string;
  port: number;
  verdict: Decision['verdict'];
  /** 0 when the client left before there was an answer. */
  status: number;
  bytes: number;
}

export interface AllowListPolicy {
  allow: readonly AllowEntry[];
  /** The address that the name of egress leads to; null: it is refused. */
  egress: string | null;
  /** By which it goes out; undefined: directly. */
  proxy?: UpstreamProxy | undefined;
}

export interface AllowListProxyOptions {
  /** The address to listen on: the bundle's own, never all of them. */
  host: string;
  port: number;
  /** Asked for each request, so that it may change. */
  policy: () => AllowListPolicy;
  /** Told when a request was refused, has failed, or is over. */
  onRequest?: (record: RequestRecord) => void;
  resolve?: Resolve;
}

export interface AllowListProxy {
  port: number;
  /** Ends every connection, tunnels included. */
  close(): Promise<void>;
}

/** Starts the proxy; resolves once it listens. */
export async function startAllowListProxy(options: AllowListProxyOptions): Promise<AllowListProxy> {
  const { policy, onRequest = () => {}, resolve = resolveBySystem } = options;
  const server = new Server({ host: options.host, port: options.port, authRealm: 'bottle', prepareRequestFunction });
  const refused = new WeakSet<IncomingMessage>();

  /** Egress is reached in absolute form only: a tunnel to it would be one past whoever looks at requests. */
  function judge(target: RequestTarget, isHttp: boolean): Decision {
    const { allow, egress } = policy();
    const reachesEgress = egress !== null && isHttp && target.host === EGRESS_NAME && target.port === EGRESS_PORT;
    if (reachesEgress) return { verdict: 'allow', host: EGRESS_NAME, private: true };
    return decide(allow, target.host, target.port);
  }

  /** Its own name, and no other, leads to egress; whatever else a name may lead to is the dialler's to judge. */
  async function lookUp(name: string): Promise<readonly Address[]> {
    const { egress } = policy();
    if (name === EGRESS_NAME) return egress === null ? [] : [{ address: egress, family: 4 }];
    return withoutAddress(egress, await resolve(name));
  }

  /** Decides and dials, before proxy-chain does anything. What it throws is the answer. */
  async function prepareRequestFunction(asked: PrepareRequestFunctionOpts): Promise<PrepareRequestFunctionResult> {
    const { request, isHttp } = asked;
    const target = targetOf(request);
    if (target === undefined) throw answerWith(400, 'refused: not an address');
    const decision = judge(target, isHttp);
    const record = { method: request.method ?? '', host: decision.host, port: target.port, verdict: decision.verdict };
    const refuse = (status: number, text: string, verdict: Decision['verdict']) => {
      refused.add(request);
      onRequest({ ...record, verdict, status, bytes: 0 });
      return answerWith(status, isHttp ? text : `CONNECT ${text}`);
    };

    if (decision.verdict === 'deny') throw refuse(403, `blocked: ${decision.reason}: ${decision.host}`, 'deny');
    if (isHttp && hasUnframedBody(request)) throw refuse(411, 'refused: a body without Content-Length', 'deny');
    const proxy = proxyFor(decision.host);
    // Many a proxy makes tunnels to port 443 only: plain HTTP it is to be asked for as such.
    const dialled =
      isHttp && proxy !== undefined
        ? dialProxy(proxy)
        : dial(decision.host, target.port, { mayBePrivate: decision.private, resolve: lookUp, proxy });
    const upstream = await dialled.catch((error: unknown) => {
      if (!(error instanceof DialError)) throw error;
      throw error.kind === 'refused'
        ? refuse(403, `blocked: ${error.message}`, 'deny')
        : refuse(502, `failed: ${error.message}`, 'allow');
    });
    if (request.socket.destroyed) upstream.destroy();
    if (!isHttp) {
      return { customConnectServer: tunnelTo(upstream, (bytes) => onRequest({ ...record, status: 200, bytes })) };
    }
    cleanHeaders(request);
    const httpAgent = agentOf(upstream);
    return proxy === undefined ? { httpAgent } : { httpAgent, upstreamProxyUrl: proxyUrlWithLogin(proxy) };
  }

  /** Egress is the bundle's own, and is nobody's way out but its own. */
  function proxyFor(host: string): UpstreamProxy | undefined {
    const { proxy } = policy();
    return proxy === undefined || host === EGRESS_NAME || goesDirectly(proxy, host) ? undefined : proxy;
  }

  function onPlainRequest(request: IncomingMessage, response: ServerResponse): void {
    if (request.url?.startsWith('/') === true) {
      answerOwn(policy().allow, request, response);
      return;
    }
    const target = targetOf(request);
    if (target === undefined) {
      refuseUnreadable(request, request.socket);
      return;
    }
    const before = request.socket.bytesWritten;
    response.once('close', () => {
      if (refused.has(request)) return;
      const { host } = judge(target, true);
      const status = response.headersSent ? response.statusCode : 0;
      const bytes = request.socket.bytesWritten - before;
      onRequest({ method: request.method ?? '', host, port: target.port, verdict: 'allow', status, bytes });
    });
    correctAnswer(response);
    void server.onRequest(request, response);
  }

  function onConnect(request: IncomingMessage, socket: Socket, head: Buffer): void {
    if (targetOf(request) === undefined) refuseUnreadable(request, socket);
    else void server.onConnect(request, socket, head);
  }

  function refuseUnreadable(request: IncomingMessage, socket: Socket): void {
    onRequest({ method: request.method ?? '', host: '', port: 0, verdict: 'deny', status: 400, bytes: 0 });
    server.sendSocketResponse(socket, 400, {}, 'refused: not an address this proxy takes\n');
  }

  // In front of proxy-chain's own listeners, which would answer 400 to what is asked of the proxy itself.
  server.server.removeAllListeners('request').on('request', onPlainRequest);
  server.server.removeAllListeners('connect').on('connect', onConnect);
  // A request may upload for as long as it takes; the client decides when to give up.
  server.server.requestTimeout = 0;
  server.server.keepAliveTimeout = 60_000;
  refuseLogins(server, () => {
    const { proxy } = policy();
    return answerWith(502, `failed: ${proxy === undefined ? 'a proxy wants a login' : loginRefused(proxy)}`);
  });
  await server.listen();
  return { port: server.port, close: () => server.close(true) };
}

/** An IPv4 address is taken away in its IPv6 spelling too. */
function withoutAddress(unwanted: string | null, addresses: readonly Address[]): readonly Address[] {
  if (unwanted === null) return addresses;
  const list = new BlockList();
  list.addAddress(unwanted);
  return addresses.filter(({ address }) => !list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4'));
}

function targetOf(request: IncomingMessage): RequestTarget | undefined {
  // Nobody logs in here; proxy-chain refuses every kind of login but one.
  delete request.headers['proxy-authorization'];
  return request.method === 'CONNECT' ? connectTarget(request.url ?? '') : absoluteTarget(request.url ?? '');
}

/** An error that proxy-chain answers with; it knows it by a name that it takes from the class, which bundling renames. */
function answerWith(status: number, line: string): RequestError {
  return Object.assign(new RequestError(`${line}\n`, status), { name: 'RequestError' });
}
