// One bootstrap of a user provides something at a time. A symbolic link is the lock: it is made, with its owner's process id
// as its target, in one step.
import { mkdir, readlink, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cache } from './places.mjs';

const lock = join(cache, 'bootstrap.lock');
const LOOK_AGAIN = 300;

/** Runs `act` while no other bootstrap runs its own; a dead owner's lock is taken over. */
export async function withLock(say, act) {
  await mkdir(cache, { recursive: true });
  for (let told = false; !(await take()); told = true) {
    if (!told) say('another bootstrap is at work');
    await sleep(LOOK_AGAIN);
  }
  try {
    return await act();
  } finally {
    await rm(lock, { force: true });
  }
}

async function take() {
  try {
    await symlink(String(process.pid), lock);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  const owner = Number(await readlink(lock).catch(() => process.pid));
  if (!isAlive(owner)) await rm(lock, { force: true });
  return false;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
