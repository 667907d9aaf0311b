// One bootstrap of a user provides something at a time. A symbolic link is the lock: it is made, with its owner's process id
// as its target, in one step.
import { mkdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cache } from './places.mjs';

const lock = join(cache, 'bootstrap.lock');
const LOOK_AGAIN = 300;

/** Runs `act` while no other bootstrap runs its own; a dead owner's lock is taken over. */
export async function withLock(say, act) {
  await mkdir(cache, { recursive: true });
  for (let told = false; !(await take(lock)); told = true) {
    if (!told) say('another bootstrap is at work');
    await sleep(LOOK_AGAIN);
  }
  try {
    return await act();
  } finally {
    await rm(lock, { force: true });
  }
}

/**
 * Makes the link at `link`, or takes over that of a dead owner. Of several who find it dead, one may replace it: who makes
 * a link of its own for that, by the same rule. Whoever comes late finds another owner there, and leaves it alone.
 */
export async function take(link) {
  const mine = String(process.pid);
  if (await make(mine, link)) return true;
  const owner = await ownerOf(link);
  if (owner === undefined || isAlive(Number(owner))) return false;
  const claim = `${link}.${owner}`;
  if (!(await take(claim))) return false;
  try {
    if ((await ownerOf(link)) !== owner) return false;
    const fresh = `${link}.by-${mine}`;
    await rm(fresh, { force: true });
    await symlink(mine, fresh);
    await rename(fresh, link);
    return true;
  } finally {
    await rm(claim, { force: true });
  }
}

async function make(target, link) {
  try {
    await symlink(target, link);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  }
}

/** Undefined: it was let go meanwhile. */
const ownerOf = (link) => readlink(link).catch(() => undefined);

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
