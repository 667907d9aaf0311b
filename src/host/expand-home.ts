import os from 'node:os';
import path from 'node:path';

/** `~/...`, as a person writes it, as an absolute path of the host; any other path as it is. */
export const expandHome = (file: string): string =>
  file.startsWith('~/') ? path.join(os.homedir(), file.slice(2)) : file;
