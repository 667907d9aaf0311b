/** One command in a container, with streams, terminal and exit code, and a way to end it. */
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import type Dockerode from 'dockerode';
import { GUEST } from '../../core/plan.ts';
import type { ExecRequest } from './driver.ts';

/** Marks a command and all it starts, so that they can be found again: the Engine cannot kill an exec. */
const MARK = 'BOTTLE_EXEC';
const KILL_MARKED = `for p in /proc/[0-9]*; do
  tr '\\0' '\\n' <"$p/environ" 2>/dev/null | grep -qx "$1" && [ "\${p#/proc/}" != "$$" ] && kill -"$2" "\${p#/proc/}"
done 2>/dev/null; true`;

/** @throws the Engine's error: 409 when the container does not run; the signal's reason when aborted */
export async function dockerExec(container: Dockerode.Container, request: ExecRequest): Promise<{ exitCode: number }> {
  const { signal, terminal } = request;
  signal?.throwIfAborted();
  const mark = `${MARK}=${randomUUID()}`;
  const exec = await container.exec({
    Cmd: [...request.argv],
    AttachStdin: request.stdin !== undefined,
    AttachStdout: true,
    AttachStderr: true,
    Tty: terminal !== undefined,
    User: request.user ?? GUEST.user,
    WorkingDir: request.workdir ?? GUEST.workspace,
    Env: [...Object.entries(request.env ?? {}).map(([name, value]) => `${name}=${value}`), mark],
  });
  const stream = await exec.start({ hijack: true, stdin: request.stdin !== undefined, Tty: terminal !== undefined });
  const kill = (): void => {
    void killMarked(container, request, mark).finally(() => stream.destroy());
  };
  signal?.addEventListener('abort', kill, { once: true });
  try {
    await pump(exec, stream, container, request);
  } finally {
    signal?.removeEventListener('abort', kill);
  }
  signal?.throwIfAborted();
  return { exitCode: await exitCodeOf(exec) };
}

async function pump(
  exec: Dockerode.Exec,
  stream: Duplex,
  container: Dockerode.Container,
  request: ExecRequest,
): Promise<void> {
  const { terminal, stdin } = request;
  if (terminal === undefined) container.modem.demuxStream(stream, request.stdout, request.stderr);
  else {
    stream.pipe(request.stdout, { end: false });
    await exec.resize({ w: terminal.columns, h: terminal.rows }).catch(() => undefined);
    // The command may end between a resize and its call.
    terminal.onResize?.(({ columns, rows }) => void exec.resize({ w: columns, h: rows }).catch(() => undefined));
  }
  if (stdin !== undefined) stdin.pipe(stream);
  try {
    // An abort destroys the stream; that it ended early is then no error of its own.
    await finished(stream, { writable: false }).catch((error: unknown) => {
      if (request.signal?.aborted !== true) throw error;
    });
  } finally {
    if (stdin !== undefined) stdin.unpipe(stream);
  }
}

/** The Engine reports the code a moment after the stream has ended. */
async function exitCodeOf(exec: Dockerode.Exec): Promise<number> {
  for (;;) {
    const { Running, ExitCode } = await exec.inspect();
    if (!Running) return ExitCode ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function killMarked(container: Dockerode.Container, { user }: ExecRequest, mark: string): Promise<void> {
  for (const name of ['TERM', 'KILL']) {
    const exec = await container.exec({
      Cmd: ['sh', '-c', KILL_MARKED, 'sh', mark, name],
      User: user ?? GUEST.user,
      AttachStdout: true,
      AttachStderr: true,
    });
    const output = await exec.start({});
    output.resume();
    await finished(output, { writable: false }).catch(() => undefined);
    if (name === 'TERM') await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
