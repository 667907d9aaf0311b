/** A gate in this process, before an upstream of its own, and an agent's git that knows nothing but the gate. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { type GitGate, type GitGateEvent, startGitGate } from '../../src/bundle/git-gate.ts';
import type { GitRepoConfig } from '../../src/core/bundle-config.ts';
import type { UpstreamProxy } from '../../src/core/network-proxy.ts';
import { type GitUpstream, gitUpstream } from './git-upstream.ts';

/** Arguments of Node that call one exported function of a source file. */
export function callOf(source: string, call: string): string[] {
  const url = new URL(`../../src/${source}`, import.meta.url).href;
  return ['--eval', `import(${JSON.stringify(url)}).then((module) => module.${call})`];
}

/** How a command of the agent ended: its exit code, and all it printed. */
export interface AgentResult {
  code: number | undefined;
  output: string;
}

/** A working copy of the agent. */
export interface AgentClone {
  directory: string;
  git(...args: string[]): Promise<AgentResult>;
  /** Writes files and commits them; the commit's id. @throws Error when git fails */
  commit(files: Record<string, string | Buffer>, message?: string): Promise<string>;
  /** What git printed. @throws Error when it fails */
  must(...args: string[]): Promise<string>;
}

export interface GitGateSite {
  upstream: GitUpstream;
  gate: GitGate;
  /** The gate's own directory. */
  root: string;
  events: GitGateEvent[];
  /** `http://127.0.0.1:<port>` */
  url: string;
  /** Puts the upstream, with these changes, into force as the repository `project`. */
  configure(change?: Partial<GitRepoConfig>, proxy?: UpstreamProxy): Promise<void>;
  /** The configuration of the upstream as `project`. */
  repo(change?: Partial<GitRepoConfig>): GitRepoConfig;
  /** Shell commands that the hook runs before, or after, it does its work: for what happens at just that moment. */
  aroundHook(scripts: { before?: string; after?: string }): void;
  /** Runs git as the agent, outside of any repository. */
  agent(...args: string[]): Promise<AgentResult>;
  /** @throws Error when it fails */
  clone(): Promise<AgentClone>;
  /** Full ref -> object in the mirror. */
  mirror(): Promise<Record<string, string>>;
  dispose(): Promise<void>;
}

export async function gitGateSite(): Promise<GitGateSite> {
  const upstream = await gitUpstream();
  const home = mkdtempSync(path.join(os.tmpdir(), 'bottle-agent-'));
  const root = path.join(home, 'gate');
  const events: GitGateEvent[] = [];
  const [before, after] = [path.join(home, 'before-hook'), path.join(home, 'after-hook')];
  const script = `[ ! -f ${before} ] || sh ${before} < /dev/null; "$@"; code=$?; [ ! -f ${after} ] || sh ${after}; exit $code`;
  const hook = [process.execPath, ...callOf('bundle/git-gate-hook.ts', 'runGitHook()')];
  const gate = startGitGate({
    root,
    hookCommand: ['sh', '-c', script, 'hook', ...hook],
    log: (event) => events.push(event),
  });
  const env = {
    ...{ PATH: process.env['PATH'], HOME: home, LANG: 'C.UTF-8', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' },
    ...{ GIT_AUTHOR_NAME: 'Agent', GIT_AUTHOR_EMAIL: 'agent@example.com' },
    ...{ GIT_COMMITTER_NAME: 'Agent', GIT_COMMITTER_EMAIL: 'agent@example.com' },
  };
  const run = async (cwd: string, args: string[]): Promise<AgentResult> => {
    const options = { cwd, env, extendEnv: false, reject: false, all: true } as const;
    const { exitCode, all } = await execa('git', ['-c', 'advice.detachedHead=false', ...args], options);
    return { code: exitCode, output: all };
  };
  const must = async (cwd: string, args: string[]): Promise<string> => {
    const { code, output } = await run(cwd, args);
    if (code !== 0) throw new Error(`git ${args.join(' ')}: ${output}`);
    return output;
  };
  const repo = (change: Partial<GitRepoConfig> = {}): GitRepoConfig => ({
    name: 'project',
    upstream: upstream.url,
    auth: { kind: 'token', user: upstream.user, token: upstream.token },
    branches: [],
    allowForce: false,
    allowDelete: false,
    ca: upstream.ca,
    ...change,
  });
  const configure = (change?: Partial<GitRepoConfig>, proxy?: UpstreamProxy) =>
    gate.configure({ listen: { host: '127.0.0.1', port: 0 }, repos: [repo(change)], proxy });
  await configure();
  const url = `http://127.0.0.1:${gate.port()}`;

  return {
    ...{ upstream, gate, root, events, url, configure, repo },
    aroundHook(scripts) {
      rmSync(before, { force: true });
      rmSync(after, { force: true });
      if (scripts.before !== undefined) writeFileSync(before, scripts.before);
      if (scripts.after !== undefined) writeFileSync(after, scripts.after);
    },
    agent: (...args) => run(home, args),
    async clone() {
      const directory = mkdtempSync(path.join(home, 'clone-'));
      await must(home, ['clone', '--quiet', `${url}/project.git`, directory]);
      return {
        directory,
        git: (...args) => run(directory, args),
        must: (...args) => must(directory, args),
        async commit(files, message = 'work') {
          for (const [file, content] of Object.entries(files)) {
            mkdirSync(path.dirname(path.join(directory, file)), { recursive: true });
            writeFileSync(path.join(directory, file), content);
          }
          await must(directory, ['add', '--all', '--force']);
          await must(directory, ['commit', '--quiet', '--allow-empty', '--message', message]);
          return must(directory, ['rev-parse', 'HEAD']);
        },
      };
    },
    async mirror() {
      const bare = path.join(root, 'repositories', 'project.git');
      const lines = await must(home, ['--git-dir', bare, 'for-each-ref', '--format=%(refname) %(objectname)']);
      return Object.fromEntries(lines.split('\n').flatMap((line) => (line === '' ? [] : [line.split(' ')])));
    },
    async dispose() {
      await gate.close();
      await upstream.dispose();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The text of every file below `directory`, by its path. */
export function filesBelow(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map(({ parentPath, name }) => [
      path.join(parentPath, name),
      readFileSync(path.join(parentPath, name), 'latin1'),
    ]),
  );
}
