/** What the proxy answers itself, to requests made to it and not through it: its health and its verdicts. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AllowEntry, decide } from '../core/allow-list.ts';

/**
 * `GET /health` and `GET /verdict?host=NAME[&port=443]`; 404 for all else. A verdict is what a request for that host
 * would get from the allow-list; nothing is resolved or dialled for it.
 */
export function answerOwn(allow: readonly AllowEntry[], request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  const url = new URL(request.url ?? '/', 'http://proxy');
  if (request.method === 'GET' && url.pathname === '/health') {
    send(response, 200, { status: 'ok' });
    return;
  }
  if (request.method === 'GET' && url.pathname === '/verdict') {
    const host = url.searchParams.get('host');
    const port = Number(url.searchParams.get('port') ?? 443);
    if (host === null || host === '' || !Number.isInteger(port) || port < 1 || port > 65_535) {
      send(response, 400, { error: 'ask /verdict?host=NAME[&port=443]' });
      return;
    }
    const decision = decide(allow, host, port);
    send(response, 200, { host: decision.host, verdict: decision.verdict });
    return;
  }
  send(response, 404, { error: 'not found' });
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
