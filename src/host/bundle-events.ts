/** A bundle's container as the Engine tells of it. */
import type { DockerHost } from './docker.ts';
import { bottleEvents } from './engine-events.ts';

/**
 * Yields once when subscribed, then at each end or removal of the bottle's bundle. Ends, without an error,
 * when `signal` aborts or the Engine closes the stream.
 * @throws BottleError `DOCKER_UNREACHABLE`
 */
export async function* bundleEvents(host: DockerHost, id: string, signal: AbortSignal): AsyncGenerator<void> {
  for await (const event of bottleEvents(host, id, signal)) {
    if (event === undefined || (event.step === 'bundle' && event.action !== 'oom')) yield;
  }
}
