/** A container's log as lines, followed while it runs. */

import readline from 'node:readline';
import { PassThrough } from 'node:stream';
import type Dockerode from 'dockerode';
import { engine } from './docker.ts';

/**
 * Every line since the container's last start, then each new one; ends when the container stops or `signal` aborts.
 * @throws BottleError `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function* containerLines(container: Dockerode.Container, signal: AbortSignal): AsyncGenerator<string> {
  const { State } = await engine('inspect container', () => container.inspect());
  const since = Math.floor(Date.parse(State.StartedAt) / 1000) || 0;
  const raw = await engine('read the log', () => container.logs({ follow: true, stdout: true, stderr: true, since }));
  const text = new PassThrough();
  container.modem.demuxStream(raw, text, text);
  raw.on('end', () => text.end());
  raw.on('error', () => text.end());
  const stop = (): void => {
    (raw as unknown as { destroy(): void }).destroy();
    text.end();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    yield* readline.createInterface({ input: text });
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}
