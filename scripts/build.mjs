// Builds dist/: the compiled sources, the workflow bundle that a worker starts from, and the bundle's single-file init.
// Everything is made in a folder of its own and swapped in at the end, so a failed build leaves the last good one.
// Types are not checked here (`npm run check` does): what runs in tests is what is on disk.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { buildStamp } from './build-stamp.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
// Inside node_modules: on dist's own file system, so that a rename swaps it in, and out of sight of git and the compiler.
const scratch = join(root, 'node_modules/.cache/bottleworks');
const fresh = join(scratch, `dist-${process.pid}`);
const dist = join(root, 'dist');

const PARTS = [
  { name: 'sources', entry: 'src', make: compile },
  { name: 'workflow bundle', entry: 'src/workflows/index.ts', make: bundleWorkflows },
  { name: "bundle's init", entry: 'src/bundle/init.ts', make: bundleInit },
];

async function build() {
  const stamp = await buildStamp(root);
  await rm(fresh, { recursive: true, force: true });
  await mkdir(join(fresh, 'bundle'), { recursive: true });
  try {
    const made = await Promise.all(PARTS.map(makePart));
    // Last, since the compiler writes a file of that name too.
    for (const finish of made) await finish?.();
    await makeRunnable(join(fresh, 'client/main.js'));
    await writeFile(join(fresh, '.stamp'), stamp);
    await swapIn();
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function makePart({ name, entry, make }) {
  if (!existsSync(join(root, entry))) return console.log(`skip    ${name}: no ${entry}`);
  const start = performance.now();
  const finish = await make(join(root, entry));
  console.log(`built   ${name}   ${Math.round(performance.now() - start)} ms`);
  return finish;
}

function compile() {
  const tsc = join(root, 'node_modules/.bin/tsc');
  return run(tsc, ['-p', 'tsconfig.build.json', '--noCheck', '--outDir', fresh]);
}

async function bundleWorkflows(workflowsPath) {
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const payloadConverterPath = join(root, 'src/workflows/payload-converter.ts');
  const { code } = await bundleWorkflowCode({ workflowsPath, payloadConverterPath, logger: new DefaultLogger('WARN') });
  await writeFile(join(fresh, 'workflow-bundle.js'), code);
}

async function bundleInit(entry) {
  const esbuild = await import('esbuild');
  const { outputFiles } = await esbuild.build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    // Inlined CommonJS packages call require for Node's own modules, which an ES module does not have.
    legalComments: 'inline',
    logLevel: 'warning',
    absWorkingDir: root,
  });
  return () => writeFile(join(fresh, 'bundle/init.js'), outputFiles[0].contents);
}

async function makeRunnable(file) {
  if (existsSync(file)) await chmod(file, 0o755);
}

async function swapIn() {
  const old = join(scratch, `old-${process.pid}`);
  try {
    await rename(dist, old);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  await rename(fresh, dist);
  await rm(old, { recursive: true, force: true });
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))));
  });
}

await build();
