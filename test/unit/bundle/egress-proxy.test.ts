/** Egress whose way out is the proxy of a company. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { UpstreamProxy } from '../../../src/core/network-proxy.ts';
import { type HttpProxy, httpProxy } from '../../support/http-proxy.ts';
import { ask, clean, type EgressSite, egressSite, KEY, type Seen } from './egress-site.ts';

let site: EgressSite;
beforeAll(() => {
  site = egressSite();
});
afterEach(() => clean(site));
afterAll(() => site.dispose());

const login = { username: 'me', password: 'pass-word' };

async function company(options: Parameters<typeof httpProxy>[0] = {}): Promise<HttpProxy> {
  const proxy = await httpProxy(options);
  site.cleanUp.push(() => proxy.close());
  return proxy;
}

test('a request goes by a tunnel through it, with its login, and is no less checked than without', async () => {
  const proxy = await company({ login });
  const port = await site.echo();
  const egress = await site.egress([site.route(port)], {}, proxy.upstream);
  const { status, body } = await ask(egress, '/api/x', { method: 'POST', body: 'hello' });
  expect(status).toBe(200);
  expect(JSON.parse(body) as Seen).toMatchObject({
    method: 'POST',
    url: '/x',
    body: 'hello',
    headers: { host: `up.test:${port}` },
  });
  expect((JSON.parse(body) as Seen).headers['x-api-key']).toBe(KEY);
  // The next one takes the same connection.
  await ask(egress, '/api/y');
  expect([proxy.asked, site.lookups]).toEqual([[`CONNECT up.test:${port}`], []]);
  const untrusted = await site.egress([site.route(port, { ca: null })], {}, proxy.upstream);
  expect(await ask(untrusted, '/api/x')).toMatchObject({
    status: 502,
    body: expect.stringContaining('is not trusted'),
  });
  expect(site.lines.join()).not.toContain(login.password);
});

test('a host of its list is reached directly, and another proxy is taken over without a restart', async () => {
  const [first, second] = [await company(), await company()];
  const port = await site.echo();
  const direct = await site.egress([site.route(port)], {}, { ...first.upstream, noProxy: ['test'] });
  expect((await ask(direct, '/api/x')).status).toBe(200);
  expect([first.asked, site.lookups]).toEqual([[], ['up.test']]);
  const egress = await site.egress([site.route(port)], {}, first.upstream);
  await ask(egress, '/api/x');
  const listen = { host: '127.0.0.1', port: 0 };
  await egress.configure({ listen, maxAnswerBytes: null, routes: [site.route(port)], proxy: second.upstream });
  await ask(egress, '/api/x');
  expect([first.asked.length, second.asked.length]).toEqual([1, 1]);
});

test('an address of a private network that was not permitted is refused here', async () => {
  const proxy = await company();
  const route = site.route(443, { upstream: 'https://10.0.0.1', private: false });
  const egress = await site.egress([route], {}, proxy.upstream);
  expect(await ask(egress, '/api/x')).toMatchObject({ status: 403, body: 'blocked: private address: 10.0.0.1' });
  expect(proxy.asked).toEqual([]);
});

test.each<[string, Parameters<typeof httpProxy>[0], Partial<UpstreamProxy>, RegExp]>([
  ['wants a login', { login }, { login: null }, /the proxy http:\S+ wants a login \(407\)/],
  [
    'refuses the login',
    { login },
    { login: { ...login, password: 'x' } },
    /the proxy http:\S+ refuses its login \(407\)/,
  ],
  ['refuses the host', { refuse: 403 }, {}, /the proxy http:\S+ refuses up\.test:\d+ \(403\)/],
  ['cannot reach it', { refuse: 502 }, {}, /the proxy http:\S+ cannot reach up\.test:\d+ \(502\)/],
  ['is not there', {}, { host: 'proxy.invalid' }, /cannot resolve the proxy proxy\.invalid/],
])('a proxy that %s is 502 by name', async (_what, options, change, reason) => {
  const proxy = await company(options);
  const egress = await site.egress([site.route(await site.echo())], {}, { ...proxy.upstream, ...change });
  const { status, body } = await ask(egress, '/api/x');
  expect([status, body]).toEqual([502, expect.stringMatching(reason)]);
  expect(body).toMatch(/^failed: /);
});
