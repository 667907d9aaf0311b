/** Lines as JSON has them: a line feed ends one, and nothing else does, as it would for Node's readline. */
import type { Readable } from 'node:stream';

/** Calls `take` with each line of `input` as soon as its end is there; what has none is not taken. */
export function eachLine(input: Readable, take: (line: string) => void): void {
  let rest = '';
  input.setEncoding('utf8');
  input.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
  });
}
