/** Temporal's native core comes for every platform, 137 MB of which an installed bottle needs a fifth. */
import { readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { packageRoot } from '../package-root.ts';

const ARCH: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' };
const SYSTEM: Record<string, string> = { linux: 'unknown-linux-gnu', darwin: 'apple-darwin' };
/** Sources of what is in the releases. */
const SOURCES = 'sdk-core';

/**
 * What of it may go, as absolute paths. Nothing in a checkout, whose packages may be shared; nothing where our own
 * platform's is not among them.
 */
export function unusedCore(root: string = packageRoot): string[] {
  if (!root.includes(`${path.sep}node_modules${path.sep}`)) return [];
  const core = path.dirname(
    createRequire(path.join(root, 'package.json')).resolve('@temporalio/core-bridge/package.json'),
  );
  const releases = path.join(core, 'releases');
  const ours = `${ARCH[process.arch]}-${SYSTEM[process.platform]}`;
  const names = readdirSync(releases);
  if (!names.includes(ours)) return [];
  const others = names.filter((name) => name !== ours).map((name) => path.join(releases, name));
  return [...others, ...readdirSync(core).flatMap((name) => (name === SOURCES ? [path.join(core, name)] : []))];
}

/** @returns whether it could: who installed for everybody may be somebody else */
export function removeUnusedCore(paths: readonly string[]): boolean {
  try {
    for (const each of paths) rmSync(each, { recursive: true });
    return true;
  } catch {
    return false;
  }
}
