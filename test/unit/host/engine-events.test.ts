import type { ServerResponse } from 'node:http';
import Dockerode from 'dockerode';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LABEL } from '../../../src/core/names.ts';
import { bundleEvents } from '../../../src/host/bundle-events.ts';
import type { DockerHost } from '../../../src/host/docker.ts';
import { bottleEvents } from '../../../src/host/engine-events.ts';
import { memoryKills } from '../../../src/host/memory-events.ts';
import { type EngineSocket, playedEngine } from '../../support/recording-engine.ts';

const line = (Type: string, Action: string, Attributes: Record<string, string>, timeNano = 1e18): string =>
  `${JSON.stringify({ Type, Action, Actor: { Attributes }, timeNano })}\n`;
const event = (action: string, bottle: string, step: string, timeNano = 1e18, owner = 'me'): string =>
  line('container', action, { [LABEL.bottle]: bottle, [LABEL.step]: step, [LABEL.owner]: owner }, timeNano);

let engine: EngineSocket;
let host: DockerHost;
/** Followers of the Engine's events, each told what it remembers. */
let open: ServerResponse[];
let remembered: string;
beforeEach(async () => {
  open = [];
  remembered = '';
  engine = await playedEngine((_asked, response) => {
    open.push(response);
    response.on('close', () => {
      open = open.filter((each) => each !== response);
    });
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.flushHeaders();
    if (remembered !== '') response.write(remembered);
  });
  host = { docker: new Dockerode({ socketPath: engine.socketPath }), owner: 'me' };
});
afterEach(() => engine.close());

/** Listens to one bottle; resolves once it is subscribed. */
async function listen(id: string, signal: AbortSignal) {
  const events = bottleEvents(host, id, signal);
  expect((await events.next()).value).toBeUndefined();
  return { next: async () => (await events.next()).value };
}

test('however many bottles are watched, the Engine has one follower, and each hears of its own containers alone', async () => {
  const over = new AbortController();
  const ids = Array.from({ length: 100 }, (_, n) => `b${n}`);
  const bottles = await Promise.all(ids.map((id) => listen(id, over.signal)));
  expect(engine.calls).toHaveLength(1);
  const [follower] = open as [ServerResponse];
  for (const id of ids) follower.write(event('die', id, 'bundle', 1e18, 'somebody else'));
  for (const id of [...ids].reverse()) follower.write(event('die', id, 'bundle'));
  for (const [n, bottle] of bottles.entries())
    expect(await bottle.next()).toEqual({ action: 'die', bottle: ids[n], step: 'bundle', timeNano: 1e18 });
  over.abort();
  await Promise.all(bottles.map(async (bottle) => expect(await bottle.next()).toBeUndefined()));
  await expect.poll(() => open).toEqual([]);
});

test('a bridge that loses a container is told of by its name, since its events carry no labels', async () => {
  const over = new AbortController();
  const bottle = await listen('a', over.signal);
  const [follower] = open as [ServerResponse];
  for (const name of ['bridge', 'bottle-', 'bottle-a', 'bottle-b'])
    follower.write(line('network', 'disconnect', { name, type: 'bridge', container: 'c' }));
  follower.write(event('die', 'a', 'bundle'));
  expect(await bottle.next()).toEqual({ action: 'disconnect', bottle: 'a', step: 'network', timeNano: 1e18 });
  expect(await bottle.next()).toMatchObject({ action: 'die' });
  over.abort();
});

test('when the Engine goes away, everybody hears of it, and who listens again follows anew', async () => {
  const never = new AbortController().signal;
  const bottles = await Promise.all(['a', 'b'].map((id) => listen(id, never)));
  open[0]?.destroy();
  for (const bottle of bottles) expect(await bottle.next()).toBeUndefined();
  const again = await listen('a', never);
  open[0]?.write(event('destroy', 'a', 'machine.create'));
  expect(await again.next()).toMatchObject({ action: 'destroy' });
});

test('an Engine that does not answer is told to each, and tried anew by the next', async () => {
  const never = new AbortController().signal;
  const nobody = { ...host, docker: new Dockerode({ socketPath: `${engine.socketPath}.not` }) };
  const tried = ['a', 'b'].map((id) => bottleEvents(nobody, id, never).next());
  for (const { reason } of (await Promise.allSettled(tried)) as PromiseRejectedResult[])
    expect(reason).toMatchObject({ code: 'DOCKER_UNREACHABLE' });
  await expect(bottleEvents(nobody, 'a', never).next()).rejects.toMatchObject({ code: 'DOCKER_UNREACHABLE' });
});

test('a kill for memory from before somebody listened is told, whoever opened the stream; one that is known is not', async () => {
  remembered = event('oom', 'a', 'machine.create', 1_000_000e6) + event('oom', 'b', 'bundle', 2_000_000e6);
  const over = new AbortController();
  // It has the stream open before the one that wants to know.
  const other = await listen('b', over.signal);
  expect(await other.next()).toMatchObject({ action: 'oom' });
  const since = (ms: number) => ({ since: new Date(ms).toISOString(), patienceMs: 200 });
  expect(await memoryKills(host, 'a', since(999_999), over.signal)).toEqual([
    { part: 'machine', at: new Date(1_000_000).toISOString(), count: 1 },
  ]);
  expect(await memoryKills(host, 'a', since(1_000_000), over.signal)).toEqual([]);
  expect(engine.calls).toHaveLength(1);
  over.abort();
});

test('a bundle is looked at once for all that has been told by then', async () => {
  const over = new AbortController();
  const other = await listen('a', over.signal);
  let looks = 0;
  for await (const _look of bundleEvents(host, 'a', over.signal)) {
    looks += 1;
    if (looks === 1) open[0]?.write(Array.from({ length: 100 }, () => event('die', 'a', 'bundle')).join(''));
    if (looks !== 2) continue;
    for (let told = 0; told < 100; told += 1) await other.next();
    over.abort();
  }
  expect(looks).toBeLessThan(10);
});

test('who has seen enough of a bundle need not wait for anything more to happen', async () => {
  for await (const _look of bundleEvents(host, 'a', new AbortController().signal)) break;
  await expect.poll(() => open).toEqual([]);
});

test('a stream that ends in the midst of a line ends as any other', async () => {
  const bottle = await listen('a', new AbortController().signal);
  open[0]?.write(event('die', 'a', 'bundle'));
  open[0]?.end(event('destroy', 'a', 'bundle').slice(0, 20));
  expect(await bottle.next()).toMatchObject({ action: 'die' });
  expect(await bottle.next()).toBeUndefined();
});
