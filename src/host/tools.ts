/**
 * The programs from outside that bottle runs, in one table: where they are looked for, and what to do when one is missing.
 * Versions are pinned in images/pins.json. Getting them is src/host/setup's work, or the reader's.
 */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { readPins } from './pins.ts';

interface ToolEntry {
  /** What bottle needs it for, in one line. */
  purpose: string;
  /** What to do when it is missing, in one line. */
  hint: string;
  /** Whether our cache may hold it, in the pinned version. */
  cached: boolean;
}

/** Every outside program, by the name it has on PATH. */
export const TOOLS = {
  temporal: {
    purpose: 'the embedded Temporal server',
    hint: 'bottle setup gets it; or install the Temporal CLI (brew install temporal, or its own installer)',
    cached: true,
  },
  smolvm: {
    purpose: 'machines of their own kernel, the driver smolvm',
    hint: 'bottle setup gets it where Python has pip; or put smolvm on PATH',
    cached: true,
  },
  docker: {
    purpose: 'a look at what bottle made; bottle itself talks to the Docker Engine directly',
    hint: 'install Docker Engine or Docker Desktop',
    cached: false,
  },
} as const satisfies Record<string, ToolEntry>;

export type ToolName = keyof typeof TOOLS;

export interface FoundTool {
  /** Absolute. */
  path: string;
  /** As the program says it (PATH), or as pinned (cache); `unknown` when it says nothing that looks like one. */
  version: string;
  source: 'path' | 'cache';
}

/** Where downloads and built tools are kept: `$BOTTLE_CACHE`, else `$XDG_CACHE_HOME/bottle`, else `~/.cache/bottle`. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env['BOTTLE_CACHE']) return env['BOTTLE_CACHE'];
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'bottle');
}

/** The folder of built tools: `<tools>/<name>-<version>/<name>`. */
export function toolsDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheDirectory(env), 'tools');
}

/**
 * Looks on PATH, then in our cache. Nothing is installed.
 *
 * @returns undefined when it is in neither; {@link TOOLS} says what to do then
 */
export async function findTool(name: ToolName, env: NodeJS.ProcessEnv = process.env): Promise<FoundTool | undefined> {
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter((part) => part.startsWith('/'))) {
    const path = join(folder, name);
    if (await isProgram(path)) return { path, version: await askVersion(path), source: 'path' };
  }
  if (!TOOLS[name].cached) return undefined;
  const version = await pinnedVersion(name);
  const path = join(toolsDirectory(env), `${name}-${version}`, name);
  // Not asked: what `go install` builds calls itself 0.0.0-DEV.
  return (await isProgram(path)) ? { path, version, source: 'cache' } : undefined;
}

async function pinnedVersion(name: ToolName): Promise<string> {
  const pins: Partial<Record<ToolName, { version: string }>> = (await readPins()).tools;
  return pins[name]?.version ?? 'unknown';
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

async function askVersion(path: string): Promise<string> {
  const { stdout } = await execa(path, ['--version'], { reject: false, timeout: 5000, stdin: 'ignore' });
  return /\d+\.\d+[\w.+-]*/.exec(stdout ?? '')?.[0] ?? 'unknown';
}
