/** Commands in namespaces of their own, where this process may make them. */
import { spawnSync } from 'node:child_process';

/** Why this process cannot run something under `unshare` with these flags, or undefined. */
export function cannotUnshare(...flags: string[]): string | undefined {
  if (process.platform !== 'linux') return 'needs the namespaces of Linux';
  const { status, error, stderr } = spawnSync('unshare', [...flags, 'true'], { encoding: 'utf8' });
  return status === 0 ? undefined : `unshare ${flags.join(' ')} fails: ${error?.message ?? stderr.trim()}`;
}

/** Runs what follows on a computer of that name. */
export const called = (name: string): string[] => [
  'unshare',
  '--uts',
  'sh',
  '-c',
  `hostname ${name} && exec "$@"`,
  'sh',
];

/** Runs what follows where the Engine's socket is at `file` and nowhere else. */
export const socketAt = (file: string): string[] => [
  ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
  `: >> '${file}' && mount --bind /var/run/docker.sock '${file}' && mount -t tmpfs none /run && exec "$@"`,
  'sh',
];
