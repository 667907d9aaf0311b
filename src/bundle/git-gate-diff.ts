/** How much there is to scan: the bytes of the lines that commits add. */
import { run } from './git-gate-command.ts';

/**
 * Counts the added bytes, line ends included, in what `git log -p -U0` prints for `log`.
 * @param log more options of `git log`, and a range
 * @throws Error when git fails
 */
export async function addedBytes(log: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const counter = addedByteCounter();
  const { code } = await run(['git', 'log', '-p', '-U0', ...log], { env, onOutput: counter.add });
  if (code !== 0) throw new Error('git log failed');
  return counter.total();
}

/** Longer than a hunk's header; of a line of a file, only the first byte counts. */
const MAX_HEAD = 100;
const HUNK = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/;

/** Takes the output of `git log -p -U0` in pieces of any size, and keeps none of it. */
export function addedByteCounter(): { add(chunk: Buffer): void; total(): number } {
  let total = 0;
  let head = '';
  let length = 0;
  let addedLines = 0; // that the hunk still has
  let removedLines = 0;
  let added = false; // whether the last line was one

  function endLine(): void {
    if (addedLines + removedLines > 0 && head.startsWith('+')) {
      addedLines -= 1;
      total += length - 1;
      added = true;
    } else if (addedLines + removedLines > 0 && head.startsWith('-')) {
      removedLines -= 1;
      added = false;
    } else if (head.startsWith('\\ ')) {
      if (added) total -= 1; // "\ No newline at end of file"
      added = false;
    } else {
      const [hunk, removedCount = '1', addedCount = '1'] = HUNK.exec(head) ?? [];
      if (hunk !== undefined) [removedLines, addedLines] = [Number(removedCount), Number(addedCount)];
    }
    head = '';
    length = 0;
  }

  return {
    total: () => total,
    add(chunk) {
      for (let at = 0; at < chunk.length; ) {
        const lineEnd = chunk.indexOf(10, at);
        const end = lineEnd < 0 ? chunk.length : lineEnd + 1;
        if (head.length < MAX_HEAD) head += chunk.toString('latin1', at, Math.min(end, at + MAX_HEAD));
        length += end - at;
        if (lineEnd >= 0) endLine();
        at = end;
      }
    },
  };
}
