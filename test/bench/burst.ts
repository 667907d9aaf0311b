/** So many launches at once: each by a `bottle up` of its own, and then all by one client, which leaves out what clients cost. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { type Installation, installation, isReady, root, uniqueId } from '../support/installation.ts';

const AGENT = 'demo';
/** For all of them. */
const PATIENCE_SECONDS = 600;

export interface Burst {
  /** Until the last `bottle up` has returned. */
  upSeconds: number;
  /** Until all are ready that one client has started. */
  launchSeconds: number;
}

/** @param count launches at once */
export async function measureBurst(count: number, report: (line: string) => void): Promise<Burst> {
  const place = await installation();
  try {
    place.writeConfig(`capacity: {bottles: ${count}}`);
    place.writeBottle('closed', 'allow: [example.com]');
    place.writeAgent(AGENT, 'bottle: closed');
    await place.startWorker();
    await bottle(place, 'up', AGENT, '--name', uniqueId('warm'));
    await bottle(place, 'down', '--all');
    const upSeconds = await seconds(() =>
      Promise.all(idsOf(count).map((id) => bottle(place, 'up', AGENT, '--name', id))),
    );
    await bottle(place, 'down', '--all');
    const launchSeconds = await seconds(() =>
      Promise.all(
        idsOf(count).map(async (id) => {
          await place.launch(id, { agent: AGENT });
          await place.waitFor(id, isReady, PATIENCE_SECONDS);
        }),
      ),
    );
    await bottle(place, 'down', '--all');
    report(`${count} at once: by bottle up ${upSeconds.toFixed(1)} s, by one client ${launchSeconds.toFixed(1)} s`);
    return { upSeconds, launchSeconds };
  } finally {
    await place.dispose();
  }
}

const idsOf = (count: number): string[] => Array.from({ length: count }, () => uniqueId('burst'));

async function bottle({ env }: Installation, ...args: string[]): Promise<void> {
  const command = [path.join(root, 'dist/client/main.js'), ...args, '--quiet'];
  await promisify(execFile)(process.execPath, command, { env, maxBuffer: 1e9 });
}

async function seconds(act: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await act();
  return (performance.now() - began) / 1000;
}
