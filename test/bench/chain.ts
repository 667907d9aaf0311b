/** What the way out through scanner and egress costs against going directly, and what a whole bundle takes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { appliedLine, EGRESS_URL } from '../../src/core/daemons.ts';
import { bundleName, machineName } from '../../src/core/names.ts';
import type { BundleInput } from '../../src/core/step-io.ts';
import { ensureBundle, removeBundle } from '../../src/host/bundle.ts';
import { linesAfter } from '../../src/host/container-log.ts';
import { imageScanner } from '../../src/host/images.ts';
import { type DockerSite, dockerSite } from '../support/docker-site.ts';
import { runIn } from '../support/run-in-container.ts';
import { startWorld, type World } from '../support/world.ts';
import { median } from './figures.ts';

export interface Chain {
  scanner: string;
  /** Milliseconds, chain minus direct, each a median over the same number of small requests. */
  addedMs: number[];
  /** Time of a long event stream through the chain over its time directly. */
  streamRatio: number[];
  /** Milliseconds from the container's start until every one of its four daemons is ready. */
  readyMs: number[];
  /** Memory of a bundle that does nothing, page cache aside. */
  restMiB: number[];
}

const REQUESTS = 200;
const EVENTS = 5000;

/** @param runs of each, in turns */
export async function measureChain(runs: number, report: (line: string) => void): Promise<Chain> {
  const site = await dockerSite();
  const world = await startWorld({ docker: site.docker, image: site.images.guest });
  try {
    const { bottle, network } = await site.machine('bench');
    const input = { ...site.bundleInput(bottle, network), ...(await fullBundle(world)) };
    const chain: Chain = { scanner: input.scanner, addedMs: [], streamRatio: [], readyMs: [], restMiB: [] };
    for (let i = 0; i < runs; i++) {
      await removeBundle(site, bottle.id);
      await ensureBundle(site, input, new AbortController().signal);
      chain.readyMs.push(await readyMs(site, bundleName(bottle.id)));
      await sleep(REST_MS);
      chain.restMiB.push(await memoryMiB(site, bundleName(bottle.id)));
      const through = () => probe(site, machineName(bottle.id), EGRESS_URL, `http://${network.bundleIp}:8888`);
      const direct = () => probe(site, world.container, 'https://echo.test', '');
      await through(); // connections, and what is compiled at first use
      const [there, here] = [await direct(), await through()];
      chain.addedMs.push(here.smallMs - there.smallMs);
      chain.streamRatio.push(here.streamMs / there.streamMs);
      report(
        `chain ${i + 1}/${runs}  +${chain.addedMs.at(-1)?.toFixed(2)} ms  stream ${there.streamMs} -> ${here.streamMs} ms  ready ${chain.readyMs.at(-1)} ms  rests at ${chain.restMiB.at(-1)} MiB`,
      );
    }
    return chain;
  } finally {
    await world.dispose();
    await site.dispose();
  }
}

const REST_MS = 3000;

/** All four daemons, each with something to do. */
async function fullBundle(world: World): Promise<Pick<BundleInput, 'uplink' | 'scanner' | 'plans' | 'requests'>> {
  const route = { id: 'echo.test', upstream: 'https://echo.test', matches: [], auth: null, private: true, ca: null };
  const repo = { name: 'app', upstream: 'https://git.test/team/app.git', key: null, branches: [] };
  return {
    uplink: world.network.name,
    scanner: await imageScanner(),
    plans: {
      pipelock: { allow: ['pkg.test private'], intercept: false },
      egress: { routes: [route] },
      gitGate: { repos: [{ ...repo, allowForce: false, allowDelete: false, ca: null }] },
      supervise: { maxPending: 10 },
      ca: world.ca.file,
    },
    requests: [],
  };
}

async function readyMs(site: DockerSite, name: string): Promise<number> {
  const container = site.docker.getContainer(name);
  const { State } = await container.inspect();
  const applied = appliedLine('');
  for await (const { at, line } of linesAfter(container, null, AbortSignal.timeout(5000))) {
    if (line.startsWith(applied)) return Date.parse(at) - Date.parse(State.StartedAt);
  }
  throw new Error('the bundle never told that it was ready');
}

/** As `docker stats` counts it: without the page cache that could be given back. */
async function memoryMiB(site: DockerSite, name: string): Promise<number> {
  const { memory_stats: memory } = await site.docker.getContainer(name).stats({ stream: false, 'one-shot': true });
  const stats = memory.stats as { total_inactive_file?: number; inactive_file?: number };
  return Math.round((memory.usage - (stats.total_inactive_file ?? stats.inactive_file ?? 0)) / 1024 ** 2);
}

interface Probe {
  smallMs: number;
  streamMs: number;
}

/** Runs where the agent would: {@link REQUESTS} small requests on one connection, then one long stream. */
async function probe(site: DockerSite, container: string, base: string, proxy: string): Promise<Probe> {
  const { stdout, stderr } = await runIn(site, container, [
    'node',
    '-e',
    PROBE,
    base,
    proxy,
    String(REQUESTS),
    String(EVENTS),
  ]);
  if (stdout === '') throw new Error(stderr);
  const { small, streamMs } = JSON.parse(stdout) as { small: number[]; streamMs: number };
  return { smallMs: median(small), streamMs: Math.round(streamMs) };
}

const PROBE = `
const [base, proxy, count, events] = process.argv.slice(1);
const url = new URL(base);
const { request, Agent } = require(proxy === '' ? 'node:https' : 'node:http');
const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
const to = proxy === '' ? (path) => ({ host: url.hostname, path, servername: url.hostname })
  : (path) => ({ host: new URL(proxy).hostname, port: new URL(proxy).port, path: base + '/echo.test' + path, headers: { host: url.host } });
const get = (path) => new Promise((resolve, reject) => {
  const start = performance.now();
  request({ agent, ...to(path) }, (response) => {
    if (response.statusCode !== 200) reject(new Error(path + ' ' + response.statusCode));
    response.on('data', () => {}).on('end', () => resolve(performance.now() - start));
  }).on('error', reject).end();
});
(async () => {
  for (let i = 0; i < 20; i++) await get('/x');
  const small = [];
  for (let i = 0; i < count; i++) small.push(await get('/x'));
  const streamMs = await get('/fast-sse?n=' + events);
  console.log(JSON.stringify({ small, streamMs }));
  process.exit(0);
})().catch((error) => { console.error(error.message); process.exit(1); });`;
