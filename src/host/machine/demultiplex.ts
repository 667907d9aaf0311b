/** Takes apart what the Engine sends over one connection: frames of `[stream, 0, 0, 0, length]` and their content. */
import type { Readable, Writable } from 'node:stream';
import { writeWhenTaken } from './write-when-taken.ts';

const HEADER_BYTES = 8;
const STDERR = 2;

/**
 * Writes each frame where it belongs, and reads on only when that is taken: a reader that is slow costs no memory.
 * (docker-modem's own `demuxStream` never waits.) A side that was closed is dropped, the other goes on.
 * @throws what `source` fails with
 */
export async function demultiplex(source: Readable, stdout: Writable, stderr: Writable): Promise<void> {
  let header = Buffer.alloc(0);
  let left = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    let rest = chunk;
    while (rest.length > 0) {
      if (left === 0) {
        const missing = HEADER_BYTES - header.length;
        header = Buffer.concat([header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (header.length < HEADER_BYTES) continue;
        left = header.readUInt32BE(4);
      }
      const content = rest.subarray(0, left);
      rest = rest.subarray(content.length);
      left -= content.length;
      if (content.length > 0) await writeWhenTaken(header[0] === STDERR ? stderr : stdout, content);
      if (left === 0) header = Buffer.alloc(0);
    }
  }
}
