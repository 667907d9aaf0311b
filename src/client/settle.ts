/** When a watched launch has come to rest, so that a command may return. */
import type { StatusDocument } from '../core/status.ts';
import type { BottleRun } from './bottle-status.ts';
import type { Session } from './session.ts';
import { type WatchEvent, watchBottle } from './watch.ts';

/** What the caller waits for: a bottle that is ready, or one of which nothing is left. */
export type Goal = 'ready' | 'gone';

export interface Settled {
  kind: 'ready' | 'held' | 'closed';
  status: StatusDocument;
}

/**
 * Watches until nothing moves any more without a person: ready, held with nothing running, or closed.
 * @throws what {@link watchBottle} throws
 */
export async function untilSettled(
  session: Session,
  run: BottleRun,
  goal: Goal,
  signal: AbortSignal,
  onEvent: (event: WatchEvent) => void,
): Promise<Settled> {
  for await (const event of watchBottle(session, run, signal)) {
    onEvent(event);
    if (event.kind !== 'status') continue;
    const kind = restOf(event.status, event.closed, goal);
    if (kind !== undefined) return { kind, status: event.status };
  }
  throw new Error('the watch ended before the launch came to rest');
}

/** How a launch rests; undefined while it moves. */
export function restOf(status: StatusDocument, closed: boolean, goal: Goal): Settled['kind'] | undefined {
  if (closed) return 'closed';
  if (status.phase === 'ready' && goal === 'ready') return 'ready';
  const moves = status.steps.some(({ state }) => state === 'running' || state === 'undoing');
  return status.phase === 'held' && !moves ? 'held' : undefined;
}

/** Whether a launch is on its way down, so that its end is what is waited for. */
export function isGoingDown({ phase, steps }: StatusDocument): boolean {
  return (
    phase === 'stopping' ||
    phase === 'stopped' ||
    phase === 'failed' ||
    steps.some(({ state }) => state === 'undoing' || state === 'undone' || state === 'undo-held')
  );
}
