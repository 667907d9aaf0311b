/** A company's proxy in this process: tunnels and plain HTTP, with a login if one is given. Every name leads to loopback. */
import { once } from 'node:events';
import http from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import type { UpstreamProxy } from '../../src/core/network-proxy.ts';

export interface HttpProxy {
  /** As a daemon is told of it. */
  readonly upstream: UpstreamProxy;
  /** `CONNECT host:port` or `GET http://...`, and the status it answered with itself, oldest first. */
  readonly asked: string[];
  close(): Promise<void>;
}

export async function httpProxy(
  options: {
    login?: { username: string; password: string };
    noProxy?: string[];
    /** Answers a tunnel with this status instead of making it. */
    refuse?: number;
  } = {},
): Promise<HttpProxy> {
  const { login = null, noProxy = [], refuse } = options;
  const wanted = login && `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  const asked: string[] = [];
  const tunnels = new Set<Duplex>();
  const isKnown = ({ headers }: http.IncomingMessage): boolean =>
    wanted === null || headers['proxy-authorization'] === wanted;

  const server = http.createServer((request, response) => {
    const { method = '', url = '' } = request;
    const known = isKnown(request);
    asked.push(`${method} ${url}${known ? '' : ' 407'}`);
    if (!known) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic realm="company"' }).end('who are you?');
      return;
    }
    const target = new URL(url);
    const { 'proxy-authorization': _login, ...headers } = request.headers;
    const onward = http.request(
      { host: '127.0.0.1', port: target.port || 80, method, path: target.pathname + target.search, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.writeHead(503).end('the company cannot reach it'));
    request.pipe(onward);
  });
  server.on('connect', (request, socket, head) => {
    const known = isKnown(request);
    const status = known ? refuse : 407;
    tunnels.add(socket);
    asked.push(`CONNECT ${request.url}${status === undefined ? '' : ` ${status}`}`);
    socket.on('error', () => {});
    if (status !== undefined) {
      socket.end(
        `HTTP/1.1 ${status} No\r\nProxy-Authenticate: Basic realm="company"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
      );
      return;
    }
    const onward = connect(Number(/\d+$/.exec(request.url ?? '')?.[0]), '127.0.0.1');
    onward.on('error', () => socket.end('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n'));
    onward.once('connect', () => {
      socket.write('HTTP/1.1 200 Yes\r\n\r\n');
      onward.write(head);
      pipeline(socket, onward, socket, () => {});
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    upstream: { host: '127.0.0.1', port: (server.address() as AddressInfo).port, login, noProxy },
    asked,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      for (const tunnel of tunnels) tunnel.destroy();
      await closed;
    },
  };
}
