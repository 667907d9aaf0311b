/**
 * A Node for bottle itself, where the one it was started with is too old: ours in the cache, else one that a version
 * manager, PATH or Homebrew has. Runs on Node 20 itself, needs no package, and takes about a millisecond once it was found.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { packageRoot } from './package-root.ts';

const ASK_MS = 5000;
const REMEMBERED = 'node.json';

/** What was chosen before: the same file is not asked for its version again. */
interface Remembered {
  path: string;
  size: number;
  mtimeMs: number;
  major: number;
}

/** As {@link ./tools.ts} has it, which is not loaded here since it loads more. */
export const cacheOf = (env: NodeJS.ProcessEnv): string =>
  env['BOTTLE_CACHE'] || path.join(env['XDG_CACHE_HOME'] || path.join(homeOf(env), '.cache'), 'bottle');
const homeOf = (env: NodeJS.ProcessEnv): string => env['HOME'] || homedir();

/** Where {@link ./obtain-node.ts} puts the one of our own. */
export function ownNode(env: NodeJS.ProcessEnv = process.env): string {
  return path.join(cacheOf(env), 'tools', `node-${nodePin().version}`, 'node');
}

/** npm's package with Node for this computer; the one in the images where that fits. */
export function nodePin(platform: string = process.platform, arch: string = process.arch): NodePackage {
  const pins = json('images/pins.json') as {
    node: { package: string; integrity: Record<string, string> };
    tools: { node: Record<string, NodePackage> };
  };
  const other = pins.tools.node[`${platform}-${arch}`];
  if (other !== undefined) return other;
  const { devDependencies } = json('package.json') as { devDependencies: { node: string } };
  return {
    package: pins.node.package.replace('{arch}', arch),
    version: devDependencies.node,
    integrity: pins.node.integrity[arch] ?? '',
  };
}

export interface NodePackage {
  package: string;
  version: string;
  /** In npm's notation; empty where there is none for this computer. */
  integrity: string;
}

const json = (file: string): unknown => JSON.parse(readFileSync(path.join(packageRoot, file), 'utf8'));

/**
 * @param needed the oldest major version that will do
 * @returns its absolute path; undefined when there is none, and nothing is fetched
 */
export async function findNode(needed: number, env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  const own = ownNode(env);
  if (isFile(own)) return own;
  // What another version of bottle, or its setup, has got: it need not be got again.
  const kept = keptNodes(needed, env).find(isFile);
  if (kept !== undefined) return kept;
  const known = remembered(env);
  if (known !== undefined && known.major >= needed) return known.path;
  for (const candidate of managed(needed, env)) if (isFile(candidate)) return await remember(candidate, needed, env);
  for (const candidate of installed(env)) {
    const major = askMajor(candidate);
    if (major >= needed) return await remember(candidate, major, env);
  }
  return undefined;
}

/** Those of our own in the cache, newest first. */
function keptNodes(needed: number, env: NodeJS.ProcessEnv): string[] {
  const tools = path.join(cacheOf(env), 'tools');
  return names(tools)
    .filter((name) => name.startsWith('node-') && majorOf(name.slice('node-'.length)) >= needed)
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((name) => path.join(tools, name, 'node'));
}

/** Those whose folder says the version, newest first: nvm, fnm, volta, mise, asdf, n, nodenv. */
export function managed(needed: number, env: NodeJS.ProcessEnv): string[] {
  const home = homeOf(env);
  const data = env['XDG_DATA_HOME'] || path.join(home, '.local/share');
  const places: [string, string][] = [
    [path.join(env['NVM_DIR'] || path.join(home, '.nvm'), 'versions/node'), 'bin/node'],
    [path.join(env['FNM_DIR'] || path.join(data, 'fnm'), 'node-versions'), 'installation/bin/node'],
    [path.join(home, 'Library/Application Support/fnm/node-versions'), 'installation/bin/node'],
    [path.join(env['VOLTA_HOME'] || path.join(home, '.volta'), 'tools/image/node'), 'bin/node'],
    [path.join(data, 'mise/installs/node'), 'bin/node'],
    [path.join(env['ASDF_DATA_DIR'] || path.join(home, '.asdf'), 'installs/nodejs'), 'bin/node'],
    [path.join(env['N_PREFIX'] || '/usr/local', 'n/versions/node'), 'bin/node'],
    [path.join(env['NODENV_ROOT'] || path.join(home, '.nodenv'), 'versions'), 'bin/node'],
  ];
  return places
    .flatMap(([folder, program]) => names(folder).map((name) => ({ name, file: path.join(folder, name, program) })))
    .filter(({ name }) => majorOf(name) >= needed)
    .sort((a, b) => b.name.localeCompare(a.name, 'en', { numeric: true }))
    .map(({ file }) => file);
}

/** Those that have to be asked. */
function installed(env: NodeJS.ProcessEnv): string[] {
  const brew = ['/opt/homebrew', '/usr/local', '/home/linuxbrew/.linuxbrew'];
  const folders = [
    ...(env['PATH'] ?? '').split(path.delimiter).filter((part) => part.startsWith('/')),
    ...brew.flatMap((prefix) => [
      ...names(path.join(prefix, 'opt'))
        .filter((name) => /^node(@\d+)?$/.test(name))
        .map((name) => path.join(prefix, 'opt', name, 'bin')),
      path.join(prefix, 'bin'),
    ]),
  ];
  const files = [...new Set(folders)].map((folder) => path.join(folder, 'node')).filter(isFile);
  // The one that runs this is known to be too old.
  const self = realpathSync(process.execPath);
  return files.filter((file) => realpathSync(file) !== self);
}

function askMajor(file: string): number {
  try {
    const said = execFileSync(file, ['--version'], { timeout: ASK_MS, stdio: ['ignore', 'pipe', 'ignore'] });
    return majorOf(String(said).trim());
  } catch {
    return 0;
  }
}

const majorOf = (version: string): number => Number(/^v?(\d+)\./.exec(version)?.[1] ?? 0);

function remembered(env: NodeJS.ProcessEnv): Remembered | undefined {
  try {
    const known = JSON.parse(readFileSync(path.join(cacheOf(env), REMEMBERED), 'utf8')) as Remembered;
    const { size, mtimeMs } = statSync(known.path);
    return size === known.size && mtimeMs === known.mtimeMs ? known : undefined;
  } catch {
    return undefined;
  }
}

/** A cache that cannot be written to costs some milliseconds each time, and nothing else. */
async function remember(file: string, major: number, env: NodeJS.ProcessEnv): Promise<string> {
  try {
    const { size, mtimeMs } = statSync(file);
    const target = path.join(cacheOf(env), REMEMBERED);
    const fresh = `${target}.${process.pid}`;
    await mkdir(cacheOf(env), { recursive: true });
    await writeFile(fresh, JSON.stringify({ path: file, size, mtimeMs, major } satisfies Remembered));
    await rename(fresh, target);
  } catch {
    // As it was.
  }
  return file;
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isFile(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  return found?.isFile() === true && (found.mode & 0o111) !== 0;
}
