/** Something that truly keeps a directory from being removed, until it is told to let go. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** @returns a function that takes the obstacle away; calling it twice is fine */
export function keepFromRemoval(directory: string): () => void {
  const kept = path.join(directory, 'kept');
  mkdirSync(kept);
  writeFileSync(path.join(kept, 'file'), '');
  if (process.getuid?.() !== 0) {
    chmodSync(kept, 0o500);
    return once(() => chmodSync(kept, 0o700));
  }
  // Permissions do not hold root back: an immutable file does, or a mount where the file system knows no such thing.
  try {
    execFileSync('chattr', ['+i', kept], { stdio: 'ignore' });
    return once(() => execFileSync('chattr', ['-i', kept]));
  } catch {
    execFileSync('mount', ['--bind', kept, kept]);
    return once(() => execFileSync('umount', [kept]));
  }
}

function once(act: () => void): () => void {
  let done = false;
  return () => {
    if (!done) act();
    done = true;
  };
}
