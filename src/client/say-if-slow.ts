/** Nothing waits in silence: what is waited for is said when it takes longer than a moment. */
import type { Output } from './output.ts';

/** Within two seconds a person knows. */
export const MOMENT_MS = 1500;

export const SLOW_WORKER =
  "the host's worker has not answered yet; waiting for it (if none runs there: bottle serve --detach, on that host)";

/** Says `text` once if `act` takes longer than a moment. */
export async function sayIfSlow<T>(output: Output, text: string, act: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => output.note(text), MOMENT_MS);
  try {
    return await act();
  } finally {
    clearTimeout(timer);
  }
}
