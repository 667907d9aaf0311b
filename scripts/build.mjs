// Builds dist/: the programs with every package they use, the workflow bundle that a worker starts from, the bundle's
// single-file init, and the licences of all that is in them.
// Everything is made in a folder of its own and swapped in at the end, so a failed build leaves the last good one.
// Types are not checked here (`npm run check` does): what runs in tests is what is on disk.
import { chmod, copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';
import { thirdParty } from './build/licences.mjs';
import { clientOptions, threadOptions, workerOptions } from './build/programs.mjs';
import { buildStamp } from './build-stamp.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
// Inside node_modules: on dist's own file system, so that a rename swaps it in, and out of sight of git and the compiler.
const scratch = join(root, 'node_modules/.cache/bottleworks');
const fresh = join(scratch, `dist-${process.pid}`);
const dist = join(root, 'dist');

/** Each makes its part and tells which files went into it. */
const PARTS = [
  { name: 'bottle', make: () => bundle(clientOptions(root)) },
  { name: 'worker', make: () => bundle(workerOptions(root)) },
  { name: "worker's threads", make: () => bundle(threadOptions(root)) },
  { name: 'source maps', make: copySourceMapReader },
  { name: 'workflow bundle', make: bundleWorkflows },
  { name: "bundle's init", make: bundleInit },
];

async function build() {
  const stamp = await buildStamp(root);
  await rm(fresh, { recursive: true, force: true });
  await mkdir(join(fresh, 'bundle'), { recursive: true });
  try {
    const inputs = (await Promise.all(PARTS.map(makePart))).flat();
    await writeFile(join(fresh, 'THIRD_PARTY.txt'), await thirdParty(root, inputs));
    await chmod(join(fresh, 'client/main.js'), 0o755);
    await writeFile(join(fresh, '.stamp'), stamp);
    await swapIn();
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function makePart({ name, make }) {
  const start = performance.now();
  const inputs = await make();
  console.log(`built   ${name}   ${Math.round(performance.now() - start)} ms`);
  return inputs;
}

async function bundle(options) {
  const { outputFiles, metafile } = await esbuild.build(options);
  for (const { path, contents } of outputFiles) {
    const file = join(fresh, relative(dist, path));
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, contents);
  }
  return Object.keys(metafile.inputs);
}

/** The reader of source maps loads this from beside the program it is in. */
async function copySourceMapReader() {
  await copyFile(join(root, 'node_modules/source-map/lib/mappings.wasm'), join(fresh, 'mappings.wasm'));
  return [];
}

async function bundleWorkflows() {
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const workflowsPath = join(root, 'src/workflows/index.ts');
  const payloadConverterPath = join(root, 'src/workflows/payload-converter.ts');
  const { code } = await bundleWorkflowCode({ workflowsPath, payloadConverterPath, logger: new DefaultLogger('WARN') });
  await writeFile(join(fresh, 'workflow-bundle.js'), code);
  // Everything else in it went into the worker too.
  return ['node_modules/@temporalio/workflow/package.json'];
}

async function bundleInit() {
  const { outputFiles, metafile } = await esbuild.build({
    entryPoints: ['src/bundle/init.ts'],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    legalComments: 'inline',
    logLevel: 'warning',
    absWorkingDir: root,
  });
  await writeFile(join(fresh, 'bundle/init.js'), outputFiles[0].contents);
  return Object.keys(metafile.inputs);
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

await build();
