/** One repository behind the gate: a bare mirror of its upstream, and whose turn it is to work on it. */
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { glob, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { GitRepoConfig } from '../core/bundle-config.ts';
import type { UpstreamProxy } from '../core/network-proxy.ts';
import { endGroup, run } from './git-gate-command.ts';
import { gitEnvironment, hookSettings, layout, secretFiles } from './git-gate-settings.ts';
import { clean, upstreamReason } from './git-gate-text.ts';

export interface Repository {
  /** For each git process that works on it. */
  env(): Readonly<Record<string, string>>;
  /** The processes at work on it. */
  readonly running: Set<ChildProcessWithoutNullStreams>;
  /** Puts a configuration into force, the first one and each later one. @throws Error of the disk */
  configure(config: GitRepoConfig, proxy?: UpstreamProxy): Promise<void>;
  /**
   * Makes branches, tags and HEAD what they are upstream; who asks while one waits or runs shares it.
   * @returns `ok`, or why not, fit for the agent
   */
  refresh(): Promise<string>;
  /** Runs `task` when no other one and no refresh does. */
  exclusively<T>(task: () => Promise<T>): Promise<T>;
  /** Without its credential. */
  clean(text: string): string;
  /** Ends what is at work on it and removes it from the disk. */
  remove(): Promise<void>;
}

/** In a mirror: which upstream it is of. */
const UPSTREAM_FILE = 'bottle-upstream';
const REFS = ['+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*'];

/**
 * The repository `name` in the gate's directory, which need not hold it yet; usable once it is configured.
 * @param onRefresh told what came of each look at the upstream
 */
export function repositoryIn(root: string, name: string, onRefresh: (status: string) => void): Repository {
  const at = layout(root);
  const mirror = path.join(at.repositories, `${name}.git`);
  const secrets = path.join(at.secrets, name);
  const running: Repository['running'] = new Set();
  const exclusively = oneAtATime();
  let refreshing: Promise<string> | undefined;
  let config: GitRepoConfig | undefined;
  let via: UpstreamProxy | undefined;
  let env: Record<string, string> = {};

  const git = (...args: string[]) => run(['git', '--git-dir', mirror, ...args], { cwd: at.home, env, running });
  const cleaned = (text: string) => clean(config === undefined ? [] : hookSettings(config, via).secrets, text);

  async function configure(next: GitRepoConfig, proxy?: UpstreamProxy): Promise<void> {
    // Kept with the mirror, which outlives a stop of the container; what is secret does not.
    const mirrored = path.join(mirror, UPSTREAM_FILE);
    if ((await readFile(mirrored, 'utf8').catch(() => undefined)) !== next.upstream) await removeMirror();
    else if (config === undefined) await removeLocks(mirror);
    config = next;
    via = proxy;
    env = gitEnvironment(root, next, proxy);
    await writeSecrets(secrets, secretFiles(next, proxy));
    // Changes nothing where there is one.
    const { code, stderr } = await git('init', '--quiet', '--bare', '--initial-branch=main');
    if (code !== 0) throw new Error(`git init: ${stderr}`);
    await writeFile(mirrored, next.upstream, { mode: 0o600 });
  }

  async function removeMirror(): Promise<void> {
    for (const child of running) endGroup(child);
    await exclusively(() => rm(mirror, { recursive: true, force: true }));
  }

  async function lookUpstream(): Promise<string> {
    const upstream = config?.upstream ?? '';
    const [fetched, listed] = await Promise.all([
      git('fetch', '--quiet', '--prune', '--no-tags', '--no-write-fetch-head', '--', upstream, ...REFS),
      git('ls-remote', '--symref', '--', upstream, 'HEAD'),
    ]);
    const failed = [fetched, listed].find(({ code }) => code !== 0);
    if (failed !== undefined) return cleaned(upstreamReason(failed.stderr));
    const head = /^ref: (refs\/heads\/\S+)\tHEAD$/m.exec(listed.stdout.toString())?.[1];
    if (head !== undefined) await git('symbolic-ref', 'HEAD', head);
    return 'ok';
  }

  return {
    env: () => env,
    running,
    configure,
    exclusively,
    clean: cleaned,
    refresh() {
      refreshing ??= exclusively(async () => {
        const status = await lookUpstream();
        onRefresh(status);
        return status;
      }).finally(() => {
        refreshing = undefined;
      });
      return refreshing;
    },
    async remove() {
      await removeMirror();
      await rm(secrets, { recursive: true, force: true });
    },
  };
}

/** A queue: each task starts when the one before it is over, however it ended. */
function oneAtATime(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const result = last.then(task);
    last = result.catch(() => {});
    return result;
  };
}

/** A process that was killed leaves its locks; when the gate starts they are nobody's, and would stay for ever. */
async function removeLocks(mirror: string): Promise<void> {
  for await (const lock of glob(['*.lock', 'refs/**/*.lock'], { cwd: mirror })) await rm(path.join(mirror, lock));
}

/** Makes `files` all that is in `directory`: not readable by others, and never half-written for who reads them now. */
async function writeSecrets(directory: string, files: Record<string, string>): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const old of await readdir(directory)) {
    if (!Object.hasOwn(files, old)) await rm(path.join(directory, old));
  }
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(directory, name);
    await writeFile(`${file}.new`, text, { mode: 0o600 });
    await rename(`${file}.new`, file);
  }
}
