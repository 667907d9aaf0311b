import { execFile } from 'node:child_process';
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

const bottle = async (...args: string[]): Promise<unknown> => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [path.join(root, 'dist/client/main.js'), ...args, '--json'],
    {
      env: it.env,
    },
  );
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
  expect(await bottle('gc', '--dry-run')).toEqual({ removed: false, leftovers: [{ id: dead, objects }] });
  expect(await it.objects(dead)).toHaveLength(3);
  expect(await bottle('gc')).toEqual({ removed: true, leftovers: [{ id: dead, objects }] });
  expect(await it.objects(dead)).toEqual([]);
  expect(await it.objects(open)).toHaveLength(3);
  await handle.executeUpdate('stop');
  await handle.result();
  await worker.stop();
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
    await expect.poll(() => it.objects(dead), { timeout: 30_000 }).toEqual([]);
    await expect(foreign.inspect()).resolves.toBeDefined();
  } finally {
    await foreign.remove();
  }
});
