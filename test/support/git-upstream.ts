/**
 * An upstream for git-gate's tests: one bare repository behind `git http-backend`, HTTPS and a token, on loopback. It can
 * refuse pushes, be down, be slow, and gain commits that nobody pushed through the gate.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { execaSync } from 'execa';
import { testCa } from './test-ca.ts';

export interface GitUpstream {
  /** `https://127.0.0.1:<port>/project.git` */
  readonly url: string;
  /** PEM. */
  readonly ca: string;
  readonly user: string;
  readonly token: string;
  /** The bare repository. */
  readonly directory: string;
  /** Method and path of each request that came with the token, oldest first. */
  readonly requests: string[];
  /** Runs git in the bare repository; what it printed. */
  git(...args: string[]): string;
  /** Somebody else's push: a commit on top of `branch` (made when it is missing) with these files; its id. */
  commit(branch: string, files: Record<string, string>): string;
  /** Branch or tag -> object, in full. */
  refs(): Record<string, string>;
  /** From now on refuses pushes, of just `ref` when one is given, and says why; undefined: takes them again. */
  refuse(reason: string | undefined, ref?: string): void;
  /** Lets requests whose path has `part` wait; `arrived` once there is one. */
  hold(part: string): { arrived: Promise<void>; release(): void };
  down(): Promise<void>;
  up(): Promise<void>;
  dispose(): Promise<void>;
}

const NOBODY = '0'.repeat(40);

/** Starts one with a first commit on `main`. */
export async function gitUpstream(): Promise<GitUpstream> {
  const root = mkdtempSync(path.join(os.tmpdir(), 'bottle-upstream-'));
  const directory = path.join(root, 'project.git');
  const user = 'bottle';
  const token = `upstream-${Math.random().toString(36).slice(2)}-token`;
  const env = {
    ...{ PATH: process.env['PATH'] ?? '', HOME: root, LANG: 'C.UTF-8', GIT_CONFIG_NOSYSTEM: '1' },
    ...{ GIT_AUTHOR_NAME: 'Somebody', GIT_AUTHOR_EMAIL: 's@example.com' },
    ...{ GIT_COMMITTER_NAME: 'Somebody', GIT_COMMITTER_EMAIL: 's@example.com' },
  };
  const run = (args: string[], input = '') =>
    execaSync('git', args, { cwd: root, env, extendEnv: false, input }).stdout;
  run(['init', '--quiet', '--bare', '--initial-branch=main', directory]);
  const git = (...args: string[]) => run(['--git-dir', directory, ...args]);
  git('config', 'http.receivepack', 'true');

  const ca = testCa();
  const requests: string[] = [];
  let held: { part: string; arrived: () => void; released: Promise<void> } | undefined;
  const server = createServer(ca.issue(['127.0.0.1']), (request, response) => {
    void answer(request, response);
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const given = request.headers.authorization ?? '';
    if (given !== `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`) {
      const challenge = { 'WWW-Authenticate': 'Basic realm="upstream"', 'Content-Type': 'text/plain' };
      // A careless server: it tells the client what it was sent.
      response.writeHead(401, challenge).end(`not known: ${given}\n`);
      return;
    }
    const url = request.url ?? '';
    requests.push(`${request.method} ${url}`);
    if (held !== undefined && url.includes(held.part)) {
      held.arrived();
      await held.released;
    }
    if (!response.destroyed) await backend(request, response, url);
  }

  async function backend(request: IncomingMessage, response: ServerResponse, url: string): Promise<void> {
    const [pathInfo = '', query = ''] = url.split('?');
    const { headers } = request;
    const child = spawn('git', ['http-backend'], {
      env: {
        ...env,
        ...{ GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: pathInfo, QUERY_STRING: query },
        ...{ REQUEST_METHOD: request.method, CONTENT_TYPE: headers['content-type'] },
        ...{ CONTENT_LENGTH: headers['content-length'], HTTP_CONTENT_ENCODING: headers['content-encoding'] },
        GIT_PROTOCOL: headers['git-protocol'] as string | undefined,
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    pipeline(request, child.stdin).catch(() => {}); // git may answer without reading everything, the client may leave
    const output = await buffer(child.stdout);
    const end = output.indexOf('\r\n\r\n');
    for (const line of output.toString('latin1', 0, end).split('\r\n')) {
      const [name = '', value = ''] = line.split(': ');
      if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.end(output.subarray(end + 4));
  }

  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const down = async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;

  const refs = () =>
    Object.fromEntries(
      git('for-each-ref', '--format=%(refname) %(objectname)')
        .split('\n')
        .flatMap((line) => (line === '' ? [] : [line.split(' ') as [string, string]])),
    );

  const upstream: GitUpstream = {
    url: `https://127.0.0.1:${port}/project.git`,
    ca: ca.cert,
    ...{ user, token, directory, requests, git, refs, down },
    up: () => listen(port),
    commit(branch, files) {
      const index = path.join(root, `index-${Math.random()}`);
      const inIndex = (args: string[], input?: string) =>
        execaSync('git', ['--git-dir', directory, ...args], {
          env: { ...env, GIT_INDEX_FILE: index },
          extendEnv: false,
          ...(input === undefined ? {} : { input }),
        }).stdout;
      const parent = refs()[`refs/heads/${branch}`];
      if (parent !== undefined) inIndex(['read-tree', parent]);
      for (const [file, content] of Object.entries(files)) {
        const blob = inIndex(['hash-object', '-w', '--stdin'], content);
        inIndex(['update-index', '--add', '--cacheinfo', `100644,${blob},${file}`]);
      }
      const tree = inIndex(['write-tree']);
      const commit = git('commit-tree', tree, ...(parent === undefined ? [] : ['-p', parent]), '-m', 'theirs');
      git('update-ref', `refs/heads/${branch}`, commit, parent ?? NOBODY);
      return commit;
    },
    refuse(reason, ref) {
      const hook = path.join(directory, 'hooks', 'update');
      rmSync(hook, { force: true });
      if (reason === undefined) return;
      mkdirSync(path.dirname(hook), { recursive: true });
      const scope = ref === undefined ? '' : `[ "$1" = '${ref}' ] || exit 0\n`;
      writeFileSync(hook, `#!/bin/sh\n${scope}echo '${reason}' >&2\nexit 1\n`, { mode: 0o755 });
    },
    hold(part) {
      const arrived = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      held = { part, arrived: arrived.resolve, released: released.promise };
      return {
        arrived: arrived.promise,
        release() {
          held = undefined;
          released.resolve();
        },
      };
    },
    async dispose() {
      if (server.listening) await down();
      ca.dispose();
      rmSync(root, { recursive: true, force: true });
    },
  };
  upstream.commit('main', { 'README.md': 'first\n' });
  return upstream;
}
