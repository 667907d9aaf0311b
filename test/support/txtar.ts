/** Several small files as one, in Go's txtar format: `-- path --` before each. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Path to text, in their order; what stands before the first file is a comment. */
export function readTxtar(text: string): Map<string, string> {
  const parts = text.split(/^-- (.+) --\n/m).slice(1);
  return new Map(Array.from({ length: parts.length / 2 }, (_, at) => [parts[2 * at] ?? '', parts[2 * at + 1] ?? '']));
}

export function writeFiles(folder: string, files: Iterable<[file: string, text: string]>): void {
  for (const [file, text] of files) {
    const target = path.join(folder, file);
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
}
