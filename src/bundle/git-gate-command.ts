/** Runs the programs git-gate is made of: argument lists, no shell, an environment of our own making. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

export interface CommandOptions {
  cwd?: string;
  env: NodeJS.ProcessEnv;
  /** Where the process is known while it runs, so that it and all that it started can be ended by {@link endGroup}. */
  running?: Set<ChildProcessWithoutNullStreams>;
}

export function start(argv: readonly string[], options: CommandOptions): ChildProcessWithoutNullStreams {
  const { cwd, env, running } = options;
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { ...(cwd === undefined ? {} : { cwd }), env, detached: running !== undefined });
  running?.add(child);
  child.once('close', () => running?.delete(child));
  child.on('error', () => {}); // it cannot be started: `close` follows
  child.stdin.on('error', () => {}); // it ended before it had read everything: its exit code says why
  return child;
}

/** Ends a process of a `running` set with its descendants: git leaves helpers, hooks and their children behind. */
export function endGroup({ pid }: ChildProcessWithoutNullStreams): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGTERM');
  } catch {} // gone already
}

export interface RunOptions extends CommandOptions {
  input?: string | Buffer;
  /** Takes the output instead of its being collected. */
  onOutput?: (chunk: Buffer) => void;
}

export interface Ended {
  /** Exit code; null after a signal. */
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

const MAX_COLLECTED = 256 * 1024 * 1024;

/**
 * Runs a command to its end, whatever its exit code.
 * @throws Error when it cannot be started, or prints more than can be kept
 */
export function run(argv: readonly string[], options: RunOptions): Promise<Ended> {
  const { promise, resolve, reject } = Promise.withResolvers<Ended>();
  const child = start(argv, options);
  const stdout: Buffer[] = [];
  let kept = 0;
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    if (options.onOutput !== undefined) return options.onOutput(chunk);
    kept += chunk.length;
    if (kept <= MAX_COLLECTED) stdout.push(chunk);
    else child.kill();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-64 * 1024); // the end says why
  });
  child.once('error', (error: NodeJS.ErrnoException) => reject(new Error(`${argv[0]} cannot be run (${error.code})`)));
  child.once('close', (code) => {
    if (kept > MAX_COLLECTED) reject(new Error(`${argv[0]} prints too much`));
    else resolve({ code, stdout: Buffer.concat(stdout), stderr });
  });
  child.stdin.end(options.input);
  return promise;
}
