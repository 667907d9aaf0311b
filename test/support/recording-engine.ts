/** What goes over the wire to an Engine: a proxy that lets everything through and keeps the addresses, or an Engine that is played. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, request, type Server } from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export interface EngineSocket {
  readonly socketPath: string;
  /** As DOCKER_HOST takes it. */
  readonly url: string;
  /** Method and address of every call so far, oldest first. */
  readonly calls: string[];
  /** Its document, where it had one. */
  readonly bodies: string[];
  close(): Promise<void>;
}

/** An Engine that answers as `answer` says. */
export async function playedEngine(answer: RequestListener): Promise<EngineSocket> {
  return listening((calls, bodies) =>
    createServer(async (asked, response) => {
      calls.push(`${asked.method} ${asked.url}`);
      let body = '';
      for await (const chunk of asked) body += chunk;
      if (body !== '') bodies.push(body);
      answer(asked, response);
    }),
  );
}

/** The Engine at `target`, with whoever comes by this socket written down. Streams and upgrades pass too. */
export async function recordingProxy(target: string): Promise<EngineSocket> {
  return listening((calls) => {
    const forward = (asked: IncomingMessage) =>
      request({ socketPath: target, method: asked.method, path: asked.url, headers: asked.headers });
    const server = createServer((asked, response) => {
      calls.push(`${asked.method} ${asked.url}`);
      const onward = forward(asked);
      onward.on('response', (got) => {
        response.writeHead(got.statusCode ?? 502, got.headers);
        response.flushHeaders();
        got.pipe(response);
      });
      onward.on('error', () => response.destroy());
      response.on('close', () => onward.destroy());
      asked.pipe(onward);
    });
    server.on('upgrade', (asked: IncomingMessage, client: net.Socket, head: Buffer) => {
      calls.push(`${asked.method} ${asked.url}`);
      const engine = net.connect({ path: target, allowHalfOpen: true });
      const lines = [`${asked.method} ${asked.url} HTTP/1.1`];
      for (let i = 0; i < asked.rawHeaders.length; i += 2)
        lines.push(`${asked.rawHeaders[i]}: ${asked.rawHeaders[i + 1]}`);
      engine.write(`${lines.join('\r\n')}\r\n\r\n`);
      engine.write(head);
      engine.pipe(client).pipe(engine);
      for (const socket of [engine, client]) socket.on('error', () => [engine, client].map((each) => each.destroy()));
    });
    return server;
  });
}

async function listening(make: (calls: string[], bodies: string[]) => Server): Promise<EngineSocket> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-engine-'));
  const socketPath = path.join(directory, 'docker.sock');
  const [calls, bodies]: [string[], string[]] = [[], []];
  const server = make(calls, bodies);
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    socketPath,
    url: `unix://${socketPath}`,
    calls,
    bodies,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
