/**
 * Reaches an Engine as docker's own command line does: the `ssh` program, with the person's configuration, keys and known
 * hosts, runs `docker system dial-stdio` there. (docker/cli: cli/connhelper; docker-modem's ssh2 knows no ~/.ssh/config.)
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import http from 'node:http';
import { Duplex } from 'node:stream';

/** A connection is a process of ssh, which ends with it. */
export class SshAgent extends http.Agent {
  readonly #argv: readonly string[];

  /** @param address `ssh://[user@]host[:port][/socket]` */
  constructor(address: string) {
    super({ keepAlive: false });
    this.#argv = sshArguments(address);
  }

  override createConnection(): Duplex {
    return new SshConnection(spawn('ssh', this.#argv, { stdio: ['pipe', 'pipe', 'pipe'] }));
  }
}

/** What a connection's end means is known only when ssh has ended: its streams are closed before. */
class SshConnection extends Duplex {
  readonly #child: ChildProcessWithoutNullStreams;

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
