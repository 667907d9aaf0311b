/** Runs a program that prints a secret: never through a shell, never longer than it may, and leaves nothing behind. */
import os from 'node:os';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { execa } from 'execa';
import { newScrubber, scrub } from './scrub.ts';

export const LARGEST_BYTES = 64 * 1024;
const QUOTED_CHARACTERS = 200;
/** What a program that has ended may still have in its pipe, should another process hold that open. */
const DRAIN_MS = 200;

export interface SecretCommand {
  /** The program by its name on PATH or by an absolute path (or one below `~/`), and its arguments. */
  argv: readonly string[];
  timeoutMs: number;
  env: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
}

/** Of one that ended by itself with another exit code than 0, also that and whether it said anything. */
export type CommandOutcome =
  | { printed: string }
  | { why: string; notFound?: true; exit?: { code: number; silent: boolean } };

/**
 * What the program prints, without one line end at its end; or why that cannot be had, without any secret.
 *
 * The program has no input, no terminal and a process group of its own, all of which ends with it.
 */
export async function runSecretCommand({ argv, timeoutMs, env, signal }: SecretCommand): Promise<CommandOutcome> {
  const [program = '', ...args] = argv;
  const running = execa(atHome(program), args, {
    ...{ env, extendEnv: false, cwd: '/', stdin: 'ignore' },
    ...{ detached: true, buffer: false, reject: false },
  });
  let cut: string | undefined;
  const cutShort = (why: string): void => {
    cut ??= why;
    if (running.exitCode === null && running.signalCode === null) killGroup(running.pid);
  };
  const stop = (): void => cutShort('stopped');
  const timer = setTimeout(() => cutShort(`timed out after ${timeoutMs / 1000}s`), timeoutMs);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  const stdout = head(running.stdout, () => cutShort('printed more than 64 KiB'));
  const stderr = head(running.stderr, () => undefined);
  running.once('exit', () => {
    clearTimeout(timer);
    killGroup(running.pid);
    // One that left the group may hold the pipes open for ever.
    setTimeout(() => [running.stdout, running.stderr].map((pipe) => pipe.destroy()), DRAIN_MS).unref();
  });
  const ended = await running;
  clearTimeout(timer);
  signal?.removeEventListener('abort', stop);
  if (cut !== undefined) return { why: cut };
  if (running.pid === undefined) return notStarted(program, ended.code);
  const { exitCode, signalCode } = running;
  const printed = stdout();
  const said = quoted({ stderr: stderr(), stdout: printed, argv, env });
  if (exitCode === null) return { why: `ended by ${signalCode}${said}` };
  if (exitCode !== 0) return { why: `exit code ${exitCode}${said}`, exit: { code: exitCode, silent: said === '' } };
  const value = printed.replace(/\r?\n$/, '');
  return value === '' ? { why: `printed nothing${said}` } : { printed: value };
}

/** A path below `~/` in full. */
export const atHome = (file: string): string => (file.startsWith('~/') ? path.join(os.homedir(), file.slice(2)) : file);

function notStarted(program: string, code: string | undefined): CommandOutcome {
  if (code !== 'ENOENT') return { why: `${program} cannot be run (${code})` };
  return {
    why: program.includes('/') ? `no program at ${program}` : `${program} is not found on PATH`,
    notFound: true,
  };
}

/** Collects the first 64 KiB of a pipe and reads on; `onMore` once it has printed more. */
function head(pipe: NodeJS.ReadableStream, onMore: () => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  pipe.on('data', (chunk: Buffer) => {
    if (bytes <= LARGEST_BYTES) chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > LARGEST_BYTES) onMore();
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left in it.
  }
}

/** Variables that hold a credential of the program itself, by their names. */
const CREDENTIAL_NAME = /token|secret|key|pass|credential|auth/i;
/** What is said to be a credential. */
const SAID = /\b(password|passwd|passphrase|secret|token|api[_-]?key|credential)(s?["']?\s*[:=]\s*)\S+/gi;
/** Long enough for one, in the characters that they have. */
const LONG_WORD = /[\w+/=.~-]{16,}/g;
/** Of what it wrote, no more is looked at for a few words of it. */
const LOOKED_AT_CHARACTERS = 4096;

/**
 * The beginning of what it wrote to standard error. A program that fails may name there what it was to print, so
 * beside all known secrets whatever it printed, has in its environment or what only looks like one is taken out.
 */
function quoted(from: { stderr: string; stdout: string; argv: readonly string[]; env: NodeJS.ProcessEnv }): string {
  const own = newScrubber();
  for (const [name, value = ''] of Object.entries(from.env)) if (CREDENTIAL_NAME.test(name)) own.remember(value);
  const printed = from.stdout.slice(0, LOOKED_AT_CHARACTERS);
  for (const text of [printed, ...printed.split('\n')]) own.remember(text.trim());
  const clean = (text: string): string => own.scrub(scrub(text));
  // Colours and the like might stand within a secret; and one might hold such characters itself.
  const plain = stripVTControlCharacters(clean(from.stderr.slice(0, LOOKED_AT_CHARACTERS))).replace(/[^\P{C}\s]/gu, '');
  const looksLikeOne = (word: string): boolean =>
    /\d/.test(word) && /[a-z]/i.test(word) && !from.argv.some((argument) => argument.includes(word));
  const line = clean(plain)
    .replace(SAID, '$1$2[secret]')
    .replace(LONG_WORD, (word) => (looksLikeOne(word) ? '[secret]' : word))
    .replace(/\s+/g, ' ')
    .trim();
  return line === '' ? '' : `: ${[...line].slice(0, QUOTED_CHARACTERS).join('')}`;
}
