/** Breaks a body off that is longer than it may be. */
import { Transform } from 'node:stream';

/** Passes on up to `maxBytes`; one more is an error, which whoever pipes it turns into a broken connection. */
export function limitStream(maxBytes: number): Transform {
  let left = maxBytes;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length;
      if (left < 0) done(new Error(`more than ${maxBytes} bytes`));
      else done(null, chunk);
    },
  });
}
