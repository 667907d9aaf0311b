// The npm packages, and with them Node 24, which npm's `node` package brings whatever Node the host has.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { node24Path, root } from './places.mjs';
import { run } from './processes.mjs';
import { proxyVariables } from './proxy.mjs';

// In node_modules, so that whoever removes that removes this.
const stamp = join(root, 'node_modules/.bottleworks-packages');

export const packages = {
  name: 'npm packages',
  look: async () => ((await lockHash()) === (await readFile(stamp, 'utf8').catch(() => '')) ? 'installed' : undefined),
  plan: 'npm ci, about a minute',
  provide: async () => {
    const installed = await lockHash();
    // Who reads config.yaml comes with the packages: the first time npm has its own settings alone.
    const env = await proxyVariables().catch(() => ({}));
    await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=warn'], { env });
    await writeFile(`${stamp}.${process.pid}`, installed);
    await rename(`${stamp}.${process.pid}`, stamp);
  },
};

export const node24 = {
  name: 'Node 24',
  look: async () => {
    const { stdout } = await promisify(execFile)(node24Path, ['--version']).catch(() => ({ stdout: '' }));
    return stdout.startsWith('v24.') ? stdout.trim().slice(1) : undefined;
  },
  // npm ci brings it, unless npm is set to run no install scripts.
  plan: 'npm rebuild node, some seconds',
  provide: async () => void (await run('npm', ['rebuild', 'node', '--ignore-scripts=false'])),
};

async function lockHash() {
  return createHash('sha256')
    .update(await readFile(join(root, 'package-lock.json')))
    .digest('hex');
}
