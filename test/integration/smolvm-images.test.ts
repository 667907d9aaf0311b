/** Archives of images for the real smolvm: which are removed, and that no machine ever misses one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { machineName } from '../../src/core/names.ts';
import { smolmachineImage } from '../../src/core/smolmachine.ts';
import type { BottleRef } from '../../src/core/step-io.ts';
import { tryLock } from '../../src/host/file-lock.ts';
import type { MachineSpec } from '../../src/host/machine/driver.ts';
import { spawnSmolvm } from '../../src/host/machine/smolvm/cli.ts';
import { archiveFolder, imageSource, inUseLock, writeLock } from '../../src/host/machine/smolvm/image.ts';
import { createsLock } from '../../src/host/machine/smolvm/locks.ts';
import { smolvmDriver } from '../../src/host/machine/smolvm/machine.ts';
import { lifeCalls } from '../../src/host/machine/smolvm/processes.ts';
import { pruneArchives, staleArchives } from '../../src/host/machine/smolvm/prune.ts';
import { readRecord, readRecords } from '../../src/host/machine/smolvm/records.ts';
import { removeMachine } from '../../src/host/machine/smolvm/removal.ts';
import { archivesDirectory } from '../../src/host/machine/smolvm/state-directory.ts';
import { smolmachineDigest } from '../../src/host/smolmachine.ts';
import { obtainSmolvm } from '../../src/host/smolvm-package.ts';
import { NOBODYS, type SmolvmMachines, smolvmMachines } from '../support/smolvm-machines.ts';
import { importTiny } from '../support/tiny-image.ts';

const CALLER = fileURLToPath(new URL('../fixtures/smolvm-images-caller.ts', import.meta.url));

let cache: string;
let machines: SmolvmMachines;
/** All that a test has put on the Engine. */
const imported = new Set<string>();

beforeAll(async () => {
  cache = mkdtempSync('/tmp/bottle-cache-');
  machines = await smolvmMachines(await obtainSmolvm((line) => console.error(line)), cache);
});
afterAll(async () => {
  await machines.dispose();
  rmSync(cache, { recursive: true, force: true });
});
beforeEach(() => {
  rmSync(archiveFolder({ cache }), { recursive: true, force: true });
  rmSync(archivesDirectory(machines.smolvm.state), { recursive: true, force: true });
});
afterEach(async () => {
  for (const { name } of await readRecords(machines.smolvm))
    await removeMachine(machines.smolvm, name, () => undefined);
  for (const id of imported) await lose(id);
});

async function image(tag = `bottle-test-${randomUUID()}:tiny`): Promise<{ tag: string; id: string }> {
  const id = await importTiny(machines.site.docker, tag);
  imported.add(id);
  return { tag, id };
}

/** As when a person prunes images. */
async function lose(id: string): Promise<void> {
  await machines.site.docker
    .getImage(id)
    .remove({ force: true })
    .catch(() => undefined);
  imported.delete(id);
}

function prepared(tag: string): { bottle: BottleRef; spec: MachineSpec } {
  return { bottle: machines.site.bottle('vm'), spec: { ...machines.site.machineSpec(NOBODYS), image: tag } };
}

async function created(tag: string): Promise<BottleRef> {
  const { bottle, spec } = prepared(tag);
  await machines.driver.create(bottle, spec);
  return bottle;
}

const place = () => ({ docker: machines.site.docker, settings: machines.host.settings, smolvm: machines.smolvm });
const prune = (withinMs = 0) => pruneArchives(place(), withinMs);

const archiveOf = (id: string): string => path.join(archiveFolder({ cache }), `${id.replace('sha256:', '')}.tar`);
const ours = (): string[] => list(archiveFolder({ cache })).filter((file) => file.endsWith('.tar'));
const smolvms = (): string[] => list(archivesDirectory(machines.smolvm.state));
const list = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .sort()
        .map((name) => path.join(folder, name))
    : [];

/** The archive that a machine was made from, whether it is there or not. */
async function neededBy({ id }: BottleRef): Promise<string> {
  const record = await readRecord(machines.smolvm, machineName(id));
  return path.join(archivesDirectory(machines.smolvm.state), record?.image?.replace(/^local:/, '') ?? 'none');
}
const bytesIn = (folder: string): Buffer => readFileSync(path.join(folder, 'archive.tar'));

