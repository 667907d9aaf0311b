// Makes sure that everything bottleworks is built, tested and run with is there, then runs a command with it:
//
//   node scripts/bootstrap.mjs [--quiet] [--images kind,kind...] [--then command args...]
//
// Runs on any Node from 18 on and needs no package: it is what installs them. It never asks. One line a thing on stderr;
// with --quiet only what had to be done. Of the images, just those that are named, or all. Exit code: 1 when something is missing that it may not install, else the command's.
import { performance } from 'node:perf_hooks';
import { build } from './bootstrap/build.mjs';
import { dockerEngine } from './bootstrap/docker-engine.mjs';
import { images } from './bootstrap/images.mjs';
import { withLock } from './bootstrap/lock.mjs';
import { node24, packages } from './bootstrap/packages.mjs';
import { runInstead } from './bootstrap/processes.mjs';
import { reporter } from './bootstrap/progress.mjs';
import { Refusal } from './bootstrap/refusal.mjs';
import { tools } from './bootstrap/tools.mjs';

/**
 * What is needed, in the order in which one thing needs another.
 *
 * @typedef {object} Thing
 * @property {string} name
 * @property {() => Promise<string | undefined>} look what there is, in a few words; undefined when it has to be provided
 * @property {string} plan what providing it means, and how long that takes
 * @property {(say: (line: string) => void) => Promise<string | void>} provide says what there is now, or leaves it to
 *   another look; throws a Refusal where it may not
 */
const things = (kinds) => [packages, node24, dockerEngine, build, ...tools, images(kinds)];

async function main([...args]) {
  const quiet = args[0] === '--quiet' && args.shift() !== undefined;
  const kinds = args[0] === '--images' ? args.splice(0, 2)[1].split(',') : [];
  const then = args[0] === '--then' ? args.slice(1) : [];
  if (args.length > 0 && then.length === 0) {
    throw new Refusal(
      `unknown argument ${args[0]}`,
      'bootstrap.mjs [--quiet] [--images kinds] [--then command args...]',
      'USAGE',
    );
  }
  for (const thing of things(kinds)) await ensure(thing, reporter(quiet));
  if (then.length > 0) runInstead(then);
}

async function ensure(thing, report) {
  const start = performance.now();
  const found = await thing.look();
  if (found !== undefined) return report.found(thing.name, found, performance.now() - start);

  // One at a time for this user: two npm installs in one folder would spoil each other.
  await withLock(report.say, async () => {
    const meanwhile = await thing.look();
    if (meanwhile !== undefined) return report.found(thing.name, meanwhile, performance.now() - start);
    const progress = report.begin(thing.name, thing.plan);
    try {
      const provided = (await thing.provide(progress.say)) ?? (await thing.look());
      if (provided === undefined) throw new Refusal(`${thing.name} is still missing after it was installed`);
      progress.done(provided, performance.now() - start);
    } finally {
      progress.stop();
    }
  });
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`error[${error.code}]: ${error.message}\n`);
  if (error.hint) process.stderr.write(`hint: ${error.hint}\n`);
  process.exitCode = error.code === 'USAGE' ? 2 : 1;
}
