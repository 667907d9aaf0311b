/** Finds skills on the host and reads them whole. */
import { createHash } from 'node:crypto';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import type { GuestFile } from './machine/driver.ts';
import type { Settings } from './settings.ts';

const LARGEST_BYTES = 64 * 1024 ** 2;
const MOST_ENTRIES = 10_000;

/** The folders a skill is looked up in, first one wins. */
export function skillFolders(settings: Pick<Settings, 'home'>, homedir: string = os.homedir()): string[] {
  return [path.join(settings.home, 'skills'), path.join(homedir, '.claude', 'skills')];
}

/**
 * Where each skill lies on the host, in the order asked for.
 * @throws BottleError `SKILL_NOT_FOUND` naming every skill that is missing and every path looked at
 */
export async function findSkills(folders: readonly string[], names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    names.map((name) => firstDirectory(folders.map((folder) => path.join(folder, name)))),
  );
  const missing = names.filter((_, index) => found[index] === undefined);
  if (missing.length === 0) return found as string[];
  const looked = missing.flatMap((name) => folders.map((folder) => path.join(folder, name)));
  const which = missing.map((name) => `"${name}"`).join(', ');
  const what = missing.length === 1 ? `there is no skill ${which}` : `there are no skills ${which}`;
  throw new BottleError('SKILL_NOT_FOUND', `${what}: looked at ${looked.join(' and ')}`, {
    hint: `put ${missing.length === 1 ? "the skill's folder at" : 'each folder into place, as'} ${looked[0]}, then retry`,
  });
}

/**
 * Changes with whatever is in the skills' folders: names, sizes and times of what is in them, read without a look into
 * any file. A skill that is missing counts as that.
 * @returns 16 hex digits
 */
export async function skillsDigest(folders: readonly string[], names: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const name of names) {
    const directory = await firstDirectory(folders.map((folder) => path.join(folder, name)));
    hash.update(`${name}\0${directory ?? ''}\0`);
    if (directory === undefined) continue;
    const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
    const files = entries.map((entry) => path.join(entry.parentPath, entry.name)).sort();
    for (const file of files.slice(0, MOST_ENTRIES)) {
      const found = await stat(file).catch(() => undefined);
      hash.update(`${file}\0${found?.size ?? ''}\0${found?.mtimeMs ?? ''}\0`);
    }
  }
  return hash.digest('hex').slice(0, 16);
}

async function firstDirectory(candidates: readonly string[]): Promise<string | undefined> {
  for (const candidate of candidates) {
    const found = await stat(candidate).catch(() => undefined);
    if (found?.isDirectory()) return candidate;
  }
  return undefined;
}

/**
 * A skill's whole directory as files below `target`. Links become what they lead to, as long as that is inside the
 * skill.
 * @param target absolute path in the machine
 * @throws BottleError `PROVISION_FAILED` for a link that leaves the skill or goes in circles, a special file, more
 * than 64 MiB or 10,000 entries
 */
export async function readSkill(directory: string, target: string): Promise<GuestFile[]> {
  const root = await realpath(directory);
  const files: GuestFile[] = [{ path: target, mode: 0o755 }];
  let bytes = 0;

  async function read(folder: string, below: string, above: readonly string[]): Promise<void> {
    for (const name of (await readdir(folder)).sort()) {
      const entry = path.posix.join(below, name);
      const real = await realpath(path.join(folder, name)).catch(() => undefined);
      if (real === undefined) throw refused(directory, entry, 'is a link to nothing');
      if (!isWithin(root, real)) throw refused(directory, entry, 'is a link that leads out of the skill');
      if (files.length >= MOST_ENTRIES) throw refused(directory, entry, `is one of more than ${MOST_ENTRIES} entries`);
      const found = await stat(real);
      if (found.isDirectory()) {
        if (above.includes(real)) throw refused(directory, entry, 'is a link to a folder that it lies in');
        files.push({ path: path.posix.join(target, entry), mode: 0o755 });
        await read(real, entry, [...above, real]);
      } else if (found.isFile()) {
        bytes += found.size;
        if (bytes > LARGEST_BYTES)
          throw refused(directory, entry, `takes the skill over ${LARGEST_BYTES / 1024 ** 2} MiB`);
        const mode = (found.mode & 0o111) === 0 ? 0o644 : 0o755;
        files.push({ path: path.posix.join(target, entry), mode, content: await readFile(real) });
      } else throw refused(directory, entry, 'is neither a file nor a directory');
    }
  }

  await read(root, '', [root]);
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
