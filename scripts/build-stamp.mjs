// What a build was made from, as one hash: bootstrap.mjs compares it, build.mjs leaves it in dist/.stamp.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

const FOLDERS = ['src', 'scripts/build'];
const SINGLE_FILES = ['scripts/build.mjs', 'tsconfig.json', 'package.json', 'package-lock.json'];

/** @param {string} root the checkout @returns {Promise<string>} */
export async function buildStamp(root) {
  const below = await Promise.all(FOLDERS.map((folder) => filesBelow(join(root, folder))));
  const files = [...below.flat(), ...SINGLE_FILES.map((file) => join(root, file))];
  const contents = await Promise.all(files.map((file) => readFile(file)));
  const hash = createHash('sha256');
  files.forEach((file, index) => {
    hash.update(`${relative(root, file)}\0${contents[index].length}\0`).update(contents[index]);
  });
  return hash.digest('hex');
}

async function filesBelow(folder) {
  const entries = await readdir(folder, { withFileTypes: true });
  const nested = entries.map((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
  return (await Promise.all(nested)).flat().sort();
}
