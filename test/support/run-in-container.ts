/** Commands in any container, past our own driver: what a test looks with must not be what it tests. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { DockerHost } from '../../src/host/docker.ts';
import { demultiplex } from '../../src/host/machine/demultiplex.ts';

export async function runIn(
  { docker }: Pick<DockerHost, 'docker'>,
  container: string,
  argv: readonly string[],
  user = 'root',
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const exec = await docker
    .getContainer(container)
    .exec({ Cmd: [...argv], User: user, AttachStdout: true, AttachStderr: true });
  const stream = await exec.start({});
  const [out, err] = [new PassThrough(), new PassThrough()];
  const read = Promise.all([text(out), text(err)]);
  await demultiplex(stream, out, err);
  out.end();
  err.end();
  const [stdout, stderr] = await read;
  const { ExitCode } = await exec.inspect();
  return { exitCode: ExitCode ?? -1, stdout, stderr };
}

/** One request without any proxy, its reason for failing on stderr, never for ever. */
export const curl = (host: Pick<DockerHost, 'docker'>, container: string, url: string, ...more: string[]) =>
  runIn(host, container, ['curl', '-sS', '--noproxy', '*', '--connect-timeout', '5', '--max-time', '30', ...more, url]);

/**
 * Dials from inside a container that has Node, all at once: `connected`, or the system's own word for why not
 * (`ECONNREFUSED`: somebody is there; `EHOSTUNREACH`, `ENETUNREACH`: nobody), or `timeout` after three seconds.
 */
export async function dial(
  host: Pick<DockerHost, 'docker'>,
  container: string,
  targets: readonly (readonly [address: string, port: number])[],
  user?: string,
): Promise<string[]> {
  const { stdout, stderr } = await runIn(host, container, ['node', '-e', DIAL, JSON.stringify(targets)], user);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as string[];
}

const DIAL = `
const net = require('node:net');
const dial = ([host, port]) => new Promise((resolve) => {
  const socket = net.connect({ host, port, timeout: 3000 });
  const end = (word) => { socket.destroy(); resolve(word); };
  socket.on('connect', () => end('connected')).on('timeout', () => end('timeout')).on('error', (e) => end(e.code));
});
Promise.all(JSON.parse(process.argv[1]).map(dial)).then((words) => console.log(JSON.stringify(words)));`;
