import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { docker, type Installation, installation, root, uniqueId } from '../support/installation.ts';

let it: Installation;

beforeAll(async () => {
  it = await installation();
  it.writeAgent('demo', '');
});
afterAll(() => it.dispose());

const BOTTLE = [path.join(root, 'dist/client/main.js')];

const bottle = async (args: string[], env = it.env): Promise<unknown> => {
  const { stdout } = await promisify(execFile)(process.execPath, [...BOTTLE, ...args, '--json'], { env });
  return JSON.parse(stdout);
};

/** What a terminated launch leaves: its workflow code never ran again. */
async function terminated(id: string): Promise<void> {
  const handle = await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, ({ phase }) => phase === 'ready');
  await handle.terminate('test');
}

test('what a terminated launch left is shown by gc --dry-run, removed by gc, and nothing of an open one', async () => {
  const worker = await it.startWorker();
  const dead = uniqueId('dead');
  const open = uniqueId('open');
  const handle = await it.launch(open, { agent: 'demo' });
  await it.waitFor(open, ({ phase }) => phase === 'ready');
  await terminated(dead);
  const objects = [
    path.join(it.settings.state, 'bottles', dead),
    `bottle-${dead}`,
    `bottle-${dead}-bundle`,
    `bottle-${dead}-machine`,
  ];
  expect(await bottle(['gc', '--dry-run'])).toMatchObject({ removed: false, leftovers: [{ id: dead, objects }] });
  expect(await it.objects(dead)).toHaveLength(3);
  expect(await bottle(['gc'])).toMatchObject({ removed: true, leftovers: [{ id: dead, objects }] });
  expect(await it.objects(dead)).toEqual([]);
  expect(await it.objects(open)).toHaveLength(3);
  await handle.executeUpdate('stop');
  await handle.result();
  await worker.stop();
});

test('gc knows archives of images that are gone, lists them, and removes them', async () => {
  const cache = mkdtempSync(path.join(os.tmpdir(), 'bottle-cache-'));
  const archive = path.join(cache, 'vm-images', `${'0'.repeat(64)}.tar`);
  const bystander = path.join(cache, 'vm-images', 'other.tar');
  try {
    mkdirSync(path.dirname(archive));
    for (const file of [archive, bystander]) writeFileSync(file, 'x'.repeat(2 * 1024 ** 2));
    const env = { ...it.env, BOTTLE_CACHE: cache };
    const archives = [{ path: archive, bytes: 2 * 1024 ** 2 }];
    expect(await bottle(['gc', '--dry-run'], env)).toEqual({
      removed: false,
      leftovers: [],
      archives,
      answers: [],
      lost: [],
    });
    const text = await promisify(execFile)(process.execPath, [...BOTTLE, 'gc', '--dry-run'], { env });
    expect(text.stdout).toBe(`would remove ${archive} (2 MiB)\n`);
    expect(existsSync(archive)).toBe(true);
    expect(await bottle(['gc'], env)).toEqual({ removed: true, leftovers: [], archives, answers: [], lost: [] });
    expect(await bottle(['gc'], env)).toEqual({ removed: true, leftovers: [], archives: [], answers: [], lost: [] });
    expect([existsSync(archive), existsSync(bystander)]).toEqual([false, true]);
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
});

test('a starting worker removes what was terminated while none was there, and leaves another owner alone', async () => {
  const first = await it.startWorker();
  const dead = uniqueId('dead');
  await terminated(dead);
  await first.kill();
  const foreign = await docker.createNetwork({
    Name: `bottle-${uniqueId('foreign')}`,
    Labels: { 'bottleworks.owner': 'somebody/else', 'bottleworks.bottle': dead },
  });
  try {
    await it.startWorker();
    await expect.poll(() => it.objects(dead)).toEqual([]);
    await expect(foreign.inspect()).resolves.toBeDefined();
  } finally {
    await foreign.remove();
  }
});
