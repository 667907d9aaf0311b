/** Runs one command in a machine for a person or a script: streams, terminal, signals, exit code. */
import { constants } from 'node:os';
import process from 'node:process';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { ExecRequest, MachineDriver, TerminalSize } from '../host/machine/driver.ts';
import { onBrokenPipe } from './broken-pipe.ts';

export interface ExecOptions {
  argv: readonly string[];
  /** Pass standard input on. */
  interactive: boolean;
  /** Give the command a terminal. */
  terminal: boolean;
  user?: string | undefined;
  workdir?: string | undefined;
  env?: Record<string, string>;
}

export interface CapturedExec {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs it with this process's own streams; resolves to its exit code, or 128 + the signal that ended it. */
export async function execAttached(driver: MachineDriver, id: string, options: ExecOptions): Promise<number> {
  // Raw, every key is the command's, Ctrl-C too; without -i nobody would read it.
  const raw = options.terminal && options.interactive && process.stdin.isTTY === true;
  const restore = raw ? rawMode() : () => undefined;
  try {
    return await untilSignal((signal) =>
      driver.exec(id, {
        ...requestOf(options),
        stdout: process.stdout,
        stderr: process.stderr,
        ...(options.interactive ? { stdin: process.stdin as Readable } : {}),
        ...(options.terminal ? { terminal: { ...terminalSize(), onResize } } : {}),
        signal,
      }),
    );
  } finally {
    restore();
    // A piped or raw input would keep this process waiting for more.
    process.stdin.pause();
    process.stdin.unref?.();
  }
}

/** Runs it and keeps what it says, for --json. */
export async function execCaptured(driver: MachineDriver, id: string, options: ExecOptions): Promise<CapturedExec> {
  const stdout = collect();
  const stderr = collect();
  const exitCode = await untilSignal((signal) =>
    driver.exec(id, {
      ...requestOf(options),
      stdout: stdout.stream,
      stderr: stderr.stream,
      ...(options.interactive ? { stdin: process.stdin as Readable } : {}),
      signal,
    }),
  );
  return { exitCode, stdout: await stdout.text(), stderr: await stderr.text() };
}

function requestOf({
  argv,
  user,
  workdir,
  env,
  terminal,
}: ExecOptions): Pick<ExecRequest, 'argv' | 'user' | 'administers' | 'workdir' | 'env'> {
  const { TERM = 'xterm-256color', COLORTERM } = process.env;
  const ofTerminal = terminal ? { TERM, ...(COLORTERM === undefined ? {} : { COLORTERM }) } : {};
  return {
    argv,
    // A person who asks for root means to change the machine.
    ...(user === undefined ? {} : { user, administers: true }),
    ...(workdir === undefined ? {} : { workdir }),
    env: { ...ofTerminal, ...env },
  };
}

/** A signal to us ends the command, and so does the reader of its output when it leaves. */
async function untilSignal(exec: (signal: AbortSignal) => Promise<{ exitCode: number }>): Promise<number> {
  const controller = new AbortController();
  let received: NodeJS.Signals | undefined;
  const end = (name: NodeJS.Signals): void => {
    received ??= name;
    controller.abort(new Error(`ended by ${name}`));
  };
  const names: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const name of names) process.on(name, end);
  const restore = onBrokenPipe(() => end('SIGPIPE'));
  try {
    return (await exec(controller.signal)).exitCode;
  } catch (error) {
    if (received === undefined) throw error;
    return 128 + constants.signals[received];
  } finally {
    for (const name of names) process.off(name, end);
    restore();
  }
}

function rawMode(): () => void {
  process.stdin.setRawMode(true);
  return () => process.stdin.setRawMode(false);
}

const terminalSize = (): TerminalSize => ({
  columns: process.stdout.columns || 80,
  rows: process.stdout.rows || 24,
});

function onResize(callback: (size: TerminalSize) => void): void {
  process.stdout.on('resize', () => callback(terminalSize()));
}

function collect(): { stream: Writable; text(): Promise<string> } {
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return {
    stream,
    text: async () => {
      stream.end();
      await finished(stream);
      return Buffer.concat(chunks).toString('utf8');
    },
  };
}
