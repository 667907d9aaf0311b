/** Marks every line of a daemon's output with its name. */
import type { Readable } from 'node:stream';

/** What has no line end is passed on in pieces of this many characters, so that a daemon cannot fill the memory. */
const MAX_LINE = 8192;

/** Calls `write` with each line of `input`, prefixed with `[name] ` and ended, as soon as it is complete. */
export function prefixLines(input: Readable, name: string, write: (line: string) => void): void {
  let rest = '';
  input.setEncoding('utf8');
  input.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    while (rest.length > MAX_LINE) {
      lines.push(rest.slice(0, MAX_LINE));
      rest = rest.slice(MAX_LINE);
    }
    if (lines.length > 0) write(lines.map((line) => `[${name}] ${line}\n`).join(''));
  });
  input.on('end', () => {
    if (rest !== '') write(`[${name}] ${rest}\n`);
  });
}
