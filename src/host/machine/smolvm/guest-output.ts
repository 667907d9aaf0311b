/** What a command in a machine says, apart from what smolvm says on the same streams. */
import type { Writable } from 'node:stream';
import { writeWhenTaken } from '../write-when-taken.ts';

export interface Prelude {
  /** Whether the mark came: the command has begun. */
  begun: boolean;
  /** What stood between the mark and {@link END_OF_PRELUDE}. */
  told: string;
  /** What came before the mark, smolvm's own words; the end of it where it is long. */
  before: string;
}

export const END_OF_PRELUDE = ';';
const KEPT = 64 * 1024;

/** Passes on what follows the mark and what it tells, and notes the rest in `prelude`. */
export async function* afterMark(
  source: AsyncIterable<Buffer | string>,
  mark: string,
  prelude: Prelude,
): AsyncGenerator<Buffer> {
  let head = Buffer.alloc(0);
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk);
    if (prelude.begun) {
      yield bytes;
      continue;
    }
    head = Buffer.concat([head, bytes]);
    const at = head.indexOf(mark);
    const end = at === -1 ? -1 : head.indexOf(END_OF_PRELUDE, at);
    prelude.before = head.subarray(0, at === -1 ? head.length : at).toString('utf8');
    if (end !== -1) {
      prelude.begun = true;
      prelude.told = head.subarray(at + mark.length, end).toString('utf8');
      if (head.length > end + 1) yield head.subarray(end + 1);
    } else if (head.length > KEPT) head = head.subarray(-KEPT);
  }
}

/** Writes all of it. What was closed takes nothing more, and the source is read to its end all the same. */
export async function pour(source: AsyncIterable<Buffer | string>, to: Writable): Promise<void> {
  for await (const chunk of source) await writeWhenTaken(to, chunk);
}
