import { mkdtemp, readdir, readlink, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const { take } = (await import(new URL('../../../scripts/bootstrap/lock.mjs', import.meta.url).href)) as {
  take(link: string): Promise<boolean>;
};
/** Above what Linux and macOS give to a process. */
const DEAD = '4999999';
let directory: string;
let link: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'bottle-lock-'));
  link = path.join(directory, 'lock');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const taken = async (): Promise<boolean[]> =>
  (await Promise.all(Array.from({ length: 20 }, () => take(link)))).filter(Boolean);

test("of many who find a dead owner's lock at once, one takes it over, and leaves nothing else behind", async () => {
  await symlink(DEAD, link);
  expect(await taken()).toEqual([true]);
  expect(await readlink(link)).toMatch(new RegExp(`^${process.pid}-\\w+$`));
  expect(await readdir(directory)).toEqual(['lock']);
});

test('one who died while taking it over is taken over too', async () => {
  await symlink(DEAD, link);
  await symlink(DEAD, `${link}.${DEAD}`);
  expect(await taken()).toEqual([true]);
  expect(await readdir(directory)).toEqual(['lock']);
});

test('that of a live owner is left alone', async () => {
  await symlink(String(process.ppid), link);
  expect(await taken()).toEqual([]);
});

test('that of a dead owner whose number another program has by now is taken over', async () => {
  await symlink(`${process.ppid}-1`, link);
  expect(await taken()).toEqual([true]);
  expect(await taken()).toEqual([]);
});
