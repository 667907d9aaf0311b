/** One command in a container, with streams, terminal and exit code, and a way to end it. */
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { GUEST } from '../../core/plan.ts';
import { administering, besideMachine, CAN_ADMINISTER } from './administer.ts';
import { demultiplex } from './demultiplex.ts';
import type { ExecRequest, TerminalSize } from './driver.ts';
import { killMarkedArgv, killUntilEnded, newMark } from './kill-marked.ts';
import { onTerminal } from './on-terminal.ts';

const END_OF_INPUT = '\u0004';
const CANNOT_RUN = 126;
const NOT_FOUND = 127;
const RESIZE_AGAIN_MS = 50;
/**
 * Between two questions whether a command has begun, or what it ended with: at first, since mostly it is a matter of
 * milliseconds, and at last, since a command may close what it prints to and go on for hours.
 */
const POLL_MS = { first: 3, most: 100 };
const longer = (ms: number): number => Math.min(ms * 1.5, POLL_MS.most);

/** @throws the Engine's error: 409 when the container does not run; the signal's reason when aborted */
export async function dockerExec(container: Dockerode.Container, request: ExecRequest): Promise<{ exitCode: number }> {
  const { signal, terminal } = request;
  signal?.throwIfAborted();
  const mark = newMark();
  const exec = await container.exec({
    ...placeOf(request),
    Cmd: terminal === undefined ? [...request.argv] : onTerminal(terminal, request.argv),
    AttachStdin: request.stdin !== undefined,
    AttachStdout: true,
    AttachStderr: true,
    Tty: terminal !== undefined,
    Env: [...environmentOf(request), mark],
  });
  signal?.throwIfAborted();
  const stream = await exec.start({ hijack: true, stdin: request.stdin !== undefined, Tty: terminal !== undefined });
  let killing: Promise<void> | undefined;
  const kill = (): void => {
    killing = killMarked(container, exec, request, mark)
      .catch(() => undefined)
      .finally(() => stream.destroy());
  };
  signal?.addEventListener('abort', kill, { once: true });
  if (signal?.aborted) kill();
  try {
    await pump(exec, stream, request);
  } finally {
    signal?.removeEventListener('abort', kill);
    // The command's own end closes the stream; what it started may take a moment longer.
    await killing;
  }
  signal?.throwIfAborted();
  const exitCode = await exitCodeOf(exec);
  // Engines before 23 give 126 for both.
  if (exitCode === CANNOT_RUN && !(await isCommand(container, request))) return { exitCode: NOT_FOUND };
  return { exitCode };
}

const placeOf = ({ user, workdir }: ExecRequest) => ({
  User: user ?? GUEST.user,
  WorkingDir: workdir ?? GUEST.workspace,
});

const environmentOf = ({ env = {} }: ExecRequest): string[] =>
  Object.entries(env).map(([name, value]) => `${name}=${value}`);

/**
 * Runs a command of the operator's as root, who may then do to the machine's files and processes whatever root may; where
 * the image lacks what that takes, as any command of root's.
 */
export function dockerAdminister(
  docker: Dockerode,
  machine: Dockerode.ContainerInspectInfo,
  request: ExecRequest,
): Promise<{ exitCode: number }> {
  const { argv, terminal, workdir = GUEST.workspace } = request;
  return besideMachine(docker, machine, async (container) => {
    request.signal?.throwIfAborted();
    if ((await runQuietly(container, { Cmd: CAN_ADMINISTER })) !== 0)
      return dockerExec(docker.getContainer(machine.Id), request);
    // The terminal is settled in the machine, whose files say which ones it knows.
    const begun = terminal === undefined ? argv : onTerminal(terminal, argv);
    return dockerExec(container, { ...request, argv: administering(begun, workdir), workdir: '/' });
  });
}

async function pump(exec: Dockerode.Exec, stream: Duplex, request: ExecRequest): Promise<void> {
  const { terminal, stdin } = request;
  const hasEnded = (): boolean => stream.destroyed;
  if (terminal !== undefined) terminal.onResize?.(resizer(exec, hasEnded));
  const stopTyping = feed(exec, stream, request);
  try {
    // An abort destroys the stream; that it ended early is then no error of its own.
    await output(stream, request).catch((error: unknown) => {
      if (request.signal?.aborted !== true) throw error;
    });
  } finally {
    stopTyping();
    stdin?.unpipe(stream);
    stream.destroy();
  }
}

