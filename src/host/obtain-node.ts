/** Node for bottle itself, out of npm's own package for this computer: pinned, verified, kept in the cache. Runs on Node 20. */
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { pipeline } from 'node:stream/promises';
import { BottleError } from '../core/errors.ts';
import { nodePin, ownNode } from './node-program.ts';
import { plainTarball, withMember } from './npm-package.ts';

/**
 * @param report one line, when there is something to download
 * @returns its absolute path
 * @throws BottleError `TOOL_MISSING` when there is none for this computer, or npm cannot get it
 */
export async function obtainNode(report: (line: string) => void): Promise<string> {
  const { package: name, version, integrity } = nodePin();
  if (integrity === '') throw missing(`npm has no Node for ${process.platform}-${process.arch}`);
  const target = ownNode();
  const unfinished = `${target}.${process.pid}`;
  await mkdir(path.dirname(target), { recursive: true });
  try {
    const tarball = await plainTarball(name, { version, integrity }, report);
    await withMember(tarball, 'bin/node', (content) =>
      pipeline(content, createWriteStream(unfinished, { mode: 0o755 })),
    );
    await rename(unfinished, target);
  } catch (error) {
    throw BottleError.is(error) ? missing(error.message) : error;
  } finally {
    await rm(unfinished, { force: true });
  }
  return target;
}

const missing = (message: string): BottleError =>
  new BottleError('TOOL_MISSING', message, { hint: 'install Node 24 or newer by any other way: bottle finds it' });
