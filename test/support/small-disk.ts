/** A disk that a test can fill without anybody else's getting full: a tmpfs of its own, where this process may mount one. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Mounting is for root on Linux. */
export const canMount = process.platform === 'linux' && process.getuid?.() === 0;

export interface SmallDisk {
  /** Where it is mounted. */
  readonly directory: string;
  /** Takes every byte that is left, whoever else writes meanwhile. */
  fill(): void;
  makeRoom(): void;
  remove(): Promise<void>;
}

const PIECES = [1024 ** 2, 4096, 1];

export async function smallDisk(mebibytes: number): Promise<SmallDisk> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-small-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=700`, 'tmpfs', directory]);
  const filler = path.join(directory, 'filler');
  return {
    directory,
    fill: () => {
      const file = openSync(filler, 'a');
      for (const piece of PIECES) {
        try {
          for (const bytes = Buffer.alloc(piece); ; ) writeSync(file, bytes);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        }
      }
      closeSync(file);
    },
    makeRoom: () => rmSync(filler, { force: true }),
    remove: async () => {
      // Lazily: a process that was killed may still be on its way out.
      execFileSync('umount', ['--lazy', directory]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
