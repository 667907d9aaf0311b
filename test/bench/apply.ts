/** From `apply` with one more route in the manifest to the route being there. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { installation, uniqueId } from '../support/installation.ts';

const POLL_MS = 10;

/** @returns milliseconds, one for each change */
export async function measureApply(changes: number, report: (line: string) => void): Promise<number[]> {
  const place = await installation();
  const times: number[] = [];
  const routes = (count: number): string =>
    `egress:\n  routes:\n${Array.from({ length: count }, (_, at) => `    - {host: api-${at}.test}\n`).join('')}`;
  try {
    place.writeBottle('routed', routes(1));
    place.writeAgent('demo', 'bottle: routed');
    await place.startWorker();
    const id = uniqueId('apply');
    const handle = await place.launch(id, { agent: 'demo' });
    await place.waitFor(id, ({ phase }) => phase === 'ready');
    for (let i = 1; i <= changes; i++) {
      place.writeBottle('routed', routes(1 + i));
      const start = performance.now();
      await handle.executeUpdate('apply');
      for (;;) {
        const { phase, steps } = await place.status(id);
        if (phase === 'ready' && steps.find((step) => step.id === 'bundle')?.attempts === 1 + i) break;
        await sleep(POLL_MS);
      }
      times.push(performance.now() - start);
      report(`apply ${i}/${changes}  ${Math.round(times.at(-1) as number)} ms`);
    }
    await handle.executeUpdate('stop');
    await handle.result();
    return times;
  } finally {
    await place.dispose();
  }
}
