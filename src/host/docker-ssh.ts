/**
 * Reaches an Engine as docker's own command line does: the `ssh` program, with the person's configuration, keys and known
 * hosts, runs `docker system dial-stdio` there. (docker/cli: cli/connhelper; docker-modem's ssh2 knows no ~/.ssh/config.)
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import http from 'node:http';
import { Duplex } from 'node:stream';

/** Well below what an Engine or an sshd would wait. */
const IDLE_MS = 10_000;

/** A connection is a process of ssh, which ends with it. Ones that are free serve the next calls: each new one is a login. */
export class SshAgent extends http.Agent {
  readonly #argv: readonly string[];

  /** @param address `ssh://[user@]host[:port][/socket]` */
  constructor(address: string) {
    super({ keepAlive: true });
    this.#argv = sshArguments(address);
  }

  override createConnection(): Duplex {
    return new SshConnection(spawn('ssh', this.#argv, { stdio: ['pipe', 'pipe', 'pipe'] }));
  }
}

/** What a connection's end means is known only when ssh has ended: its streams are closed before. */
class SshConnection extends Duplex {
  readonly #child: ChildProcessWithoutNullStreams;
  #idle: NodeJS.Timeout | undefined;

  constructor(child: ChildProcessWithoutNullStreams) {
    super();
    this.#child = child;
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-2000)));
    child.stdout.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) child.stdout.pause();
    });
    child.stdin.on('error', () => undefined);
    child.once('error', ({ code, message }: NodeJS.ErrnoException) => {
      this.#fail(code === 'ENOENT' ? 'not installed' : message);
    });
    child.once('close', (code) => {
      if (code === 0) this.push(null);
      else this.#fail(lastLine(said) || `ended with ${code}`);
    });
  }

  /** What the agent asks of a socket that is free: that it keeps nobody waiting for it. */
  unref(): this {
    for (const each of this.#handles()) each.unref?.();
    this.#idle = setTimeout(() => this.destroy(), IDLE_MS).unref();
    return this;
  }

  ref(): this {
    clearTimeout(this.#idle);
    for (const each of this.#handles()) each.ref?.();
    return this;
  }

  /** ssh has its own way to keep a connection alive. */
  setKeepAlive(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }

  #handles(): { ref?(): unknown; unref?(): unknown }[] {
    const { stdin, stdout, stderr } = this.#child;
    return [this.#child, stdin, stdout, stderr] as { ref?(): unknown; unref?(): unknown }[];
  }

  #fail(why: string): void {
    this.destroy(Object.assign(new Error(`ssh: ${why}`), { code: 'SSH_FAILED' }));
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#child.stdin.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#idle);
    this.#child.kill();
    done(error);
  }
}

/** Asks nobody anything: who runs this may have no terminal. */
export function sshArguments(address: string): string[] {
  const { username, hostname, port, pathname } = new URL(address);
  const remote = pathname === '' || pathname === '/' ? [] : ['--host', `unix://${decodeURIComponent(pathname)}`];
  return [
    ...['-o', 'ConnectTimeout=10', '-o', 'BatchMode=yes', '-T'],
    ...(username === '' ? [] : ['-l', decodeURIComponent(username)]),
    ...(port === '' ? [] : ['-p', port]),
    ...['--', hostname.replace(/^\[(.*)\]$/, '$1'), 'docker', ...remote.map(quoted), 'system', 'dial-stdio'],
  ];
}

/** The other side's shell reads it. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.trim() ?? '';
