/** A bundle's container, and the bridge that it shares with the machine, as the Engine tells of them. */
import { setImmediate as afterThat } from 'node:timers/promises';
import type { DockerHost } from './docker.ts';
import { type BottleEvent, bottleEvents } from './engine-events.ts';

/**
 * Yields once when subscribed, then at each end or removal of the bottle's bundle, and whenever its bridge has lost a
 * container; once for all that has been told by then, since whoever hears of it looks at everything. Ends, without an error,
 * when `signal` aborts or the Engine closes the stream.
 * @throws BottleError `DOCKER_UNREACHABLE`
 */
export async function* bundleEvents(host: DockerHost, id: string, signal: AbortSignal): AsyncGenerator<void> {
  const over = new AbortController();
  const events = bottleEvents(host, id, AbortSignal.any([signal, over.signal]));
  try {
    for (let next = events.next(); ; ) {
      let matters = false;
      do {
        const { done, value } = await next;
        if (done === true) return;
        matters ||= concerns(value);
        next = events.next();
      } while (await isThere(next));
      if (matters) yield;
    }
  } finally {
    over.abort();
  }
}

const concerns = (event: BottleEvent | undefined): boolean =>
  event === undefined || (event.step !== 'machine.create' && event.action !== 'oom');

/** Whether it has come already. */
const isThere = (next: Promise<unknown>): Promise<boolean> =>
  Promise.race([
    next.then(
      () => true,
      () => true,
    ),
    afterThat(false),
  ]);
