/** A packed machine that a person made: that it is there, and what is in it. */
import { stat } from 'node:fs/promises';
import { BottleError } from '../core/errors.ts';
import { fileDigest } from './file-digest.ts';

/** A file written to this short a time ago may be written to again without its times telling. */
const SETTLED_MS = 2000;

/** Gigabytes at most times, and asked for at each check, retry and apply: read again only when the file is another. */
const known = new Map<string, { mark: string; digest: string }>();

/**
 * The digest of a `.smolmachine`, `sha256:...`.
 * @param file absolute path
 * @throws BottleError `IMAGE_MISSING` when it is not there, no file, or cannot be read
 */
export async function smolmachineDigest(file: string): Promise<string> {
  const began = Date.now();
  const { mark, changedAt } = await look(file);
  const before = known.get(file);
  if (before?.mark === mark) return before.digest;
  const hash = await fileDigest(file).catch((error: NodeJS.ErrnoException) => {
    throw missing(file, `cannot be read (${error.code ?? error.message})`, error);
  });
  const digest = `sha256:${hash.toString('hex')}`;
  if (began - changedAt > SETTLED_MS && (await look(file)).mark === mark) known.set(file, { mark, digest });
  return digest;
}

/** The mark is another whenever the content may be: the time of change is nobody's to set. */
async function look(file: string): Promise<{ mark: string; changedAt: number }> {
  const found = await stat(file, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
    throw missing(file, error.code === 'ENOENT' ? 'is not there' : `cannot be read (${error.code})`, error);
  });
  if (!found.isFile()) throw missing(file, 'is not a file');
  const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = found;
  return { mark: [dev, ino, size, mtimeNs, ctimeNs].join(' '), changedAt: Number(ctimeMs) };
}

function missing(file: string, what: string, cause?: unknown): BottleError {
  return new BottleError('IMAGE_MISSING', `the packed machine ${file} ${what}`, {
    hint: 'smolvm pack create makes one; a path in a manifest is relative to the file that names it',
    cause,
  });
}
