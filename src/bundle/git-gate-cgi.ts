/** `git http-backend` as a CGI program (RFC 3875, git-http-backend(1)), both bodies as streams. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { endGroup, start } from './git-gate-command.ts';
import type { Repository } from './git-gate-repository.ts';

export interface BackendRequest {
  repository: Repository;
  /** `/<name>.git/...`, already checked. */
  pathInfo: string;
  /** Without the question mark. */
  query: string;
}

const MAX_HEAD_BYTES = 64 * 1024;

/**
 * Answers `request` with what git says; over when the process and all it started are gone. A client that leaves ends them.
 * @returns what git complained of, for the log
 */
export async function serveBackend(
  request: IncomingMessage,
  response: ServerResponse,
  { repository, pathInfo, query }: BackendRequest,
): Promise<string> {
  if (response.destroyed) return ''; // the client left while it waited for its turn
  const env = { ...repository.env(), ...cgiVariables(request), PATH_INFO: pathInfo, QUERY_STRING: query };
  const child = start(['git', 'http-backend'], { env, running: repository.running });
  const closed = new Promise((resolve) => child.once('close', resolve));
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, 2000);
  });
  response.once('close', () => {
    if (!response.writableFinished) endGroup(child);
  });
  pipeline(request, child.stdin).catch(() => {}); // git may answer without reading everything
  await pipeline(child.stdout, (output) => splitHead(output, response), response).catch(() => endGroup(child));
  await closed;
  return complaint;
}

function cgiVariables({ method, headers, socket }: IncomingMessage): Record<string, string> {
  const protocol = String(headers['git-protocol'] ?? '');
  return {
    GIT_HTTP_EXPORT_ALL: '1',
    REQUEST_METHOD: method ?? '',
    REMOTE_ADDR: socket.remoteAddress ?? '',
    CONTENT_TYPE: headers['content-type'] ?? '',
    // An empty one would mean no body; git reads to the end when there is none.
    ...(headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: headers['content-length'] }),
    ...(headers['content-encoding'] === 'gzip' ? { HTTP_CONTENT_ENCODING: 'gzip' } : {}),
    ...(/^version=[0-2]$/.test(protocol) ? { GIT_PROTOCOL: protocol } : {}),
  };
}

/** Takes the CGI header off `output` and gives it to `response`; the rest is the body. */
async function* splitHead(output: AsyncIterable<Buffer>, response: ServerResponse): AsyncGenerator<Buffer> {
  let head = Buffer.alloc(0);
  for await (const chunk of output) {
    if (response.headersSent) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0 && head.length > MAX_HEAD_BYTES) break;
    if (end < 0) continue;
    writeHead(response, head.toString('latin1', 0, end));
    yield head.subarray(end + 4);
  }
  if (!response.headersSent) response.writeHead(502, { 'Content-Type': 'text/plain' });
}

function writeHead(response: ServerResponse, head: string): void {
  let status = 200;
  for (const line of head.split('\r\n')) {
    const [, name = '', value = ''] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
    if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
    else if (name !== '') response.setHeader(name, value);
  }
  response.writeHead(status);
}
