/** Writing that waits for its reader. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Resolves when more may be written: a reader that is slow costs no memory. What was closed takes nothing, and waits for nobody. */
export async function writeWhenTaken(to: Writable, chunk: Buffer | string): Promise<void> {
  if (to.destroyed || to.write(chunk) || to.destroyed) return;
  const either = new AbortController();
  const { signal } = either;
  try {
    await Promise.race([once(to, 'drain', { signal }), once(to, 'close', { signal })]);
  } finally {
    either.abort();
  }
}