describe('pruning', () => {
  test('removes archives of images that the Engine has no more, and smolvm’s of machines that are gone', async () => {
    const [lost, kept] = [await image(), await image()];
    const [gone, stays] = [await created(lost.tag), await created(kept.tag)];
    const folders = { gone: await neededBy(gone), stays: await neededBy(stays) };
    expect(await staleArchives(place())).toEqual([]);
    expect(await prune()).toEqual({ archives: [], busy: false });

    await machines.driver.delete(gone.id);
    await lose(lost.id);
    const stale = [archiveOf(lost.id), folders.gone].map((each) => ({ path: each, bytes: expect.any(Number) }));
    expect(await staleArchives(place())).toEqual(stale);
    expect((await staleArchives(place())).every(({ bytes }) => bytes > 1000)).toBe(true);
    expect([ours().length, smolvms().length]).toEqual([2, 2]);

    expect(await prune()).toEqual({ archives: stale, busy: false });
    expect(ours()).toEqual([archiveOf(kept.id)]);
    expect(smolvms()).toEqual([folders.stays]);
    expect(await prune()).toEqual({ archives: [], busy: false });
  });

  test('leaves a machine what it was made from, also when the image has gone and ours of it with it', async () => {
    const { tag, id } = await image();
    const bottle = await created(tag);
    const content = readFileSync(archiveOf(id));
    await lose(id);
    expect((await prune()).archives.map((each) => each.path)).toEqual([archiveOf(id)]);
    expect(existsSync(archiveOf(id))).toBe(false);
    expect(bytesIn(await neededBy(bottle)).equals(content)).toBe(true);
  });

  test('leaves ours of an image that has just lost its tag, which the Engine still has', async () => {
    const tag = `bottle-test-${randomUUID()}:tiny`;
    const { id } = await image(tag);
    const bottle = await created(tag);
    await image(tag);
    await machines.driver.delete(bottle.id);
    const { archives } = await prune();
    expect(archives.map((each) => path.dirname(each.path))).toEqual([archivesDirectory(machines.smolvm.state)]);
    expect(ours()).toEqual([archiveOf(id)]);
  });

  test('is done by whoever makes a new archive', async () => {
    const tag = `bottle-test-${randomUUID()}:tiny`;
    const first = await image(tag);
    const { bottle, spec } = prepared(tag);
    await machines.driver.create(bottle, spec);
    const before = await neededBy(bottle);
    const second = await image(tag);
    await lose(first.id);
    // The machine is replaced, since its image is another.
    await machines.driver.create(bottle, spec);
    expect(ours()).toEqual([archiveOf(second.id)]);
    expect(smolvms()).toEqual([await neededBy(bottle)]);
    expect(smolvms()).not.toContain(before);
  });

  test('touches nothing that is no archive, and does not mind that there is nothing', async () => {
    expect(await prune()).toEqual({ archives: [], busy: false });
    const strange = [
      path.join(archiveFolder({ cache }), 'mine.tar'),
      path.join(archivesDirectory(machines.smolvm.state), 'mine'),
    ];
    for (const file of strange) {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, 'x');
    }
    expect(await prune()).toEqual({ archives: [], busy: false });
    expect(strange.every((file) => existsSync(file))).toBe(true);
  });

  test('removes what a killed process has half written, and not what is just being written', async () => {
    const half = path.join(archiveFolder({ cache }), `${randomUUID()}.partial`);
    mkdirSync(path.dirname(half), { recursive: true });
    writeFileSync(half, 'half');
    const lock = tryLock(writeLock({ cache }));
    expect(await staleArchives(place())).toEqual([]);
    expect((await prune()).archives).toEqual([]);
    lock?.release();
    const stale = [{ path: half, bytes: 4 }];
    expect(await staleArchives(place())).toEqual(stale);
    expect((await prune()).archives).toEqual(stale);
    expect(existsSync(half)).toBe(false);
  });

  test('without smolvm, or where it does not say what machines are made from, leaves its archives alone', async () => {
    const { tag, id } = await image();
    const bottle = await created(tag);
    await machines.driver.delete(bottle.id);
    await lose(id);
    const { archives } = await pruneArchives({ ...place(), smolvm: undefined }, 0);
    expect(archives.map((each) => each.path)).toEqual([archiveOf(id)]);
    const silent = path.join(cache, 'silent-smolvm');
    writeFileSync(silent, '#!/bin/sh\necho \'[{"name":"x","state":"created","labels":{}}]\'\n', { mode: 0o755 });
    const smolvm = { ...machines.smolvm, program: { path: silent } };
    await expect(pruneArchives({ ...place(), smolvm }, 0)).rejects.toMatchObject({ code: 'INTERNAL' });
    writeFileSync(silent, '#!/bin/sh\nexit 1\n');
    await expect(pruneArchives({ ...place(), smolvm }, 0)).rejects.toThrow();
    expect(smolvms()).toHaveLength(1);
  });

  test('of which a part was done when it was killed goes on, and the archive is made again when it is needed', async () => {
    const { tag } = await image();
    const bottle = await created(tag);
    const folder = await neededBy(bottle);
    await machines.driver.delete(bottle.id);
    rmSync(path.join(folder, 'archive.tar'));
    expect(await staleArchives(place())).toEqual([{ path: folder, bytes: 0 }]);
    const again = await created(tag);
    expect(await neededBy(again)).toBe(folder);
    expect(bytesIn(folder).length).toBeGreaterThan(1000);
    await machines.driver.delete(again.id);
    rmSync(path.join(folder, 'archive.tar'));
    expect((await prune()).archives).toEqual([{ path: folder, bytes: 0 }]);
    expect(smolvms()).toEqual([]);
  });
});

