/** Where this package lies, and its own programs: found from sources and from a build alike. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);

/** The package's own folder: the first above this file that holds a package.json. Ends with a separator. */
export const packageRoot: string = rootAbove(path.dirname(here));

/**
 * One of the files that a build makes a program of: TypeScript in `src`, or what it was built to in `dist`.
 * @param name path below either, without an extension
 */
export function programFile(name: string): string {
  const extension = path.extname(here);
  return path.join(packageRoot, extension === '.ts' ? 'src' : 'dist', `${name}${extension}`);
}

function rootAbove(folder: string): string {
  if (existsSync(path.join(folder, 'package.json'))) return `${folder}${path.sep}`;
  const parent = path.dirname(folder);
  if (parent === folder) throw new Error(`no package.json above ${here}`);
  return rootAbove(parent);
}
