/** One wheel of a pinned Python package: downloaded by pip, which knows the index that this host is set to. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { BottleError } from '../core/errors.ts';
import { proxyEnvironment } from './host-proxy-environment.ts';

export interface Wheel {
  package: string;
  version: string;
  /** Platform tag, such as `manylinux_2_28_x86_64`. */
  platform: string;
}

/** Ways to run pip, in the order in which they are tried; uv brings one of its own. */
const PIPS = [['python3', '-m', 'pip'], ['pip3'], ['pip'], ['uv', 'tool', 'run', 'pip']] as const;
const ASK_MS = 60_000;
const DOWNLOAD_MS = 10 * 60_000;

/**
 * Downloads it into `folder`, whatever Python is here: a wheel is only a file to us.
 *
 * @returns its absolute path; that its content is the wanted one is the caller's to check
 * @throws BottleError `TOOL_MISSING` when there is no pip, or it cannot get the wheel
 */
export async function downloadWheel(
  wheel: Wheel,
  folder: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const [program, ...first] = await findPip(env);
  const spec = `${wheel.package}==${wheel.version}`;
  const which = ['--no-deps', '--only-binary=:all:', '--platform', wheel.platform];
  // Of the ABI that every Python from 3.9 on has: the one here does not matter.
  const python = ['--implementation', 'cp', '--abi', 'abi3', '--python-version', '3.12'];
  const args = [...first, 'download', '--quiet', '--retries', '1', '--dest', folder, ...which, ...python, spec];
  const pip = await execa(program, args, options({ ...env, ...(await proxyEnvironment(env)) }, DOWNLOAD_MS));
  const file = (await readdir(folder)).find((name) => name.endsWith('.whl'));
  if (!pip.failed && file !== undefined) return join(folder, file);
  const reason = pip.stderr.trim().split('\n').at(-1) || pip.shortMessage;
  throw new BottleError('TOOL_MISSING', `pip could not get ${spec}: ${reason}`, {
    hint: 'it asks the index that PIP_INDEX_URL, UV_INDEX_URL or pip.conf names',
  });
}

/** Whether there is any pip. */
export async function hasPip(env: NodeJS.ProcessEnv = process.env): Promise<boolean> {
  return findPip(env).then(
    () => true,
    () => false,
  );
}

/** @throws BottleError `TOOL_MISSING` */
async function findPip(env: NodeJS.ProcessEnv): Promise<readonly [string, ...string[]]> {
  for (const [program, ...first] of PIPS) {
    const { failed } = await execa(program, [...first, '--version'], options(env, ASK_MS));
    if (!failed) return [program, ...first];
  }
  throw new BottleError('TOOL_MISSING', 'there is no pip to get smolvm with', {
    hint: 'install Python with pip, or uv, or put smolvm on PATH',
  });
}

/** uv's own words for the index are pip's too, where pip has none. */
const options = (env: NodeJS.ProcessEnv, timeout: number) => {
  const index = env['PIP_INDEX_URL'] || env['UV_DEFAULT_INDEX'] || env['UV_INDEX_URL'];
  return {
    reject: false as const,
    stdin: 'ignore' as const,
    timeout,
    extendEnv: false,
    env: { ...env, PIP_DISABLE_PIP_VERSION_CHECK: '1', ...(index ? { PIP_INDEX_URL: index } : {}) },
  };
};
