/** Lines out of what the Engine sends of a container's log: one frame for each message, a message for each line or piece of one. */

const HEADER_BYTES = 8;
/** A line that is longer comes in pieces, so that a program that never ends its line costs no memory. */
const MAX_LINE_BYTES = 1024 * 1024;
const LINE_FEED = 0x0a;

/** One line, and when the Engine took its beginning down: RFC 3339 with nanoseconds; empty where no times were asked for. */
export interface TimedLine {
  at: string;
  line: string;
}

interface Begun {
  at: string;
  pieces: Buffer[];
  bytes: number;
}

/**
 * A reader of one log. A line feed ends a line, and nothing else does; each of the two streams has a line of its own under
 * way, since the Engine cuts what is longer than 16 KiB into several messages, each with a time of its own.
 * @param timed whether each message begins with its time
 * @returns takes the next bytes, wherever they are cut, and returns the lines that end in them; nothing more to come gives the rest
 */
export function logReader(timed: boolean): (chunk: Buffer | undefined) => TimedLine[] {
  const begun = new Map<number, Begun>();
  let kept: Buffer = Buffer.alloc(0);

  const message = (stream: number, content: Buffer, take: TimedLine[]): void => {
    const space = timed ? content.indexOf(0x20) : -1;
    const at = space === -1 ? '' : content.toString('latin1', 0, space);
    const text = content.subarray(space + 1);
    const line = begun.get(stream) ?? { at, pieces: [], bytes: 0 };
    const ended = text.at(-1) === LINE_FEED;
    line.pieces.push(ended ? text.subarray(0, -1) : text);
    line.bytes += text.length;
    begun.set(stream, line);
    if (ended || line.bytes > MAX_LINE_BYTES) end(stream, take);
  };
  const end = (stream: number, take: TimedLine[]): void => {
    const line = begun.get(stream);
    if (line === undefined) return;
    begun.delete(stream);
    const whole = (line.pieces.length === 1 ? line.pieces[0] : Buffer.concat(line.pieces))?.toString('utf8') ?? '';
    // A program for terminals ends its lines with both; what is between two line feeds is one line all the same.
    take.push({ at: line.at, line: whole.endsWith('\r') ? whole.slice(0, -1) : whole });
  };

  return (chunk) => {
    const lines: TimedLine[] = [];
    if (chunk === undefined) {
      for (const stream of [...begun.keys()]) end(stream, lines);
      return lines;
    }
    const all = kept.length === 0 ? chunk : Buffer.concat([kept, chunk]);
    let from = 0;
    while (all.length - from >= HEADER_BYTES) {
      const until = from + HEADER_BYTES + all.readUInt32BE(from + 4);
      if (until > all.length) break;
      message(all[from] ?? 0, all.subarray(from + HEADER_BYTES, until), lines);
      from = until;
    }
    kept = all.subarray(from);
    return lines;
  };
}
