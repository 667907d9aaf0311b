/**
 * The push gate: the agent's git speaks smart HTTP to it, and it alone speaks to the upstream. Whoever fetches gets what
 * upstream has at that moment; a push goes on to upstream only once git-gate-hook.ts has let it pass, and reaches the
 * mirror only once upstream has it.
 */
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { GitGateConfig, Listen } from '../core/bundle-config.ts';
import { GIT_GATE_DIRECTORY } from '../core/daemons.ts';
import { runDaemon } from './daemon-process.ts';
import { serveBackend } from './git-gate-cgi.ts';
import { endGroup } from './git-gate-command.ts';
import { PUSH_RECORD, type PushRecord } from './git-gate-hook.ts';
import { type Repository, repositoryIn } from './git-gate-repository.ts';
import { layout } from './git-gate-settings.ts';
import { printable, shellWord } from './git-gate-text.ts';

/** One line of the log; no credential is ever in it. */
export interface GitGateEvent {
  /** `refresh`: our own fetch from upstream; `fetch`: an agent begins to read; `push`: upstream has it; `refused`: not. */
  event: 'refresh' | 'fetch' | 'push' | 'refused' | 'failed';
  repo: string;
  /** `ok`, or why not. */
  status: string;
  refs?: string[];
}

export interface GitGateOptions {
  /** A directory of the gate's own; made when it is missing. */
  root: string;
  /** Runs `runGitHook` of git-gate-hook.ts: program and arguments. */
  hookCommand: readonly string[];
  log: (event: GitGateEvent) => void;
}

export interface GitGate {
  /**
   * The first one listens, later ones add, change and remove repositories in place.
   * @throws Error for a name that is none, or what the disk or the socket say
   */
  configure(config: GitGateConfig): Promise<void>;
  /** The port it listens on. */
  port(): number;
  /** Ends every connection and every git process. */
  close(): Promise<void>;
}

interface Call {
  name: string;
  service: string;
  repository: Repository;
}

const NAME = /^[a-z0-9][a-z0-9._-]*$/;
/** The whole of smart HTTP (gitprotocol-http(5)); anything else, the dumb protocol too, is not there. */
const TARGETS: Readonly<Record<string, RegExp>> = {
  GET: /^\/(?<name>[^/]+)\.git\/info\/refs\?service=(?<service>git-upload-pack|git-receive-pack)$/,
  POST: /^\/(?<name>[^/]+)\.git\/(?<service>git-upload-pack|git-receive-pack)$/,
};

/** A gate that serves nothing until it is configured. */
export function startGitGate({ root, hookCommand, log }: GitGateOptions): GitGate {
  const at = layout(root);
  const repositories = new Map<string, Repository>();
  const server = createServer((request, response) => {
    answer(request, response).catch((error: Error) => {
      log({ event: 'failed', repo: '', status: printable(error.message) });
      response.destroy();
    });
  });
  server.requestTimeout = 0; // a push may take as long as it takes

  const repositoryOf = (name: string) =>
    repositories.get(name) ?? repositoryIn(root, name, (status) => log({ event: 'refresh', repo: name, status }));

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { name = '', service = '' } = TARGETS[request.method ?? '']?.exec(request.url ?? '')?.groups ?? {};
    const repository = repositories.get(name);
    if (repository === undefined) {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('git-gate: no such repository\n');
    } else if (request.method === 'GET') {
      await advertise(request, response, { name, service, repository });
    } else if (service === 'git-upload-pack') {
      await backend(request, response, { name, service, repository });
    } else {
      await repository.exclusively(() => receive(request, response, { name, service, repository }));
    }
  }

  /** The beginning of every fetch and push: shows the mirror's refs as they are upstream now, or says why it cannot. */
  async function advertise(request: IncomingMessage, response: ServerResponse, call: Call): Promise<void> {
    const { name, service, repository } = call;
    const status = await repository.refresh();
    if (service === 'git-upload-pack') log({ event: 'fetch', repo: name, status });
    if (status === 'ok') return backend(request, response, call);
    response.writeHead(200, { 'Content-Type': `application/x-${service}-advertisement`, 'Cache-Control': 'no-cache' });
    response.end(`${packet(`# service=${service}\n`)}0000${packet(`ERR git-gate: ${status}\n`)}`);
  }

  async function receive(request: IncomingMessage, response: ServerResponse, call: Call): Promise<void> {
    const record = path.join(at.repositories, `${call.name}.git`, PUSH_RECORD);
    await rm(record, { force: true });
    await backend(request, response, call);
    const text = await readFile(record, 'utf8').catch(() => undefined);
    if (text === undefined) return; // it never came to the hook, as with a client that only tries its login
    log({ ...(JSON.parse(text) as PushRecord), repo: call.name });
  }

  async function backend(request: IncomingMessage, response: ServerResponse, call: Call): Promise<void> {
    const [pathInfo = '', query = ''] = (request.url ?? '').split('?');
    const complaint = await serveBackend(request, response, { repository: call.repository, pathInfo, query });
    if (complaint === '') return;
    log({ event: 'failed', repo: call.name, status: printable(call.repository.clean(complaint), 1000) });
  }

  async function configure({ listen, repos, proxy }: GitGateConfig): Promise<void> {
    for (const { name } of repos) {
      if (!NAME.test(name)) throw new Error(`not a name of a repository: ${printable(name)}`);
    }
    if (!server.listening) await prepareRoot();
    for (const name of await readdir(at.secrets)) {
      if (repos.some((repo) => repo.name === name)) continue;
      const gone = repositoryOf(name);
      repositories.delete(name);
      await gone.remove();
    }
    for (const repo of repos) {
      const repository = repositoryOf(repo.name);
      await repository.configure(repo, proxy);
      repositories.set(repo.name, repository);
    }
    if (!server.listening) await listenOn(listen);
  }

  async function prepareRoot(): Promise<void> {
    for (const directory of Object.values(at)) await mkdir(directory, { recursive: true, mode: 0o700 });
    const hook = `#!/bin/sh\nexec ${hookCommand.map(shellWord).join(' ')}\n`;
    await writeFile(path.join(at.hooks, 'pre-receive'), hook, { mode: 0o700 });
  }

  function listenOn({ host, port }: Listen): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject).listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
    return promise;
  }

  return {
    configure,
    port: () => (server.address() as AddressInfo).port,
    async close() {
      const children = [...repositories.values()].flatMap(({ running }) => [...running]);
      for (const child of children) endGroup(child);
      const closed = server.listening ? once(server, 'close') : undefined;
      server.close();
      server.closeAllConnections();
      await closed;
      await Promise.all([...repositories.values()].map(({ exclusively }) => exclusively(async () => {})));
    },
  };
}

/** One pkt-line (gitprotocol-common(5)). */
function packet(text: string): string {
  return (Buffer.byteLength(text) + 4).toString(16).padStart(4, '0') + text;
}

/** The daemon of the bundle, from the file that also runs the hook when it is given `--git-hook`. */
export function runGitGate(root = GIT_GATE_DIRECTORY): void {
  const gate = startGitGate({
    root,
    hookCommand: [process.execPath, ...process.execArgv, process.argv[1] ?? '', '--git-hook'],
    log: (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
  });
  process.on('exit', () => void gate.close()); // its first step is to end the git processes
  runDaemon(gate);
}
