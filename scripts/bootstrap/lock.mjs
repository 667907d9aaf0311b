// One bootstrap of a user provides something at a time. A symbolic link is the lock: it is made, with its owner's process id
// and start as its target, in one step. (After a reboot another program may have that id.)
import { execFile } from 'node:child_process';
import { mkdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
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
  const mine = `${process.pid}-${await startOf(process.pid)}`;
  if (await make(mine, link)) return true;
  const owner = await ownerOf(link);
  if (owner === undefined || (await isAlive(owner))) return false;
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

async function isAlive(owner) {
  const [pid, started] = owner.split('-');
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if (error.code !== 'EPERM') return false;
  }
  // An earlier version did not say when.
  return started === undefined || (await startOf(pid)) === started;
}

/** When a process started, in whatever form the host has it, without what no file's name should hold. */
async function startOf(pid) {
  if (process.platform !== 'linux') {
    const asked = promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], {
      env: { ...process.env, LC_ALL: 'C' },
    });
    const { stdout } = await asked.catch(() => ({ stdout: '' }));
    return stdout.replace(/\W/g, '');
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // What follows the name, which may hold blanks and brackets: state, parent, ..., start in clock ticks since boot.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}
