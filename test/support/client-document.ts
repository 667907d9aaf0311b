/** Runs the built client for its document, whatever its exit code. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { root } from './installation.ts';

export const PROGRAM = path.join(root, 'dist/client/main.js');

export async function clientDocument<T>(args: readonly string[], env: NodeJS.ProcessEnv): Promise<T> {
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, ...args, '--json'], { env }).catch(
    (error: unknown) => error as { stdout: string },
  );
  return JSON.parse(stdout) as T;
}
