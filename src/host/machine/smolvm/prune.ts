/**
 * Removes archives of images that nobody needs any more: ours of images that the Engine has no more, and those that smolvm
 * keeps for machines that are gone. (Most are one file under two names, a hard link, so its place is free only without
 * both.) Never under a create: it shares a lock from when it looks for its archive until its record tells what it needs.
 */
import { existsSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type Dockerode from 'dockerode';
import { BottleError } from '../../../core/errors.ts';
import { engine } from '../../docker.ts';
import { lockWithin, tryLock } from '../../file-lock.ts';
import type { Settings } from '../../settings.ts';
import type { Smolvm } from './cli.ts';
import { archivedImage, archiveFolder, inUseLock, PARTIAL, writeLock } from './image.ts';
import { createsLock } from './locks.ts';
import { isGone, lifeCalls } from './processes.ts';
import { type MachineRecord, readRecords } from './records.ts';
import { ARCHIVE, archiveIn, archivesDirectory } from './state-directory.ts';

export interface StaleArchive {
  /** Absolute path: a file of ours, or a folder of smolvm's. */
  path: string;
  bytes: number;
}

export interface PrunePlace {
  docker: Dockerode;
  settings: Pick<Settings, 'state' | 'cache'>;
  /** Undefined: there is none that could tell what its machines need. */
  smolvm: Smolvm | undefined;
}

export interface Pruned {
  archives: StaleArchive[];
  /** Machines were being made, or archives written, all the time, so some were not even looked at. */
  busy: boolean;
}

const SHA256 = /[0-9a-f]{64}/g;

/**
 * What {@link pruneArchives} would remove now.
 * @throws BottleError `DOCKER_UNREACHABLE`; what {@link readRecords} throws
 */
export async function staleArchives(place: PrunePlace): Promise<StaleArchive[]> {
  return [...(await staleOfOurs(place)), ...(await staleOfSmolvm(place))];
}

/**
 * @param withinMs how long to wait for machines that are just being made
 * @throws BottleError `DOCKER_UNREACHABLE`; what {@link readRecords} throws
 */
export async function pruneArchives(place: PrunePlace, withinMs: number): Promise<Pruned> {
  const ours = await pruneOurs(place, withinMs);
  const theirs = await pruneSmolvms(place, withinMs);
  return { archives: [...ours.archives, ...theirs.archives], busy: ours.busy || theirs.busy };
}

const NOTHING: Pruned = { archives: [], busy: false };
const BUSY: Pruned = { archives: [], busy: true };

async function pruneOurs(place: PrunePlace, withinMs: number): Promise<Pruned> {
  if (!existsSync(archiveFolder(place.settings))) return NOTHING;
  const lock = await lockWithin(inUseLock(place.settings), withinMs);
  if (lock === null) return BUSY;
  try {
    return { archives: await removeAll(await staleOfOurs(place)), busy: false };
  } finally {
    lock.release();
  }
}

async function staleOfOurs({ docker, settings }: PrunePlace): Promise<StaleArchive[]> {
  const folder = archiveFolder(settings);
  const names = await readdir(folder).catch(() => []);
  const images = await engine('list images', () => docker.listImages({ all: true }));
  const there = new Set(images.map(({ Id }) => Id));
  const orphans = names.filter((name) => {
    const image = archivedImage(name);
    return image !== undefined && !there.has(image);
  });
  return sized([...orphans, ...abandoned(settings, names)].map((name) => path.join(folder, name)));
}

/** Left half-written by a process that was killed: with the lock free, nobody writes any of them. */
function abandoned(settings: Pick<Settings, 'cache'>, names: readonly string[]): string[] {
  const partial = names.filter((name) => name.endsWith(PARTIAL));
  const lock = partial.length === 0 ? null : tryLock(writeLock(settings));
  lock?.release();
  return lock === null ? [] : partial;
}

/**
 * Whether a machine could start for the first time: later it has disks of its own. Who emptied smolvm's cache by hand has
 * taken that from it.
 */
export function hasItsArchive({ state }: Smolvm, record: MachineRecord): boolean {
  const folder = archivesDirectory(state);
  if (record.state !== 'created' || !existsSync(folder)) return true;
  return (record.image?.match(SHA256) ?? []).every((sha256) => existsSync(archiveIn(folder, sha256)));
}

async function pruneSmolvms(place: PrunePlace, withinMs: number): Promise<Pruned> {
  const { smolvm } = place;
  if (smolvm === undefined || !existsSync(archivesDirectory(smolvm.state))) return NOTHING;
  const lock = await lockWithin(createsLock(place.settings), withinMs);
  if (lock === null) return BUSY;
  try {
    if (!(await nobodyCreates(smolvm, withinMs))) return BUSY;
    return { archives: await removeAll(await staleOfSmolvm(place)), busy: false };
  } finally {
    lock.release();
  }
}

/** The smolvm of a process that was killed goes on with its create, and holds no lock of ours. */
async function nobodyCreates({ state }: Smolvm, withinMs: number): Promise<boolean> {
  const creates = (await lifeCalls(state)).filter(({ verb }) => verb === 'create');
  return (await Promise.all(creates.map((each) => isGone(each, withinMs)))).every((gone) => gone);
}

async function staleOfSmolvm({ smolvm }: PrunePlace): Promise<StaleArchive[]> {
  if (smolvm === undefined) return [];
  const folder = archivesDirectory(smolvm.state);
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.match(SHA256)?.[0] === name);
  if (names.length === 0) return [];
  const needed = new Set((await readRecords(smolvm)).flatMap(neededBy));
  const stale = names.filter((name) => !needed.has(name)).map((name) => path.join(folder, name));
  return sized(stale, ARCHIVE);
}

/** @throws BottleError `INTERNAL` for a record that does not say: that is not none */
function neededBy({ name, image }: MachineRecord): string[] {
  if (image === undefined) throw new BottleError('INTERNAL', `smolvm does not say what ${name} was made from`);
  return image?.match(SHA256) ?? [];
}

/** @param within the file that counts where the paths are folders; gone, if whoever removed it was killed half-way */
async function sized(paths: readonly string[], within = ''): Promise<StaleArchive[]> {
  const size = (file: string): Promise<number> =>
    stat(file).then(
      (found) => found.size,
      () => 0,
    );
  return Promise.all(
    paths.toSorted().map(async (each) => ({ path: each, bytes: await size(path.join(each, within)) })),
  );
}

async function removeAll(stale: StaleArchive[]): Promise<StaleArchive[]> {
  for (const each of stale) await rm(each.path, { recursive: true, force: true });
  return stale;
}
