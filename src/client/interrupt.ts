/** Ctrl-C while waiting: ends the watching, not the launch. */
import process from 'node:process';
import type { Output } from './output.ts';

export const INTERRUPTED = 130;

/**
 * Runs `wait` with a signal that Ctrl-C (or SIGTERM) aborts; then says `comeBack` and gives 130.
 * A second Ctrl-C ends the process at once.
 */
export async function stoppable(
  output: Output,
  comeBack: string,
  wait: (signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    controller.abort(new Error('interrupted'));
  };
  // Not `once`: whoever restores the cursor ends the process when it finds nobody else listening.
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  try {
    return await wait(controller.signal);
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    output.say(comeBack);
    return INTERRUPTED;
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}
