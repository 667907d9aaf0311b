import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { errorView } from '../../../src/core/errors.ts';
import { assertRoom, fullState, roomAt } from '../../../src/host/disk.ts';
import { tryLock } from '../../../src/host/file-lock.ts';
import { halfOf, removeHalves } from '../../../src/host/half-file.ts';
import { ensurePrivateSync, writePrivate, writePrivateSync } from '../../../src/host/private-file.ts';
import { canMount, type SmallDisk, smallDisk } from '../../support/small-disk.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-private-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('what is written is the whole of it, for its owner alone, and nothing lies beside it', async () => {
  const file = path.join(folder, 'a');
  const texts = Array.from({ length: 20 }, (_, n) => `${n} `.repeat(10_000));
  await Promise.all(texts.map((text) => writePrivate(file, text)));
  expect(texts).toContain(readFileSync(file, 'utf8'));
  writePrivateSync(file, 'x');
  expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toEqual(['x', 0o600]);
  ensurePrivateSync(file, 'y');
  expect(readFileSync(file, 'utf8')).toBe('x');
  expect(readdirSync(folder)).toEqual(['a']);
});

test('what a dead process has left half written goes, and what a live one is writing stays', async () => {
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const id = randomUUID();
  const hour = new Date(Date.now() - 61 * 60 * 1000);
  mkdirSync(path.join(folder, 'deep', 'er'), { recursive: true });
  const names = [
    `deep/er/a.log.gz.${dead}-${id}.new`,
    `a.${dead}-${id}.new`,
    `a.${id}.new`,
    `b.${process.pid}-${id}.new`,
    'a.new',
    `${id}.new`,
    `c.${id}.new`,
  ];
  for (const name of names) writeFileSync(path.join(folder, name), '');
  for (const name of names.slice(2, 3)) utimesSync(path.join(folder, name), hour, hour);
  const writing = halfOf(path.join(folder, 'own'));
  writeFileSync(writing, '');
  const removed = await removeHalves(folder);
  expect(removed.map((file) => path.relative(folder, file)).sort()).toEqual(names.slice(0, 3).sort());
  expect(readdirSync(folder).sort()).toEqual([...names.slice(3), path.basename(writing), 'deep'].sort());
  expect(await removeHalves(path.join(folder, 'absent'))).toEqual([]);
});

describe.skipIf(!canMount)('on a full disk', () => {
  let disk: SmallDisk;
  beforeEach(async () => {
    disk = await smallDisk(2);
  });
  afterEach(() => disk.remove());
  const at = (name: string): string => path.join(disk.directory, name);

  test('a file stays as it was, and the failure is told as that of the disk', async () => {
    writeFileSync(at('kept'), 'as it was');
    disk.fill();
    const failures = [await writePrivate(at('kept'), 'x'.repeat(5000)).catch((error: unknown) => error)];
    for (const write of [writePrivateSync, ensurePrivateSync]) {
      try {
        write(at('new'), 'x'.repeat(5000));
      } catch (error) {
        failures.push(error);
      }
    }
    expect(failures.map((error) => errorView(error).code)).toEqual(['DISK_FULL', 'DISK_FULL', 'DISK_FULL']);
    expect(readFileSync(at('kept'), 'utf8')).toBe('as it was');
    expect(readdirSync(disk.directory).sort()).toEqual(['filler', 'kept']);
  });

  test('locks are taken and given back as ever', () => {
    tryLock(at('known'))?.release();
    disk.fill();
    for (const name of ['known', 'new']) {
      const lock = tryLock(at(name));
      expect([lock === null, tryLock(at(name))]).toEqual([false, null]);
      lock?.release();
      tryLock(at(name), 'shared')?.release();
    }
  });

  test('a state on it, or yet to be made there, is told as full until there is room', () => {
    const state = path.join(disk.directory, 'not/made/yet');
    assertRoom({ state });
    disk.fill();
    expect(fullState({ state })).toMatchObject({
      code: 'DISK_FULL',
      message: expect.stringContaining('0.0 MiB of 2.0 MiB free'),
    });
    expect(() => assertRoom({ state })).toThrow('is full');
    disk.makeRoom();
    assertRoom({ state });
    expect(roomAt(disk.directory)?.total).toBe(2 * 1024 ** 2);
    assertRoom({});
  });
});

test.each([
  ['mkdir /var/lib/docker/overlay2/x: no space left on device', 'DISK_FULL'],
  ['tar: report.md: Cannot write: No space left on device', 'DISK_FULL'],
  ['database or disk is full (13)', 'DISK_FULL'],
  ['no room', 'INTERNAL'],
])('%s is %s', (message, code) => {
  expect(errorView(new Error(message)).code).toBe(code);
});
