/** Marks every line of a daemon's output with its name. */
import type { Readable } from 'node:stream';

/** What has no line end is passed on in pieces of this many characters, so that a daemon cannot fill the memory. */
const MAX_LINE = 8192;
/** Besides the line feed, what some readers (Node's readline among them) take for the end of a line. */
const OTHER_ENDS = /[\r\u2028\u2029]/g;

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
    if (lines.length > 0) write(lines.map(prefixed).join(''));
  });
  input.on('end', () => {
    if (rest !== '') write(prefixed(rest));
  });

  /** Whoever chose a daemon's words must not begin a line of another's with them. */
  function prefixed(line: string): string {
    return `[${name}] ${line.replace(/\r$/, '').replace(OTHER_ENDS, ' ')}\n`;
  }
}
