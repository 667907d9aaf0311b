/**
 * A bottle that an earlier version of bottle launched, under the worker of this one: served, healed, changed and taken down.
 * `npm run generations [-- COMMIT]`; without one, the last commit whose histories had no end. Both versions are built from their own
 * sources, with the packages of this checkout, and work on one state, one server and one Engine.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { StatusDocument } from '../../src/core/status.ts';
import { callTool } from '../support/call-tool.ts';
import { docker, type Installation, installation, isReady, root, uniqueId } from '../support/installation.ts';

const EARLIER = '5ad6ca08b7165b0f51b75a415f16f46391b37b4d';
const run = promisify(execFile);
const commit = process.argv[2] ?? EARLIER;
const git = (...args: string[]) => run('git', ['-C', root, ...args]);

const known = await git('cat-file', '-e', `${commit}^{commit}`).then(
  () => true,
  () => false,
);
if (!known) {
  console.log(`left out: this checkout's history does not have ${commit} (a shallow clone, or a copy without one)`);
  process.exit(0);
}

const folder = await mkdtemp(path.join(os.tmpdir(), 'bottle-generation-'));
const earlier = path.join(folder, 'checkout');
let it: Installation | undefined;
// Interrupted, it tidies up as at its end; a second time, it just ends.
const interrupted = Promise.withResolvers<never>();
const over = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(name, () => {
    over.abort();
    interrupted.reject(new Error(`interrupted (${name})`));
  });
try {
  await Promise.race([compare(), interrupted.promise]);
  console.log(`a bottle of ${commit.slice(0, 7)} was served, healed, changed and taken down by this version`);
} catch (error) {
  if (!over.signal.aborted) throw error;
  say((error as Error).message);
  process.exitCode = 1;
} finally {
  await it?.dispose();
  await git('worktree', 'remove', '--force', earlier).catch(() => undefined);
  await rm(folder, { recursive: true, force: true });
}
process.exit();

async function compare(): Promise<void> {
  await git('worktree', 'add', '--detach', earlier, commit);
  await symlink(path.join(root, 'node_modules'), path.join(earlier, 'node_modules'));
  for (const where of [earlier, root]) {
    say(`building ${where === root ? 'this version' : commit.slice(0, 7)}`);
    for (const script of [['build.mjs'], ['images.mjs', 'guest', 'bundle']]) {
      const [file = '', ...args] = script;
      await run(process.execPath, [path.join(where, 'scripts', file), ...args], { cwd: where, signal: over.signal });
    }
  }
  over.signal.throwIfAborted();
  it = await installation();
  await play(it, path.relative(root, path.join(earlier, 'dist/worker.js')));
}

async function play(it: Installation, earlierWorker: string): Promise<void> {
  it.writeBottle('asking', 'supervise: true');
  it.writeAgent('demo', 'bottle: asking\nimage: minimal', 'Be kind.');
  const id = uniqueId('elder');
  const before = await it.startWorker(undefined, earlierWorker);
  await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, isReady);
  await answer(id, 'before.test');
  say('launched and answered by the earlier version; its worker is killed');
  await before.kill();

  await it.startWorker();
  const served = await it.waitFor(id, isReady);
  expectThat('its request is known', served.requests[0]?.state === 'approved');
  await answer(id, 'after.test');
  say('answered by this version');
  for (const part of ['bundle', 'machine']) {
    const checks = attempts(await it.status(id), 'check');
    await docker.getContainer(`bottle-${id}-${part}`).kill();
    await it.waitFor(id, (status) => isReady(status) && attempts(status, 'check') > checks);
    say(`healed: ${part}`);
  }
  it.writeAgent('demo', 'bottle: asking\nimage: minimal', 'Be brief.');
  const handle = it.client.workflow.getHandle(id);
  const applied = await handle.executeUpdate<string, []>('apply');
  expectThat(`apply takes the prompt over (${applied})`, applied.includes('provision.prompt'));
  await it.waitFor(id, isReady);
  const left = await it.down(id);
  expectThat(`nothing is left (${left.join()})`, left.length === 0);
  say('changed, and taken down');

  async function answer(of: string, host: string): Promise<void> {
    const asked = await callTool(of, 'request_egress_route', { host, methods: ['GET'], reason: 'to see' });
    const request = String(asked['requestId']);
    await it.waitFor(of, ({ requests }) => requests.some((each) => each.id === request));
    await it.client.workflow.getHandle(of).executeUpdate('decide', { args: [{ request, decision: 'approve' }] });
    await it.waitFor(of, isReady);
  }
}

function attempts({ steps }: StatusDocument, step: string): number {
  return steps.find(({ id }) => id === step)?.attempts ?? 0;
}

function expectThat(what: string, holds: boolean): void {
  if (!holds) throw new Error(`not so: ${what}`);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
