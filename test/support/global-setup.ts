/** Before tests that run the build: dist/ made from what is on disk, and the images it needs. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { testedKinds } from './tested-kinds.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export async function setup(): Promise<void> {
  // Who brings up a computer for microVMs has made both before (test/microvm).
  if (process.env['BOTTLE_TEST_MICROVM'] !== undefined) return;
  if (!(await isBuilt())) await script('build.mjs');
  // Nothing is made from an image on an Engine that must be refused.
  if (process.env['BOTTLE_TEST_REFUSED_ENGINE'] === undefined) await script('images.mjs', testedKinds() ?? []);
}

async function isBuilt(): Promise<boolean> {
  const url = new URL('../../scripts/build-stamp.mjs', import.meta.url).href;
  const { buildStamp } = (await import(url)) as { buildStamp(root: string): Promise<string> };
  const stamp = await readFile(path.join(root, 'dist/.stamp'), 'utf8').catch(() => '');
  return stamp === (await buildStamp(root));
}

async function script(name: string, args: readonly string[] = []): Promise<void> {
  await promisify(execFile)(process.execPath, [path.join(root, 'scripts', name), ...args], { cwd: root });
}