test('a machine that never started and has lost what it would start from is made again', async () => {
  const { tag } = await image();
  const { bottle, spec } = prepared(tag);
  await machines.driver.create(bottle, spec);
  const before = await machines.identity(bottle.id);
  rmSync(await neededBy(bottle), { recursive: true });
  await machines.driver.create(bottle, spec);
  expect(await machines.identity(bottle.id)).not.toBe(before);
  expect(bytesIn(await neededBy(bottle)).length).toBeGreaterThan(1000);
});

describe('a machine that is just being made', () => {
  test('keeps every archive: nobody is told that it was pruned, and those who can wait are not kept for long', async () => {
    const { tag, id } = await image();
    const bottle = await created(tag);
    await machines.driver.delete(bottle.id);
    await lose(id);
    for (const file of [inUseLock({ cache }), createsLock(machines.host.settings)]) {
      const create = tryLock(file, 'shared');
      const { archives, busy } = await prune();
      expect(busy).toBe(true);
      expect(archives).toHaveLength(file === inUseLock({ cache }) ? 1 : 0);
      setTimeout(() => create?.release(), 200);
      expect((await prune(10_000)).busy).toBe(false);
      // Anew, for the other lock.
      rmSync(archiveFolder({ cache }), { recursive: true });
      mkdirSync(archiveFolder({ cache }));
    }
    expect(smolvms()).toEqual([]);
  });

  test('keeps them for as long as smolvm takes, however many others are made beside it', async () => {
    const { tag } = await image();
    const held = path.join(cache, 'held');
    const slow = path.join(cache, 'slow-smolvm');
    const wait = `[ "$1 $2" = "machine create" ] && touch ${held} && while [ -e ${held} ]; do sleep 0.02; done`;
    writeFileSync(slow, `#!/bin/sh\n${wait}\nexec ${machines.smolvm.program.path} "$@"\n`, { mode: 0o755 });
    const driver = smolvmDriver(machines.host, { find: async () => ({ ...machines.smolvm.program, path: slow }) });
    const { bottle, spec } = prepared(tag);
    const making = driver.create(bottle, spec);
    await expect.poll(() => existsSync(held)).toBe(true);
    const locks = [inUseLock({ cache }), createsLock(machines.host.settings)];
    expect(locks.map((file) => tryLock(file))).toEqual([null, null]);
    expect(await prune()).toEqual({ archives: [], busy: true });
    await created(tag);
    rmSync(held);
    await making;
    expect(await prune()).toEqual({ archives: [], busy: false });
    expect(smolvms()).toEqual([await neededBy(bottle)]);
  });

  test('has its archive until it is made, also when the Engine has lost the image meanwhile', async () => {
    const { tag, id } = await image();
    const source = await imageSource(machines.host, tag);
    await source.use(async (file) => {
      await lose(id);
      expect(await prune()).toMatchObject({ archives: [], busy: true });
      expect(existsSync(file)).toBe(true);
    });
    expect((await prune()).archives.map((each) => each.path)).toEqual([archiveOf(id)]);
  });

  test('gets an archive made anew when it was pruned before it could be kept', async () => {
    const { tag, id } = await image();
    const source = await imageSource(machines.host, tag);
    let pruned = 0;
    const made = async (): Promise<void> => {
      if (pruned++ === 0) rmSync(archiveOf(id));
    };
    expect(await source.use(async (file) => readFileSync(file).length, made)).toBeGreaterThan(1000);
    expect(pruned).toBe(2);
  });

  test('by a smolvm whose caller is dead keeps smolvm’s archives until it has its record', async () => {
    // So large that it takes a while to be hashed, and of nothing but holes.
    const file = path.join(cache, 'large.tar');
    writeFileSync(file, '');
    truncateSync(file, 512 * 1024 ** 2);
    const orphan = () => {
      const call = spawnSmolvm(machines.smolvm, ['machine', 'create'], ['--name', 'orphan', '--image', file], false);
      for (const stream of [call.stdout, call.stderr]) stream.resume();
      return call.ended;
    };
    expect(await orphan()).toEqual({ exitCode: 0 });
    await removeMachine(machines.smolvm, 'orphan', () => undefined);
    const folders = smolvms();
    expect((await staleArchives(place())).map((each) => each.path)).toEqual(folders);

    const ended = orphan();
    const [create] = await pollFor(() => lifeCalls(machines.smolvm.state, 'orphan'));
    process.kill(create?.pid ?? 0, 'SIGSTOP');
    try {
      expect(await prune(100)).toMatchObject({ archives: [], busy: true });
      expect(smolvms()).toEqual(folders);
    } finally {
      process.kill(create?.pid ?? 0, 'SIGCONT');
    }
    expect(await ended).toEqual({ exitCode: 0 });
    expect(await prune()).toEqual({ archives: [], busy: false });
    expect(smolvms()).toEqual(folders);
    rmSync(file);
  });
});

