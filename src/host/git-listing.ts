/** What git does not ignore in a folder. Git itself is asked: its rules are not ours to repeat. */
import { isUtf8 } from 'node:buffer';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { BottleError } from '../core/errors.ts';

/** Over a hundred bytes for each of the entries that a working folder may have. */
const LONGEST_LISTING_BYTES = 64 * 1024 ** 2;
/** A repository's own settings may name a program for git to run when it looks for changes. */
const QUIET = ['-c', 'core.fsmonitor=false'];
const IGNORED = 0;
const NOT_IGNORED = 1;

/**
 * Every file below `folder` that git tracks (also where it would be ignored, or is gone by now) or would not ignore,
 * by all that git goes by: `.gitignore` files, `.git/info/exclude`, the person's own excludes file. Never `.git`, never
 * what is in a submodule or in another repository: those are named themselves, the latter with a slash behind.
 *
 * A folder that no repository holds, or that lies in one that ignores it whole, is read as a new repository would be.
 * So is a linked worktree whose repository is gone.
 *
 * @returns relative to `folder`, in git's order; what is in conflict more than once
 * @throws BottleError `TOOL_MISSING`, `PROVISION_FAILED` with git's own words; the signal's reason
 */
export async function gitListing(folder: string, signal: AbortSignal): Promise<string[]> {
  if (await isRepository(folder, signal)) return listed(folder, [], signal);
  const empty = await mkdtemp(path.join(os.tmpdir(), 'bottle-git-'));
  try {
    const made = await git(folder, ['init', '--quiet', '--bare', '--template=', empty], signal);
    if (made.exitCode !== 0) throw refused(folder, made.stderr);
    return await listed(folder, [`--git-dir=${empty}`, `--work-tree=${folder}`], signal);
  } finally {
    await rm(empty, { recursive: true, force: true });
  }
}

/** Whether a repository has a say in what is in this folder. */
async function isRepository(folder: string, signal: AbortSignal): Promise<boolean> {
  const { exitCode, stderr } = await git(folder, ['check-ignore', '--quiet', '.'], signal);
  if (exitCode === NOT_IGNORED) return true;
  if (exitCode === IGNORED || /not a git repository|must be run in a work tree/.test(stderr.toString())) return false;
  throw refused(folder, stderr);
}

async function listed(folder: string, where: readonly string[], signal: AbortSignal): Promise<string[]> {
  const what = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { exitCode, stdout, stderr } = await git(folder, [...where, ...what], signal);
  if (exitCode !== 0) throw refused(folder, stderr);
  const text = stdout.toString();
  const names = text.split('\0').slice(0, -1);
  if (isUtf8(stdout)) return names;
  const name = names.find((each) => each.includes('\ufffd'));
  throw new BottleError('PROVISION_FAILED', `the name of ${path.join(folder, name ?? '')} is not UTF-8`, {
    hint: 'rename it, or let git ignore it, then retry',
    retryable: false,
  });
}

interface Answer {
  exitCode: number;
  stdout: Buffer;
  stderr: Buffer;
}

/** In plain English, since some of it is looked for, and about this folder, whatever hook bottle was started from. */
async function git(folder: string, argv: readonly string[], signal: AbortSignal): Promise<Answer> {
  const elsewhere = {
    GIT_DIR: undefined,
    GIT_WORK_TREE: undefined,
    GIT_INDEX_FILE: undefined,
    GIT_COMMON_DIR: undefined,
  };
  const answer = await execa('git', [...QUIET, ...argv], {
    cwd: folder,
    env: { ...elsewhere, LC_ALL: 'C', LANGUAGE: 'C' },
    stdin: 'ignore',
    encoding: 'buffer',
    stripFinalNewline: false,
    maxBuffer: LONGEST_LISTING_BYTES,
    cancelSignal: signal,
    reject: false,
  });
  signal.throwIfAborted();
  if (answer.isMaxBuffer)
    throw new BottleError(
      'PROVISION_FAILED',
      `there are too many files in ${folder}: git's list of them does not end`,
      {
        hint: 'let git ignore what is made anew, then retry',
        retryable: false,
      },
    );
  if (answer.code === 'ENOENT')
    throw new BottleError('TOOL_MISSING', 'git is not installed on this host', {
      hint: 'install git, or copy the whole folder, without --gitignore',
    });
  if (answer.exitCode === undefined) throw refused(folder, Buffer.from(answer.shortMessage ?? 'it did not start'));
  return { exitCode: answer.exitCode, stdout: Buffer.from(answer.stdout), stderr: Buffer.from(answer.stderr) };
}

function refused(folder: string, said: Buffer): BottleError {
  return new BottleError('PROVISION_FAILED', `git cannot list ${folder}: ${said}`, {
    hint: 'see what git status says there, or copy the whole folder, without --gitignore',
    retryable: false,
  });
}
