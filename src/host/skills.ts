/** Finds skills on the host and reads them whole. */
import { lstat, readdir, readFile, realpath, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import type { GuestFile } from './machine/driver.ts';
import type { Settings } from './settings.ts';

const LARGEST_BYTES = 64 * 1024 ** 2;

/** The folders a skill is looked up in, first one wins. */
export function skillFolders(settings: Pick<Settings, 'home'>, homedir: string = os.homedir()): string[] {
  return [path.join(settings.home, 'skills'), path.join(homedir, '.claude', 'skills')];
}

/**
 * @returns the skill's directory on the host
 * @throws BottleError `SKILL_NOT_FOUND` with every path looked at
 */
export async function findSkill(folders: readonly string[], name: string): Promise<string> {
  const candidates = folders.map((folder) => path.join(folder, name));
  for (const candidate of candidates) {
    if (
      await stat(candidate).then(
        (found) => found.isDirectory(),
        () => false,
      )
    )
      return candidate;
  }
  throw new BottleError('SKILL_NOT_FOUND', `there is no skill "${name}": looked at ${candidates.join(' and ')}`, {
    hint: `put the skill's folder at ${candidates[0]}, then retry`,
  });
}

/**
 * A skill's whole directory as files below `target`. Links are followed as long as they stay inside the skill.
 * @param target absolute path in the machine
 * @throws BottleError `PROVISION_FAILED` for a link that leaves the skill, a special file, or more than 64 MiB
 */
export async function readSkill(directory: string, target: string): Promise<GuestFile[]> {
  const root = await realpath(directory);
  const files: GuestFile[] = [{ path: target, mode: 0o755 }];
  let bytes = 0;
  for (const entry of (await readdir(root, { recursive: true })).sort()) {
    const source = path.join(root, entry);
    const real = await realpath(source).catch(() => undefined);
    if (real === undefined || !isWithin(root, real)) {
      throw refused(directory, entry, 'is a link that leads out of the skill');
    }
    // A linked directory's own entries would come twice or for ever; its files are reached by their real path.
    if ((await lstat(source)).isSymbolicLink() && (await stat(real)).isDirectory()) continue;
    const found = await stat(real);
    const file = {
      path: path.posix.join(target, ...entry.split(path.sep)),
      mode: (found.mode & 0o111) === 0 ? 0o644 : 0o755,
    };
    if (found.isDirectory()) files.push(file);
    else if (found.isFile()) {
      bytes += found.size;
      if (bytes > LARGEST_BYTES)
        throw refused(directory, entry, `takes the skill over ${LARGEST_BYTES / 1024 ** 2} MiB`);
      files.push({ ...file, content: await readFile(real) });
    } else throw refused(directory, entry, 'is neither a file nor a directory');
  }
  return files;
}

function isWithin(root: string, file: string): boolean {
  const relative = path.relative(root, file);
  return relative !== '..' && !relative.startsWith(`..${path.sep}`);
}

function refused(directory: string, entry: string, what: string): BottleError {
  return new BottleError('PROVISION_FAILED', `skill ${path.basename(directory)}: ${entry} ${what}`, {
    retryable: false,
  });
}
