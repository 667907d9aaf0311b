/** Writes to a running container's standard input, where nobody but its first process can read along. */
import type { Duplex } from 'node:stream';
import type Dockerode from 'dockerode';
import { engine } from './docker.ts';

/**
 * Sends `text` to a container made with `OpenStdin`, and returns when the Engine has taken it. The input stays open.
 * @throws BottleError `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function writeToContainer(container: Dockerode.Container, text: string): Promise<void> {
  await engine('write to the bundle', async () => {
    const stream = (await container.attach({ stream: true, stdin: true, hijack: true })) as Duplex;
    await new Promise<void>((resolve, reject) => {
      stream.once('error', reject);
      stream.write(text, (error) => (error ? reject(error) : resolve()));
    });
    // Half-closing tells the Engine that all was sent; it closes its side when it has passed it on.
    await new Promise<void>((resolve) => {
      stream.once('close', resolve).once('end', () => stream.destroy());
      stream.resume();
      stream.end();
    });
  });
}
