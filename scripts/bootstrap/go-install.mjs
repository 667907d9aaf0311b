// Programs that are built here with Go when nobody has installed them, once, into our cache.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cache } from './places.mjs';
import { run, which } from './processes.mjs';

const tools = join(cache, 'tools');

/** Where a program of that version lies once it was built: the place that src/host looks into. */
export const builtProgram = (name, version) => join(tools, `${name}-${version}`, name);

export const hasGo = () => which('go');

/**
 * `go install`s one module's program; whole or not at all.
 *
 * @param {{name: string, version: string, module: string, os?: string, arch?: string}} program os, arch: Go's words, for
 *   a program that runs elsewhere
 */
export async function goInstall({ name, version, module, os, arch }) {
  await mkdir(tools, { recursive: true });
  await removeHalfBuilt();
  const partial = await mkdtemp(join(tools, 'partial-'));
  try {
    const modules = await run('go', ['env', 'GOMODCACHE']);
    const target = os === undefined ? {} : { GOOS: os, GOARCH: arch };
    // GOFLAGS and the workspace are the user's, for the user's own projects. A program for another computer cannot be
    // put where GOBIN says, so the whole Go folder is ours.
    const own = { GOPATH: partial, GOMODCACHE: modules.trim(), GOBIN: '', GOFLAGS: '', GOWORK: 'off' };
    await run('go', ['install', '-ldflags', '-s -w', `${module}@v${version}`], {
      cwd: partial,
      env: { CGO_ENABLED: '0', ...own, ...target },
    });
    const bin = join(partial, 'bin');
    const crossed = join(bin, `${os}_${arch}`);
    await rename(existsSync(crossed) ? crossed : bin, join(tools, `${name}-${version}`));
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function removeHalfBuilt() {
  const left = (await readdir(tools)).filter((name) => name.startsWith('partial-'));
  await Promise.all(left.map((name) => rm(join(tools, name), { recursive: true, force: true })));
}
