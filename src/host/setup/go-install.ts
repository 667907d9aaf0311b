/** Programs that are built here with Go where no release can be had, once, into our cache. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { execa } from 'execa';
import { BottleError } from '../../core/errors.ts';
import { proxyEnvironment } from '../host-proxy-environment.ts';
import { toolsDirectory } from '../tools.ts';

export interface GoProgram {
  name: string;
  version: string;
  module: string;
  /** In Go's words, for a program that runs elsewhere. */
  os?: string;
  arch?: string;
}

export async function hasGo(): Promise<boolean> {
  return !(await execa('go', ['version'], { reject: false, stdin: 'ignore' })).failed;
}

/**
 * `go install`s one module's program; whole or not at all.
 * @throws BottleError `TOOL_MISSING` with Go's own last words
 */
export async function goInstall({ name, version, module, os, arch }: GoProgram): Promise<void> {
  const tools = toolsDirectory();
  await mkdir(tools, { recursive: true });
  const partial = await mkdtemp(path.join(tools, 'partial-'));
  try {
    const modules = await go(['env', 'GOMODCACHE'], partial, {});
    const target = os === undefined || arch === undefined ? {} : { GOOS: os, GOARCH: arch };
    // GOFLAGS and the workspace are the user's, for the user's own projects. A program for another computer cannot be
    // put where GOBIN says, so the whole Go folder is ours.
    const own = { GOPATH: partial, GOMODCACHE: modules.trim(), GOBIN: '', GOFLAGS: '', GOWORK: 'off' };
    await go(['install', '-ldflags', '-s -w', `${module}@v${version}`], partial, {
      CGO_ENABLED: '0',
      ...own,
      ...target,
    });
    const bin = path.join(partial, 'bin');
    const crossed = path.join(bin, `${os}_${arch}`);
    await rename(existsSync(crossed) ? crossed : bin, path.join(tools, `${name}-${version}`));
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function go(args: string[], cwd: string, env: NodeJS.ProcessEnv): Promise<string> {
  const all = { ...process.env, ...(await proxyEnvironment()), ...env };
  const run = await execa('go', args, { cwd, env: all, stdin: 'ignore', reject: false });
  if (!run.failed) return run.stdout;
  throw new BottleError('TOOL_MISSING', `go ${args.join(' ')}: ${run.stderr.slice(-400) || run.shortMessage}`);
}
