/** Egress between a client and real TLS upstreams on loopback, whose names `*.test` lead there. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Address } from '../../../src/bundle/dial.ts';
import { type Egress, type EgressOptions, startEgress } from '../../../src/bundle/egress.ts';
import type { EgressRouteConfig } from '../../../src/core/bundle-config.ts';
import type { UpstreamProxy } from '../../../src/core/network-proxy.ts';
import { type TestCa, testCa } from '../../support/test-ca.ts';

export const LISTEN = { host: '127.0.0.1', port: 0 };
export const LOOPBACK: Address = { address: '127.0.0.1', family: 4 };
export const KEY = 'sk-real-0123456789abcdef';

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: string;
}

/** What an upstream of {@link EgressSite.echo} was sent. */
export interface Seen {
  method: string;
  url: string;
  headers: http.IncomingHttpHeaders;
  raw: string[];
  body: string;
}

export interface EgressSite {
  ca: TestCa;
  lines: string[];
  lookups: string[];
  /** An HTTPS server of these names; gives its port. */
  upstream(handler: http.RequestListener, names?: string[]): Promise<{ port: number; server: https.Server }>;
  /** An upstream that answers with what it was sent. */
  echo(): Promise<number>;
  /** Egress with these routes, in force. */
  egress(routes: EgressRouteConfig[], options?: Partial<EgressOptions>, proxy?: UpstreamProxy): Promise<Egress>;
  /** A route to `https://up.test:<port>` with a credential and all it needs to get there. */
  route(port: number, change?: Partial<EgressRouteConfig>): EgressRouteConfig;
  /** Runs after the test, the last one first. */
  cleanUp: Array<() => unknown>;
  dispose(): void;
}

export function egressSite(): EgressSite {
  const ca = testCa();
  const certificates = new Map<string, { cert: string; key: string }>();
  const site: EgressSite = {
    ca,
    lines: [],
    lookups: [],
    cleanUp: [],
    async upstream(handler, names = ['up.test', '127.0.0.1']) {
      const certificate = certificates.get(names.join()) ?? ca.issue(names);
      certificates.set(names.join(), certificate);
      const server = https.createServer(certificate, handler);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      site.cleanUp.push(() => {
        server.closeAllConnections();
        server.close();
      });
      return { port: (server.address() as AddressInfo).port, server };
    },
    async echo() {
      const { port } = await site.upstream(async (request, response) => {
        const body = await text(request);
        const { method, url, headers, rawHeaders: raw } = request;
        response.end(JSON.stringify({ method, url, headers, raw, body }));
      });
      return port;
    },
    async egress(routes, options = {}, proxy) {
      const egress = startEgress({
        log: (line) => site.lines.push(line),
        resolve: async (name) => {
          site.lookups.push(name);
          return [LOOPBACK];
        },
        ...options,
      });
      await egress.configure({ listen: LISTEN, maxAnswerBytes: null, routes, proxy });
      site.cleanUp.push(() => egress.close());
      return egress;
    },
    route: (port, change = {}) => ({
      id: 'api',
      upstream: `https://up.test:${port}`,
      matches: [],
      auth: { header: 'x-api-key', value: KEY },
      secrets: [],
      private: true,
      ca: ca.cert,
      expiresAt: null,
      ...change,
    }),
    dispose: () => ca.dispose(),
  };
  return site;
}

/** Puts a site back to its beginning after a test. */
export async function clean(site: EgressSite): Promise<void> {
  for (const undo of site.cleanUp.splice(0).reverse()) await undo();
  site.lines.length = 0;
  site.lookups.length = 0;
}

/** A request under way, on a connection of its own. */
export function open(
  egress: Pick<Egress, 'port'>,
  path: string,
  options: http.RequestOptions = {},
): http.ClientRequest {
  return http.request({ host: '127.0.0.1', port: egress.port, path, agent: false, ...options });
}

/** The answer to a request, once its headers are there. */
export async function answerTo(request: http.ClientRequest): Promise<http.IncomingMessage> {
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return response;
}

export async function ask(
  egress: Pick<Egress, 'port'>,
  path: string,
  options: http.RequestOptions & { body?: string | Buffer } = {},
): Promise<Answer> {
  const { body, ...rest } = options;
  const request = open(egress, path, rest);
  request.end(body);
  const response = await answerTo(request);
  return { status: response.statusCode ?? 0, headers: response.headers, body: withoutEnd(await text(response)) };
}

/** Sends the text as it is and reads all that comes back, until egress ends the connection. */
export async function raw(egress: Egress, request: string): Promise<string> {
  const socket = connect(egress.port, '127.0.0.1');
  socket.write(request);
  return text(socket);
}

/** What egress says itself is a line, whose end is looked at in one test. */
const withoutEnd = (body: string): string => (/^(blocked|failed): /.test(body) ? body.replace(/\n$/, '') : body);
