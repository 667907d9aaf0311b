/** Writes to a running container's standard input, where nobody but its first process can read along. */
import type { Duplex } from 'node:stream';
import type Dockerode from 'dockerode';
import { engine } from './docker.ts';

/**
 * Sends `text` to a container made with `OpenStdin`, and returns when the Engine has taken it. The input stays open.
 * @param signal gives up, without an error: the Engine keeps whoever writes to a container that has ended waiting for
 *   its next life
 * @throws BottleError `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function writeToContainer(
  container: Dockerode.Container,
  text: string,
  signal?: AbortSignal,
): Promise<void> {
  await engine('write to the bundle', () => write(container, text, signal)).catch((error: unknown) => {
    if (signal?.aborted !== true) throw error;
  });
}

async function write(container: Dockerode.Container, text: string, signal: AbortSignal | undefined): Promise<void> {
  const options = { stream: true, stdin: true, hijack: true, ...(signal === undefined ? {} : { abortSignal: signal }) };
  const stream = (await container.attach(options)) as Duplex;
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => void stream.destroy();
    stream.once('error', reject).once('end', stop);
    stream.once('close', () => {
      signal?.removeEventListener('abort', stop);
      resolve();
    });
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted === true) return stop();
    // Half-closing tells the Engine that all was sent; it closes its side when it has passed it on.
    stream.end(text);
    stream.resume();
  });
}
