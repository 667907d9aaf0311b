/** What is appended to a log file, line by line, as it is written. */
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 200;

/** Calls `show` with each new line from the file's present end on, until `signal` aborts. A file cut short is read anew. */
export async function followFile(file: string, show: (line: string) => void, signal: AbortSignal): Promise<void> {
  let position = await sizeOf(file);
  let rest = '';
  while (!signal.aborted) {
    const size = await sizeOf(file);
    if (size < position) position = 0;
    if (size > position) {
      const lines = (rest + (await read(file, position, size))).split('\n');
      position = size;
      rest = lines.pop() ?? '';
      for (const line of lines) show(line);
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function sizeOf(file: string): Promise<number> {
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return 0;
  try {
    return (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}

async function read(file: string, from: number, to: number): Promise<string> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(to - from), position: from });
    return buffer.subarray(0, bytesRead).toString('utf8');
  } finally {
    await handle.close();
  }
}