/**
 * Sets the size of a terminal, the newest one last. An Engine refuses while the command is not running yet, which on a busy
 * computer it may not be for a second, so it is asked again.
 */
function resizer(exec: Dockerode.Exec, hasEnded: () => boolean): (size: TerminalSize) => void {
  let wanted: TerminalSize | undefined;
  let isBusy = false;
  const work = async (): Promise<void> => {
    isBusy = true;
    while (wanted !== undefined && !hasEnded()) {
      const size = wanted;
      wanted = undefined;
      await exec.resize({ w: size.columns, h: size.rows }).catch(async () => {
        await sleep(RESIZE_AGAIN_MS);
        wanted ??= size;
      });
    }
    isBusy = false;
  };
  return (size) => {
    wanted = size;
    if (!isBusy) void work();
  };
}

async function output(stream: Duplex, { terminal, stdout, stderr }: ExecRequest): Promise<void> {
  if (terminal === undefined) return demultiplex(stream, stdout, stderr);
  stream.pipe(stdout, { end: false });
  await finished(stream, { writable: false });
}

/** Gives the command its input. @returns what to call once the command has ended */
function feed(exec: Dockerode.Exec, stream: Duplex, { stdin, terminal }: ExecRequest): () => void {
  // A command may end while its input goes on: what is written then has no reader, and that is no error.
  stream.on('error', () => undefined);
  if (stdin === undefined) return () => undefined;
  // The Engine closes a terminal's output with its input, so there the end is typed, as a person would.
  stdin.pipe(stream, { end: false });
  const end = (): void => {
    if (terminal === undefined) void hasBegun(exec, stream).then(() => stream.end());
    else stream.write(END_OF_INPUT);
  };
  stdin.once('end', end);
  return () => stdin.off('end', end);
}

/**
 * Waits until the command runs. An Engine that is told before of the end of its input may forget it, and the command waits
 * for ever (Engines 26 and 28, about one in a thousand on a busy computer).
 */
async function hasBegun(exec: Dockerode.Exec, stream: Duplex): Promise<void> {
  for (let pause = POLL_MS.first; !stream.destroyed; pause = longer(pause)) {
    const { Pid, Running, ExitCode } = await exec.inspect().catch(() => ({ Pid: 1, Running: true, ExitCode: null }));
    if (Pid > 0 || (!Running && ExitCode !== null)) return;
    await sleep(pause);
  }
}

/** The Engine reports the code a moment after the stream has ended. */
async function exitCodeOf(exec: Dockerode.Exec): Promise<number> {
  for (let pause = POLL_MS.first; ; pause = longer(pause)) {
    const { Running, ExitCode } = await exec.inspect();
    if (!Running) return ExitCode ?? 0;
    await sleep(pause);
  }
}

/** Ends the command and everything it started. The Engine answers before the command has begun. */
function killMarked(
  container: Dockerode.Container,
  exec: Dockerode.Exec,
  request: ExecRequest,
  mark: string,
): Promise<void> {
  return killUntilEnded(
    () => runQuietly(container, { Cmd: killMarkedArgv(mark), User: placeOf(request).User }),
    async () => {
      const { Running, ExitCode } = await exec.inspect();
      return !Running && ExitCode !== null;
    },
  );
}

async function isCommand(container: Dockerode.Container, request: ExecRequest): Promise<boolean> {
  const Cmd = ['sh', '-c', 'command -v -- "$1"', 'sh', request.argv[0] ?? ''];
  const { User } = placeOf(request);
  const found = await runQuietly(container, { ...placeOf(request), User, Cmd, Env: environmentOf(request) });
  return found !== 1 && found !== NOT_FOUND;
}

async function runQuietly(container: Dockerode.Container, options: Dockerode.ExecCreateOptions): Promise<number> {
  const exec = await container.exec({ ...options, AttachStdout: true, AttachStderr: true });
  const stream = await exec.start({});
  stream.resume();
  await finished(stream, { writable: false }).catch(() => undefined);
  return exitCodeOf(exec);
}