describe('many processes', () => {
  test('make machines while others prune, on the same cache with another Engine too: none fails, none misses its archive', async () => {
    const tags = [(await image()).tag, (await image()).tag];
    const makers = [0, 1, 2].map((index) => start('make', prepared(tags[index % 2] ?? '')));
    // The other one of another cache, so that nothing of ours is in its way to smolvm's.
    const pruners = [start('prune'), start('prune', {}, { cache: path.join(cache, 'none') })];
    const all = [...makers, ...pruners];
    const rounds = (): number => Math.min(...makers.map(({ output }) => output().split('\n').length - 2));
    for (const until = Date.now() + 240_000; rounds() < 8 && Date.now() < until && all.every(isRunning); )
      await sleep(100);
    const made = rounds();
    const ended = await Promise.all(all.map(end));
    expect(ended.map(({ code, said }) => (code === 0 ? 'well' : said))).toEqual(Array(5).fill('well'));
    const pruned = ended.slice(3).flatMap(({ lines }) => lines.join(' ').match(/\S+/g) ?? []);
    // Otherwise they have not met: each machine has its own archive made, and each is removed again.
    expect(made).toBeGreaterThanOrEqual(8);
    expect(pruned.filter((name) => name.endsWith('.tar')).length).toBeGreaterThan(5);
    expect(pruned.filter((name) => !name.endsWith('.tar')).length).toBeGreaterThan(5);
  });

  test('killed in the midst of pruning leave nothing that is not mended by the next create and the next pruning', async () => {
    const { tag, id } = await image();
    const stays = await created(tag);
    for (let round = 0; round < 8; round++) {
      const maker = start('make', prepared(tag));
      const pruner = start('prune');
      await sleep(600 + Math.floor(Math.random() * 400));
      pruner.child.kill('SIGKILL');
      await once(pruner.child, 'exit');
      expect(await end(maker)).toMatchObject({ code: 0 });
      expect(bytesIn(await neededBy(stays)).length).toBeGreaterThan(1000);
    }
    const next = await created(tag);
    expect(await neededBy(next)).toBe(await neededBy(stays));
    expect((await prune(10_000)).busy).toBe(false);
    expect(smolvms()).toEqual([await neededBy(stays)]);
    expect(ours()).toEqual([archiveOf(id)]);
  });
});

