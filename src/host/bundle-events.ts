/** A bundle's container as the Engine tells of it. */
import readline from 'node:readline';
import type { Readable } from 'node:stream';
import { type DockerHost, engine, labelFilter } from './docker.ts';

/**
 * Yields once when subscribed, then at each end or removal of the bottle's bundle. Ends, without an error,
 * when `signal` aborts or the Engine closes the stream.
 * @throws BottleError `DOCKER_UNREACHABLE`
 */
export async function* bundleEvents(host: DockerHost, id: string, signal: AbortSignal): AsyncGenerator<void> {
  const filters = {
    ...labelFilter(host, id, { step: 'bundle' }),
    type: ['container' as const],
    event: ['die', 'destroy'],
  };
  const stream = (await engine('follow events', () => host.docker.getEvents({ filters }))) as Readable;
  const stop = (): void => void stream.destroy();
  // Destroyed or broken, it has no more lines; that it broke, the caller sees by its ending.
  stream.on('error', stop);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    yield;
    // Closed while the caller looked: lines would wait for a closing that has been.
    if (stream.destroyed) return;
    const lines = readline.createInterface({ input: stream });
    stream.once('close', () => lines.close());
    for await (const _line of lines) yield;
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}
