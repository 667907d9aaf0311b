/** A way out by the company's proxy: the proxy itself, or a tunnel through it. */
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { authority, proxyUrl, type UpstreamProxy } from '../core/network-proxy.ts';
import { DialError } from './dial.ts';

const TUNNEL_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 30_000;

/** What is said where the proxy wants a login, or another one. Fit for the guest. */
export const loginRefused = (proxy: UpstreamProxy, status = 407): string =>
  proxy.login === null
    ? `the proxy ${proxyUrl(proxy)} wants a login (${status})`
    : `the proxy ${proxyUrl(proxy)} refuses its login (${status})`;

/**
 * A connection to the proxy itself, for a request in absolute form.
 * @throws DialError
 */
export function dialProxy(proxy: UpstreamProxy): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const { host, port } = proxy;
  const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
  const timer = setTimeout(() => socket.destroy(new Error('timed out')), TUNNEL_TIMEOUT_MS);
  // Stays on: a reset before the next owner listens must not end the process.
  socket.on('error', (error: NodeJS.ErrnoException) => {
    clearTimeout(timer);
    reject(unreachable(proxy, error));
  });
  socket.once('connect', () => {
    clearTimeout(timer);
    resolve(socket);
  });
  return promise;
}

/**
 * A tunnel to `host:port`, whose name the proxy resolves.
 * @throws DialError
 */
export async function dialThrough(proxy: UpstreamProxy, host: string, port: number): Promise<Socket> {
  const socket = await dialProxy(proxy);
  const target = authority(host, port);
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const asked = request({
    method: 'CONNECT',
    path: target,
    headers: { host: target, ...loginHeader(proxy) },
    createConnection: () => socket,
  });
  const timer = setTimeout(() => asked.destroy(new Error('timed out')), TUNNEL_TIMEOUT_MS);
  const fail = (error: DialError): void => {
    clearTimeout(timer);
    socket.destroy();
    reject(error);
  };
  asked.once('connect', ({ statusCode = 0 }, _socket, head) => {
    if (statusCode < 200 || statusCode > 299) {
      fail(refusal(proxy, target, statusCode));
      return;
    }
    clearTimeout(timer);
    if (head.length > 0) socket.unshift(head);
    resolve(socket);
  });
  asked.once('response', ({ statusCode = 0 }) => fail(refusal(proxy, target, statusCode)));
  asked.on('error', (error) => fail(unreachable(proxy, error)));
  asked.end();
  return promise;
}

function loginHeader({ login }: UpstreamProxy): Record<string, string> {
  if (login === null) return {};
  const basic = Buffer.from(`${login.username}:${login.password}`).toString('base64');
  return { 'proxy-authorization': `Basic ${basic}` };
}

function refusal(proxy: UpstreamProxy, target: string, status: number): DialError {
  const by = `the proxy ${proxyUrl(proxy)}`;
  // tinyproxy says 401 to a wrong login.
  if (status === 407 || status === 401) return new DialError('failed', loginRefused(proxy, status));
  if (status === 403) return new DialError('failed', `${by} refuses ${target} (403)`);
  return new DialError('failed', `${by} cannot reach ${target} (${status})`);
}

function unreachable(proxy: UpstreamProxy, { code, message }: NodeJS.ErrnoException): DialError {
  const nameless = code === 'ENOTFOUND' || code === 'EAI_AGAIN';
  return new DialError(
    'failed',
    nameless
      ? `cannot resolve the proxy ${proxy.host} (${code})`
      : `cannot connect to the proxy ${proxyUrl(proxy)} (${code ?? message})`,
  );
}
