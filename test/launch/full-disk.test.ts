/** The disk of the state gets full: every command says so by name and at once, nothing is lost, and all goes on when there is room. */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandOf, processesOf } from '../chaos/sweep.ts';
import { type Installation, installation, isReady, root, uniqueId } from '../support/installation.ts';
import { canMount, type SmallDisk, smallDisk } from '../support/small-disk.ts';

const PROGRAM = path.join(root, 'dist/client/main.js');

interface Said {
  code: number;
  document: {
    error?: { code: string; message: string; hint: string };
    checks?: { name: string; state: string; found: string }[];
  };
  stderr: string;
}

describe.skipIf(!canMount)('the state on a disk of 96 MiB', () => {
  let disk: SmallDisk;
  let it: Installation;

  beforeAll(async () => {
    disk = await smallDisk(96);
    it = await installation({ state: path.join(disk.directory, 'state') });
    it.writeAgent('demo', '');
  });
  afterAll(async () => {
    disk?.makeRoom();
    await it?.dispose();
    await disk?.remove();
  });

  async function bottle(...args: string[]): Promise<Said> {
    const run = promisify(execFile)(process.execPath, [PROGRAM, ...args, '--json'], { env: it.env });
    const {
      code = 0,
      stdout,
      stderr,
    } = (await run.catch((error: unknown) => error)) as {
      code?: number;
      stdout: string;
      stderr: string;
    };
    return { code, document: JSON.parse(stdout), stderr };
  }

  const full = (directory: string) => ({
    code: 'DISK_FULL',
    message: expect.stringMatching(new RegExp(`^the disk of ${directory} is full: .* of 96 MiB free$`)),
    hint: expect.stringContaining('make room'),
  });

  test('gets full under a ready bottle: what records is refused, what reads answers, and nothing is lost', async () => {
    const worker = await it.startWorker();
    const id = uniqueId('full');
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    disk.fill();

    for (const command of [
      ['up', 'demo'],
      ['down', id],
      ['retry', id],
      ['serve', '--detach'],
    ]) {
      const { code, document } = await bottle(...command);
      expect([command[0], code, document.error]).toEqual([command[0], 1, full(it.settings.state)]);
    }
    expect(await bottle('ls')).toMatchObject({
      code: 0,
      document: [{ id, phase: 'ready', trouble: full(it.settings.state) }],
      stderr: expect.stringContaining('is full'),
    });
    const { checks = [] } = (await bottle('doctor')).document;
    expect(checks.find(({ name }) => name === 'BOTTLE_STATE')).toMatchObject({
      state: 'fail',
      found: full(it.settings.state).message,
    });

    disk.makeRoom();
    const two = uniqueId('full');
    await it.launch(two, { agent: 'demo' });
    await it.waitFor(two, isReady);
    expect(await it.down(two)).toEqual([]);
    expect(await it.down(id)).toEqual([]);
    expect(await worker.stop()).toBe(0);
  });

  test('gets full in the midst of a launch: it stands still, no file is left half, and it goes on by itself', async () => {
    const worker = await it.startWorker({ at: 'network', when: 'after' });
    const id = uniqueId('midst');
    await it.launch(id, { agent: 'demo' });
    await worker.paused();
    disk.fill();
    worker.resume();
    // Whatever was to be written then is not there at all, or whole.
    expect(await bottle('down', id)).toMatchObject({ code: 1, document: { error: full(it.settings.state) } });
    const state = path.join(it.settings.state, 'bottles', id);
    expect(readdirSync(state).filter((name) => name.endsWith('.new'))).toEqual([]);
    disk.makeRoom();
    const { steps } = await it.waitFor(id, isReady);
    expect(steps.filter(({ state: of }) => of !== 'done')).toEqual([]);
    expect(await it.down(id)).toEqual([]);
    await worker.stop();
  });
});

test('a worker that cannot write down that it polls ends as a whole: nobody works beside the one that comes after it', async () => {
  const it = await installation();
  try {
    // As on a disk that gets full in that very moment.
    mkdirSync(path.join(it.settings.state, 'run', 'last-worker.json', 'in-the-way'), { recursive: true });
    await expect(it.startWorker()).rejects.toThrow(/never came to .*\n.*error\[/s);
    expect(processesOf(it.settings.state).filter((pid) => commandOf(pid).includes('worker.js'))).toEqual([]);
  } finally {
    await it.dispose();
  }
});
