/** What is in a file, in a few bytes. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

/** @param algorithm as {@link createHash} knows it. @throws what reading the file throws */
export async function fileDigest(file: string, algorithm = 'sha256'): Promise<Buffer> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(file), hash);
  return hash.digest();
}
