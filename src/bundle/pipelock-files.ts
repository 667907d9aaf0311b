/**
 * The files of pipelock's own directory, which nobody else can look into: not even init, which is root without the
 * capabilities that would let it. So a short-lived process of pipelock's user writes them, from its standard input.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { PipelockConfig } from '../core/bundle-config.ts';
import { PIPELOCK_DIRECTORY, PIPELOCK_FILES } from '../core/daemons.ts';

/** Who pipelock is. */
export interface PipelockUser {
  /** User and group; init's own when absent. */
  uid?: number;
  /** The environment's PATH. */
  path: string;
}

type Certificates = Pick<Extract<PipelockConfig, { kind: 'pipelock' }>, 'ca' | 'upstreamCa'>;

/** Lays down what pipelock signs with and whom it trusts, 0600. Without a CA it makes itself one. */
export async function writePipelockFiles(user: PipelockUser, { ca, upstreamCa }: Certificates): Promise<void> {
  if (ca === null) {
    await runAs(user, 'rm -f "$2" && exec pipelock tls init --force --out "$1"', [
      PIPELOCK_DIRECTORY,
      PIPELOCK_FILES.upstreamCa,
    ]);
    return;
  }
  const files = [
    [PIPELOCK_FILES.caCert, ca.cert],
    [PIPELOCK_FILES.caKey, ca.key],
    // Empty rather than left from before.
    [PIPELOCK_FILES.upstreamCa, upstreamCa ?? ''],
  ] as const;
  await Promise.all(files.map(([file, content]) => runAs(user, 'exec cat >"$1"', [file], content)));
}

/** @throws Error with what the program said */
async function runAs({ uid, path }: PipelockUser, script: string, args: string[], input = ''): Promise<void> {
  const child = spawn('sh', ['-c', `umask 077 && ${script}`, 'sh', ...args], {
    env: { PATH: path },
    stdio: ['pipe', 'ignore', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  // One that ends before it has read everything says so by its exit code.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'close') as Promise<[number | null]>]);
  if (code !== 0) throw new Error(`its files cannot be written: ${said.trim() || `exit code ${code}`}`);
}