test('a packed machine that is another than the plan says is not made, and one that was made is that one whatever became of its file', async () => {
  const file = path.join(cache, 'guest.smolmachine');
  writeFileSync(file, 'no pack at all');
  const digest = await smolmachineDigest(file);
  const planned = smolmachineImage({ file, digest });
  expect(await imageSource(machines.host, planned)).toMatchObject({ option: '--from', id: digest });
  const { bottle, spec } = prepared(planned);
  // What is in it is smolvm's to say.
  await expect(machines.driver.create(bottle, spec)).rejects.toMatchObject({
    message: expect.stringContaining('create'),
  });
  writeFileSync(file, 'another pack');
  await expect(machines.driver.create(bottle, spec)).rejects.toMatchObject({
    code: 'IMAGE_MISSING',
    message: `the packed machine ${file} is another than when the launch was planned`,
  });
  rmSync(file);
  await expect(machines.driver.create(bottle, spec)).rejects.toMatchObject({ code: 'IMAGE_MISSING' });
  expect((await imageSource(machines.host, planned)).id).toBe(digest);
});

interface Caller {
  child: ChildProcess;
  output(): string;
}

function start(verb: 'make' | 'prune', made: Partial<ReturnType<typeof prepared>> = {}, elsewhere = {}): Caller {
  const { owner } = machines.host;
  const settings = { ...machines.host.settings, ...elsewhere };
  const input = JSON.stringify({ verb, ...made, owner, settings, smolvm: machines.smolvm });
  const child = spawn(process.execPath, [CALLER, input], { stdio: 'pipe' });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  return { child, output: () => output };
}

const isRunning = ({ child }: Caller): boolean => child.exitCode === null && child.signalCode === null;

/** Lets it finish what it does. */
async function end(caller: Caller): Promise<{ code: number | null; lines: string[]; said: string }> {
  const { child, output } = caller;
  child.stdin?.end();
  if (isRunning(caller)) await once(child, 'close');
  const [, ...lines] = output().trimEnd().split('\n');
  return { code: child.exitCode, lines, said: output() };
}

async function pollFor<T>(ask: () => Promise<T[]>): Promise<T[]> {
  for (const deadline = Date.now() + 120_000; Date.now() < deadline; ) {
    const found = await ask();
    if (found.length > 0) return found;
  }
  throw new Error('it did not come');
}

test('an archive that was emptied is made anew', async () => {
  const { tag, id } = await image();
  await created(tag);
  const whole = statSync(archiveOf(id)).size;
  truncateSync(archiveOf(id));
  const second = await created(tag);
  expect(statSync(archiveOf(id)).size).toBe(whole);
  expect(bytesIn(await neededBy(second)).length).toBe(whole);
});

test('creates at once each find the archive linked where smolvm looks, so that none copies it onto itself', async () => {
  const { tag, id } = await image();
  const { spec } = prepared(tag);
  const program = path.join(cache, 'smolvm-that-must-find-its-archive');
  const found = path.join(cache, 'found');
  // As smolvm itself would see it when it begins.
  const look = `[ "$1 $2" = "machine create" ] && find ${archivesDirectory(machines.smolvm.state)} -samefile ${archiveOf(id)} >> ${found}`;
  writeFileSync(program, `#!/bin/sh\n${look}\nexec ${machines.smolvm.program.path} "$@"\n`, { mode: 0o755 });
  const driver = smolvmDriver(machines.host, { find: async () => ({ ...machines.smolvm.program, path: program }) });
  const bottles = Array.from({ length: 6 }, () => machines.site.bottle('vm'));
  const [first] = bottles;
  await Promise.all(bottles.map((each) => driver.create(each, spec)));
  const linked = path.join(await neededBy(first as BottleRef), 'archive.tar');
  expect(readFileSync(found, 'utf8').trim().split('\n')).toEqual(bottles.map(() => linked));
});
