// The programs as esbuild makes them: our sources and every package they use in a few files, so that an installed bottle
// has one dependency, Temporal's native core, and starts without looking through a thousand files for its modules.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
// What one of the packages asks of whoever loads it, as is done here to see its exports.
import 'reflect-metadata';

/** What bundled CommonJS packages take for granted and an ES module has not; `require` is for Node's own modules. */
const COMMONJS = [
  "import { createRequire as createRequire_ } from 'node:module';",
  "import { dirname as dirname_ } from 'node:path';",
  "import { fileURLToPath as fileURLToPath_ } from 'node:url';",
  'const require = createRequire_(import.meta.url);',
  'const __filename = fileURLToPath_(import.meta.url);',
  'const __dirname = dirname_(__filename);',
].join('\n');

const shared = (root) => ({
  bundle: true,
  write: false,
  metafile: true,
  platform: 'node',
  // A Node that is too old for all of it still runs the part that gets a newer one.
  target: 'node20',
  format: 'esm',
  banner: { js: COMMONJS },
  legalComments: 'none',
  logLevel: 'warning',
  absWorkingDir: root,
  outdir: join(root, 'dist'),
  outbase: join(root, 'src'),
  plugins: [optionalNatives, withoutBundler, withoutPromiseStacks, nativeCore],
});

/** `bottle`, and what else runs by itself on the host: chunks are shared and loaded when they are needed. */
export const clientOptions = (root) => ({
  ...shared(root),
  entryPoints: ['src/client/main.ts', 'src/host/machine/smolvm/relay-process.ts', 'src/tooling.ts'],
  plugins: [...shared(root).plugins, namedExports(root)],
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
});

/** The worker in one file, beside which its threads' own lies. */
export const workerOptions = (root) => ({
  ...shared(root),
  entryPoints: ['src/worker.ts'],
  plugins: [...shared(root).plugins, threadBeside],
});

/** What each of the worker's threads runs: they are found by `require.resolve`. */
export const threadOptions = (root) => ({
  ...shared(root),
  banner: {},
  format: 'cjs',
  outdir: undefined,
  outbase: undefined,
  outfile: join(root, 'dist', THREAD),
  entryPoints: ['node_modules/@temporalio/worker/lib/workflow/workflow-worker-thread.js'],
});

const THREAD = 'workflow-worker-thread.cjs';

/** Quicker ways for ssh, in native code that nobody has built: where they are missing, it does without. */
const optionalNatives = {
  name: 'optional natives',
  setup(build) {
    build.onResolve({ filter: /(^cpu-features$|\.node$)/ }, ({ path }) => ({ path, external: true }));
  },
};

/**
 * A CommonJS package that is loaded when it is needed is a chunk with a default export alone, where Node gives it its named
 * exports too: so it is loaded by way of a module that has them, as Node tells them.
 */
const namedExports = (root) => ({
  name: 'named exports',
  setup(build) {
    build.onResolve({ filter: /^(@[^/]+\/)?[^./][^:]*$/ }, ({ path, kind, namespace }) =>
      kind === 'dynamic-import' && namespace === 'file' ? { path, namespace: 'loaded' } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'loaded' }, async ({ path }) => {
      const names = Object.keys(await import(path)).filter((name) => /^[A-Za-z_$][\w$]*$/.test(name));
      return { contents: `export { ${names.join(', ')} } from ${JSON.stringify(path)};`, resolveDir: root };
    });
  },
});

/** The workflow code is bundled ahead, so webpack, swc and the debugger stay out. */
const withoutBundler = {
  name: 'without the bundler of workflow code',
  setup(build) {
    build.onLoad({ filter: /@temporalio\/worker\/lib\/workflow\/bundler\.js$/ }, () => ({
      contents: 'exports.defaultWorkflowInterceptorModules = [];',
    }));
    build.onLoad({ filter: /@temporalio\/worker\/lib\/debug-replayer\/index\.js$/ }, () => ({ contents: '' }));
  },
};

/**
 * The SDK keeps a stack trace of every promise of a workflow, for the query that Temporal's UI calls "Call Stack". That costs
 * each of a launch's turns, and tells a person less than the details and the steps do.
 */
const withoutPromiseStacks = {
  name: 'without a stack trace of each promise',
  setup(build) {
    build.onLoad({ filter: /@temporalio\/worker\/lib\/workflow\/vm-shared\.js$/ }, async ({ path }) => ({
      contents: replaceOnce(await readFile(path, 'utf8'), 'this.setPromiseHook();', ''),
    }));
  },
};

const CORE = '@temporalio/core-bridge/package.json';

/** The native core stays in its package, the one dependency that is left; what wraps it there is bundled. */
const nativeCore = {
  name: 'native core',
  setup(build) {
    build.onLoad({ filter: /@temporalio\/core-bridge\/common\.js$/ }, async ({ path }) => ({
      contents: replaceOnce(await readFile(path, 'utf8'), '__dirname', `path.dirname(require.resolve('${CORE}'))`),
    }));
    build.onResolve({ filter: new RegExp(`^${CORE}$`) }, ({ path }) => ({ path, external: true }));
  },
};

const threadBeside = {
  name: 'thread beside the worker',
  setup(build) {
    build.onLoad({ filter: /@temporalio\/worker\/lib\/workflow\/threaded-vm\.js$/ }, async ({ path }) => ({
      contents: replaceOnce(await readFile(path, 'utf8'), './workflow-worker-thread', `./${THREAD}`),
    }));
    build.onResolve({ filter: new RegExp(`^\\./${THREAD}$`) }, ({ path }) => ({ path, external: true }));
  },
};

/** A package that has changed in just this place is to be looked at again by a person. */
function replaceOnce(source, old, fresh) {
  const parts = source.split(old);
  if (parts.length !== 2) throw new Error(`"${old}" stands ${parts.length - 1} times where it stood once`);
  return parts.join(fresh);
}
