// The Temporal CLI, which holds the embedded server: on PATH, else in our cache, else built into it with Go.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cache, pins } from './places.mjs';
import { run, which } from './processes.mjs';
import { Refusal } from './refusal.mjs';

const { version, module } = pins.tools.temporal;
const tools = join(cache, 'tools');
const installed = join(tools, `temporal-${version}`);

export const temporalCli = {
  name: 'Temporal CLI',
  look: async () => {
    const onPath = await which('temporal');
    if (onPath) return onPath;
    return existsSync(join(installed, 'temporal')) ? `${version}, built here` : undefined;
  },
  plan: `${version}: go install, about 4 minutes, once`,
  provide: async () => {
    if (!(await which('go'))) {
      throw new Refusal(
        'the Temporal CLI is not installed, and there is no Go to build it with',
        'brew install temporal, or its own installer, or install Go',
      );
    }
    await mkdir(tools, { recursive: true });
    await removeHalfBuilt();
    const partial = await mkdtemp(join(tools, 'partial-'));
    try {
      // GOFLAGS and the workspace are the user's, for the user's own projects.
      const env = { GOBIN: partial, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' };
      await run('go', ['install', `${module}@v${version}`], { cwd: partial, env });
      await rename(partial, installed);
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
  },
};

async function removeHalfBuilt() {
  const left = (await readdir(tools)).filter((name) => name.startsWith('partial-'));
  await Promise.all(left.map((name) => rm(join(tools, name), { recursive: true, force: true })));
}
