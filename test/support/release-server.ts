/** A release host, or a company's mirror of one, on loopback: what BOTTLE_DOWNLOADS may name. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

export interface ReleaseServer {
  url: string;
  /** What is served: path to content. A function answers by itself. */
  files: Map<string, Buffer | ((response: http.ServerResponse) => void)>;
  /** Paths that were asked for. */
  asked: string[];
  /** A release with one program in its archive, and its list of checksums. */
  release(release: { folder: string; archive: string; checksums: string; member: string; program: Buffer }): void;
  close(): Promise<void>;
}

export async function startReleaseServer(): Promise<ReleaseServer> {
  const files: ReleaseServer['files'] = new Map();
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    asked.push(request.url ?? '');
    const file = files.get(request.url ?? '');
    if (typeof file === 'function') return file(response);
    response.writeHead(file === undefined ? 404 : 200, { 'content-length': file?.length ?? 0 }).end(file);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const archives = new Map<string, Promise<Buffer>>();
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    asked,
    release: ({ folder, archive, checksums, member, program }) => {
      const made = archiveOf(member, program);
      archives.set(archive, made);
      const send = (content: (bytes: Buffer) => Buffer) => (response: http.ServerResponse) =>
        void made.then((bytes) => {
          const body = content(bytes);
          response.writeHead(200, { 'content-length': body.length }).end(body);
        });
      files.set(
        `${folder}/${archive}`,
        send((bytes) => bytes),
      );
      files.set(
        `${folder}/${checksums}`,
        send((bytes) => Buffer.from(`${'0'.repeat(64)}  other.tar.gz\n${sha256(bytes)}  ${archive}\n`)),
      );
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function archiveOf(member: string, program: Buffer): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name: 'LICENSE' }, 'licence');
  archive.entry({ name: member, mode: 0o755 }, program);
  archive.finalize();
  return gzipSync(await buffer(archive), { level: 1 });
}

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
