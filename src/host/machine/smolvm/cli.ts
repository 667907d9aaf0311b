/** One call of the smolvm program: its arguments, its environment, and what it says when it fails. */
import os from 'node:os';
import process from 'node:process';
import type { Readable, Writable } from 'node:stream';
import { execa } from 'execa';
import { BottleError } from '../../../core/errors.ts';
import { callName, type Placing, placing } from './platform.ts';

/** The program as it was found on this host. */
export interface SmolvmProgram {
  /** Absolute. */
  path: string;
  /** The guest's own root filesystem, a tar archive or a folder; absent where the program finds it by itself. */
  rootfs?: string;
}

export interface Smolvm {
  readonly program: SmolvmProgram;
  /** Where the program keeps everything, {@link machineStateDirectory}. */
  readonly state: string;
}

/** What the program says of its failure. */
export interface Failure {
  /** One of its own, such as `NOT_FOUND`; `UNKNOWN` when it did not say. */
  code: string;
  message: string;
}

export type Answer = { failure?: undefined; stdout: string } | { failure: Failure; stdout: string };

export interface CallOptions {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/** The program's exit code for a command line it does not understand. */
const USAGE = 2;
const FORCE_KILL_MS = 2000;

/**
 * Asks the program for one thing and waits for the answer. That it failed is an answer too.
 * @param verb such as `['machine', 'stop']`
 * @param args options of that verb; our own two for every call come before them, and so before any `--`
 * @throws BottleError `DRIVER_UNAVAILABLE` when it cannot be run, `TIMEOUT`, `INTERNAL` when it does not understand us;
 *   the signal's reason when aborted. Whatever it had begun may then be half done
 */
export async function callSmolvm(
  smolvm: Smolvm,
  verb: readonly string[],
  args: readonly string[],
  { timeoutMs, signal }: CallOptions,
): Promise<Answer> {
  signal?.throwIfAborted();
  const result = await execa(smolvm.program.path, [...verb, ...everyCall(smolvm), ...args], {
    ...placeOf(smolvm),
    reject: false,
    stdin: 'ignore',
    timeout: timeoutMs,
    // It has no handler of its own for any signal (measured: SIGINT, SIGTERM, SIGKILL alike), and a SIGINT may be ignored
    // by inheritance. What it leaves behind is the caller's to stop.
    killSignal: 'SIGTERM',
    forceKillAfterDelay: FORCE_KILL_MS,
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  const said = `smolvm ${verb.join(' ')}`;
  if (result.isCanceled) throw signal?.reason;
  if (result.timedOut) throw new BottleError('TIMEOUT', `${said} did not end within ${timeoutMs / 1000} s`);
  if (result.exitCode === 0) return { stdout: result.stdout };
  if (result.exitCode === undefined && result.signal === undefined) throw cannotRun(smolvm.program, result.cause);
  if (result.exitCode === USAGE)
    throw new BottleError('INTERNAL', `${said} does not understand bottle: ${result.stderr}`, { retryable: false });
  const failure = failureOf(result.stderr) ?? {
    code: result.signal === undefined ? 'UNKNOWN' : 'INTERRUPTED',
    message: result.signal === undefined ? `ended with ${result.exitCode}` : `was ended by ${result.signal}`,
  };
  return { failure, stdout: result.stdout };
}

/** A call under way, its streams being the caller's to read, write and end. */
export interface Running {
  stdin: Writable | null;
  stdout: Readable;
  stderr: Readable;
  /** @throws BottleError `DRIVER_UNAVAILABLE` when the program cannot be run */
  ended: Promise<{ exitCode: number } | { killedBy: NodeJS.Signals }>;
  kill(): void;
}

/**
 * Begins a call that may last.
 * @param withInput false: its standard input is empty
 * @param secrets more variables of the program's own environment, which no other user of the host can read
 */
export function spawnSmolvm(
  smolvm: Smolvm,
  verb: readonly string[],
  args: readonly string[],
  withInput: boolean,
  secrets: Readonly<Record<string, string>> = {},
): Running {
  const place = placeOf(smolvm);
  const child = execa(smolvm.program.path, [...verb, ...everyCall(smolvm), ...args], {
    ...place,
    env: { ...secrets, ...place.env },
    reject: false,
    buffer: false,
    stdin: withInput ? 'pipe' : 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    ended: child.then(({ exitCode, signal, cause }) => {
      if (exitCode !== undefined) return { exitCode };
      if (signal !== undefined) return { killedBy: signal };
      throw cannotRun(smolvm.program, cause);
    }),
    kill: () => void child.kill('SIGKILL'),
  };
}

/** @throws BottleError always; for a result that has neither exit code nor signal */
export function cannotRun({ path }: SmolvmProgram, cause: unknown): BottleError {
  const why = (cause as NodeJS.ErrnoException | undefined)?.code ?? String(cause);
  return new BottleError('DRIVER_UNAVAILABLE', `${path} cannot be run (${why})`, { hint: 'see: bottle doctor', cause });
}

/**
 * The last line of what it wrote, which is one line of JSON. Progress and warnings come before it, and those may quote
 * other errors, so no other line counts.
 */
export function failureOf(stderr: string): Failure | undefined {
  const last = stderr.trimEnd().split('\n').at(-1) ?? '';
  try {
    const { error } = JSON.parse(last) as { error?: Partial<Failure> };
    if (typeof error?.code === 'string' && typeof error.message === 'string') {
      return { code: error.code, message: error.message };
    }
  } catch {
    // Not JSON: something below the program has spoken.
  }
  return last === '' ? undefined : { code: 'UNKNOWN', message: last };
}

const everyCall = ({ state }: Smolvm): string[] => ['--error-format', 'json', ...placing().options(state)];

/**
 * A group of its own, since a Ctrl-C that is meant for us must not end a call half-way; and nothing of our environment but
 * what it needs: an inherited SMOLVM_EGRESS_FLOOR, SMOLVM_MACHINE_NAME or SMOLVM_DATA_DIR would change what a call means.
 */
const placeOf = (smolvm: Smolvm) => ({
  argv0: callName(smolvm.state),
  env: environmentOf(smolvm),
  extendEnv: false,
  cwd: '/',
  detached: true,
  cleanup: false,
});

export function environmentOf(
  { program, state }: Smolvm,
  env: NodeJS.ProcessEnv = process.env,
  isRoot: boolean = process.getuid?.() === 0,
  place: Placing = placing(),
): Record<string, string> {
  return {
    PATH: env['PATH'] || '/usr/local/bin:/usr/bin:/bin',
    HOME: env['HOME'] || os.homedir(),
    ...(env['TMPDIR'] ? { TMPDIR: env['TMPDIR'] } : {}),
    ...(env['SMOLVM_LIB_DIR'] ? { SMOLVM_LIB_DIR: env['SMOLVM_LIB_DIR'] } : {}),
    NO_COLOR: '1',
    RUST_LOG: 'off',
    // Otherwise the first start from an image boots a hidden machine of its own, `image-seed-...`, which outlives us.
    SMOLVM_IMAGE_SEEDS: '0',
    ...(program.rootfs === undefined ? {} : { [rootfsVariable(program.rootfs)]: program.rootfs }),
    // Run by root, each virtual machine monitor changes to a uid of its own, which then cannot enter the state directory:
    // that is 0700, as its parents may be, and the start fails with nothing but "did not become ready".
    ...(isRoot ? { SMOLVM_VM_UID_DROP: 'off' } : {}),
    ...place.env(state),
  };
}

const rootfsVariable = (rootfs: string): string =>
  /\.tar(\.\w+)?$/.test(rootfs) ? 'SMOLVM_AGENT_ROOTFS_TAR' : 'SMOLVM_AGENT_ROOTFS';
