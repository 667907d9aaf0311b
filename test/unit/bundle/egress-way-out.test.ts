/** What egress tells of its own way out. */
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { EgressOptions } from '../../../src/bundle/egress.ts';
import { reach } from '../../../src/bundle/reach.ts';
import type { EgressRouteConfig } from '../../../src/core/bundle-config.ts';
import { httpProxy } from '../../support/http-proxy.ts';
import { ask, clean, type EgressSite, egressSite, KEY, LISTEN } from './egress-site.ts';

let site: EgressSite;
beforeAll(() => {
  site = egressSite();
});
afterEach(() => clean(site));
afterAll(() => site.dispose());

type Server = Awaited<ReturnType<EgressSite['egress']>>;
const told = async (egress: Server): Promise<unknown> =>
  (JSON.parse((await ask(egress, '/')).body) as { wayOut: unknown }).wayOut;
/** What it tells once it knows. */
const known = (egress: Server): Promise<unknown> =>
  vi.waitFor(
    async () => {
      const now = await told(egress);
      expect(now).not.toBeNull();
      return now;
    },
    { timeout: 20_000 },
  );
const trying = (routes: EgressRouteConfig[], options: Partial<EgressOptions> = {}) =>
  site.egress(routes, { reach, ...options });

test('the upstream of the first route is reached with its CA, and asked nothing', async () => {
  let requests = 0;
  const { port } = await site.upstream(() => {
    requests += 1;
  });
  const egress = await trying([site.route(port), site.route(1, { id: 'other' })]);
  expect(await known(egress)).toEqual({ reached: true });
  expect([requests, site.lookups]).toEqual([0, ['up.test']]);
});

test.each<[string, Partial<EgressRouteConfig>, string, RegExp]>([
  ['a certificate nobody signed for', { ca: null }, 'up.test:', /^the certificate of up\.test:\d+ is not trusted/],
  ['a private address that is not permitted', { private: false }, 'up.test:', /^domain resolves to a private address/],
])('%s is told as a request would hear it', async (_what, change, host, why) => {
  const egress = await trying([site.route(await site.echo(), change)]);
  const outcome = await known(egress);
  expect(outcome).toEqual({ reached: false, host: expect.stringContaining(host), why: expect.stringMatching(why) });
  expect(JSON.stringify(outcome)).not.toContain(KEY);
});

test('a name that is not there, a port where nobody listens', async () => {
  const route = site.route(443, { upstream: 'https://gone.test' });
  const resolve = () => Promise.reject(Object.assign(new Error('gone'), { code: 'ENOTFOUND' }));
  expect(await known(await trying([route], { resolve }))).toEqual({
    reached: false,
    host: 'gone.test',
    why: 'cannot resolve gone.test: there is no such name',
  });
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  expect(await known(await trying([site.route(port)]))).toMatchObject({ why: expect.stringContaining('ECONNREFUSED') });
});

test('by the proxy where there is one, and anew with each configuration', async () => {
  const proxy = await httpProxy({ refuse: 403 });
  site.cleanUp.push(() => proxy.close());
  const port = await site.echo();
  const egress = await site.egress([site.route(port)], { reach }, proxy.upstream);
  expect(await known(egress)).toMatchObject({ why: expect.stringMatching(/refuses up\.test:\d+ \(403\)/) });
  await egress.configure({ listen: LISTEN, maxAnswerBytes: null, routes: [site.route(port)] });
  expect(await known(egress)).toEqual({ reached: true });
  await egress.configure({ listen: LISTEN, maxAnswerBytes: null, routes: [] });
  expect(await told(egress)).toBeNull();
});

test('nothing is told while it is not known, and nothing waits for it', async () => {
  const egress = await trying([site.route(443)], { reach: () => new Promise(() => {}) });
  expect(await told(egress)).toBeNull();
});
