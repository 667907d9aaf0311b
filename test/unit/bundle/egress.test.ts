import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startEgress } from '../../../src/bundle/egress.ts';
import type { EgressRouteConfig } from '../../../src/core/bundle-config.ts';
import { parseCredentialRefused } from '../../../src/core/egress-routes.ts';
import { answerTo, ask, clean, type EgressSite, egressSite, KEY, LISTEN, open, raw, type Seen } from './egress-site.ts';

let site: EgressSite;
beforeAll(() => {
  site = egressSite();
});
afterEach(() => clean(site));
afterAll(() => site.dispose());

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
const records = () => site.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
/** The log's last record once there are `count`: it is written after the answer, so it is waited for. */
const recorded = (count = 1) => expect.poll(() => records()[count - 1]);

describe('a request that a route takes', () => {
  test('goes out with method, path below the id, query and body, under the base of the upstream', async () => {
    const port = await site.echo();
    const egress = await site.egress([site.route(port, { upstream: `https://up.test:${port}/base` })]);
    const answer = await ask(egress, '/api/v1/%7ex?q=%2e%2e/../&b="<>', { method: 'PUT', body: 'hello' });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({
      method: 'PUT',
      url: '/base/v1/~x?q=%2e%2e/../&b="<>',
      body: 'hello',
    });
    expect(JSON.parse((await ask(egress, '/api?x')).body)).toMatchObject({ url: '/base?x' });
    expect(JSON.parse((await ask(egress, '/api/')).body)).toMatchObject({ url: '/base/' });
  });

  test('to an upstream without a base gets a slash when it names no path', async () => {
    const egress = await site.egress([site.route(await site.echo())]);
    expect(JSON.parse((await ask(egress, '/api?x=1')).body)).toMatchObject({ url: '/?x=1' });
  });

  test("carries the route's credential and none of the agent's own", async () => {
    const port = await site.echo();
    const egress = await site.egress([
      site.route(port),
      site.route(port, { id: 'own', auth: { header: 'Private-Token', value: KEY } }),
      site.route(port, { id: 'open', auth: null }),
    ]);
    const headers = {
      authorization: 'Bearer placeholder',
      'x-api-key': ['placeholder', 'placeholder-2'],
      'proxy-authorization': 'Basic placeholder',
      cookie: 'session=placeholder',
      'private-token': 'placeholder',
    };
    const seen = JSON.parse((await ask(egress, '/api/x', { headers })).body) as Seen;
    expect(seen.headers['x-api-key']).toBe(KEY);
    expect(seen.raw.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase())).toEqual(
      expect.not.arrayContaining(['authorization', 'proxy-authorization', 'cookie']),
    );
    expect(JSON.stringify(seen.raw).match(/placeholder/g)).toHaveLength(1); // private-token means nothing to this route
    const own = JSON.parse((await ask(egress, '/own/x', { headers })).body) as Seen;
    expect(own.headers['private-token']).toBe(KEY);
    expect(JSON.stringify(own.raw)).not.toContain('placeholder');
    const none = JSON.parse((await ask(egress, '/open/x', { headers })).body) as Seen;
    expect(JSON.stringify(none.raw)).not.toContain(KEY);
    expect(none.headers['authorization']).toBeUndefined();
    expect(none.headers['x-api-key']).toBeUndefined();
  });

  test('loses what is about the connection, the client, its address, and what would change method or path', async () => {
    const port = await site.echo();
    const egress = await site.egress([site.route(port)]);
    const dropped = [
      ...['X-Named: 1', 'anthropic-secret: 1', 'Keep-Alive: 1', 'Proxy-Connection: 1', 'TE: trailers', 'Trailer: x'],
      ...['Upgrade: websocket', 'Forwarded: for=1.2.3.4', 'X-Forwarded-For: 1.2.3.4', 'x-forwarded-host: evil.test'],
      ...['X-HTTP-Method-Override: DELETE', 'X-Original-URL: /admin'],
    ];
    const answer = await raw(
      egress,
      `GET /api/x HTTP/1.1\r\nHost: evil.test\r\nConnection: close, X-Named , anthropic-secret\r\n${dropped.join('\r\n')}` +
        '\r\nAccept-Encoding: gzip, br\r\nanthropic-beta: a,b\r\nX-Kept: 1\r\nX-Kept: 2\r\n\r\n',
    );
    const seen = JSON.parse(/\{.*\}/s.exec(answer)?.[0] ?? answer) as Seen;
    for (const line of dropped) expect(Object.keys(seen.headers)).not.toContain(line.split(':')[0]?.toLowerCase());
    expect(seen.headers).toMatchObject({
      host: `up.test:${port}`,
      connection: 'keep-alive',
      'accept-encoding': 'identity',
      'anthropic-beta': 'a,b',
    });
    expect(seen.raw.join(' ')).toContain('x-kept 1 x-kept 2');
  });

  test('keeps the framing of its body: a length, chunks, or none', async () => {
    const egress = await site.egress([site.route(await site.echo())]);
    const send = async (head: string, body = '') => {
      const answer = await raw(egress, `${head}\r\nHost: x\r\nConnection: close\r\n${body}`);
      return JSON.parse(/\{.*\}/s.exec(answer)?.[0] ?? answer) as Seen;
    };
    const chunked = await send(
      'POST /api/x HTTP/1.1',
      'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
    );
    expect(chunked).toMatchObject({ body: 'abcde', headers: { 'transfer-encoding': 'chunked' } });
    expect(chunked.headers['content-length']).toBeUndefined();
    const sized = await send('POST /api/x HTTP/1.1', 'Content-Length: 5\r\n\r\nabcde');
    expect(sized).toMatchObject({ body: 'abcde', headers: { 'content-length': '5' } });
    expect(sized.headers['transfer-encoding']).toBeUndefined();
    // Naming it in Connection must not take the framing away.
    const named = await send('POST /api/x HTTP/1.1', 'Connection: content-length\r\nContent-Length: 5\r\n\r\nabcde');
    expect(named).toMatchObject({ body: 'abcde', headers: { 'content-length': '5' } });
    expect(await send('DELETE /api/x HTTP/1.1', 'Content-Length: 2\r\n\r\nok')).toMatchObject({
      method: 'DELETE',
      body: 'ok',
    });
    expect((await send('POST /api/x HTTP/1.1', '\r\n')).headers['content-length']).toBe('0');
    const plain = await send('GET /api/x HTTP/1.1', '\r\n');
    expect(plain.headers['content-length']).toBeUndefined();
    expect(plain.headers['transfer-encoding']).toBeUndefined();
  });

  test('may ask before it sends (Expect: 100-continue)', async () => {
    const egress = await site.egress([site.route(await site.echo())]);
    const request = open(egress, '/api/x', {
      method: 'POST',
      headers: { expect: '100-continue', 'content-length': 2 },
    });
    request.flushHeaders();
    await once(request, 'continue');
    request.end('ok');
    const seen = JSON.parse(await text(await answerTo(request))) as Seen;
    expect(seen.body).toBe('ok');
    expect(seen.headers['expect']).toBeUndefined();
  });
});

describe('a request that could be taken for two', () => {
  const smuggled = 'GET /api/admin HTTP/1.1\r\nHost: x\r\n\r\n';
  test.each([
    [
      'both lengths',
      `POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    ['two lengths', `POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\n${smuggled}`],
    [
      'another coding than chunked',
      `POST /api/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    ['an unknown coding', `POST /api/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['chunks with GET', `GET /api/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['a broken chunk', `GET /api/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n${smuggled}`],
    ['HTTP/1.0', `GET /api/x HTTP/1.0\r\n\r\n${smuggled}`],
  ])('by %s is refused, and the connection closed', async (_what, request) => {
    const reached: string[] = [];
    const { port } = await site.upstream((incoming, response) => {
      reached.push(incoming.url ?? '');
      response.end();
    });
    const egress = await site.egress([site.route(port)]);
    const answer = await raw(egress, request);
    expect(statusOf(answer)).toBe(400);
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(reached).toEqual([]);
  });
});

describe('what is no path of ours', () => {
  test.each([
    ['absolute form', 'GET http://egress:9099/api/x HTTP/1.1\r\nHost: egress\r\n\r\n', 400],
    ['an asterisk', 'OPTIONS * HTTP/1.1\r\nHost: egress\r\n\r\n', 400],
    ['CONNECT', 'CONNECT up.test:443 HTTP/1.1\r\nHost: up.test\r\n\r\n', 405],
    [
      'CONNECT to egress itself',
      'CONNECT egress:9099 HTTP/1.1\r\nHost: egress\r\n\r\nGET /api/x HTTP/1.1\r\nHost: x\r\n\r\n',
      405,
    ],
    ['an upgrade', 'GET /api/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', 405],
    ['a path that climbs', 'GET /api/%2e%2e/x HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['bytes that are no HTTP', '\x16\x03\x01\x02\r\n\r\n', 400],
  ])('%s is refused, and the connection closed', async (_what, request, status) => {
    const egress = await site.egress([site.route(await site.echo())]);
    const answer = await raw(egress, request);
    expect(statusOf(answer)).toBe(status);
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(site.lookups).toEqual([]);
  });
});

describe('a refusal', () => {
  test('tells route, method, host, path and rules in one line, and the connection goes on', async () => {
    const port = await site.echo();
    const matches = [{ methods: ['GET'], paths: [{ type: 'prefix' as const, value: '/v1' }] }];
    const egress = await site.egress([site.route(port, { matches })]);
    const answer = await raw(
      egress,
      `POST /api/v1extra?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello` +
        `GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n` +
        `GET /api/v1/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toContain(
      `blocked: POST up.test:${port}/v1extra fits no rule of route api (allowed: GET prefix /v1)`,
    );
    expect(answer).toContain('blocked: no route "nothing" (GET / lists them)\n');
    expect([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(['403', '404', '200']);
    expect(answer).toMatch(/content-type: text\/plain/i);
    await recorded(3).toMatchObject({ status: 200 });
    expect(records().map(({ status, route, path }) => [status, route, path])).toEqual([
      [403, 'api', '/v1extra'],
      [404, null, '/nothing'],
      [200, 'api', '/v1/x'],
    ]);
  });

  test('comes before the credential is so much as looked at', async () => {
    let looked = 0;
    const config: EgressRouteConfig = site.route(await site.echo(), { matches: [{ methods: ['GET'], paths: [] }] });
    const egress = startEgress({ log: () => {}, resolve: async () => [{ address: '127.0.0.1', family: 4 }] });
    site.cleanUp.push(() => egress.close());
    const auth = {
      header: 'x-api-key',
      get value() {
        looked++;
        return KEY;
      },
    };
    await egress.configure({ listen: LISTEN, maxAnswerBytes: null, routes: [{ ...config, auth }] });
    const checked = looked;
    expect((await ask(egress, '/api/x', { method: 'POST' })).status).toBe(403);
    expect(looked).toBe(checked);
    expect((await ask(egress, '/api/x')).status).toBe(200);
    expect(looked).toBeGreaterThan(checked);
  });

  test('meets a route that has expired, by the clock of the moment', async () => {
    let time = 0;
    const expiresAt = new Date(1000).toISOString();
    const egress = await site.egress([site.route(await site.echo(), { expiresAt })], { now: () => time });
    expect((await ask(egress, '/api/x')).status).toBe(200);
    time = 1000;
    expect(await ask(egress, '/api/x')).toMatchObject({ status: 403, body: expect.stringContaining('has expired') });
  });
});

test('the list of routes is there for GET and HEAD, with no credential in it', async () => {
  const expiresAt = '2999-01-01T00:00:00.000Z';
  const matches = [{ methods: ['GET'], paths: [{ type: 'exact' as const, value: '/a' }] }];
  const egress = await site.egress([
    site.route(8443, { matches, expiresAt, secrets: [KEY] }),
    site.route(8444, { id: 'open', upstream: 'https://open.test/base', auth: null }),
  ]);
  const answer = await ask(egress, '/');
  expect(answer.headers['content-type']).toBe('application/json');
  const at = `http://egress:${egress.port}`;
  const api = {
    id: 'api',
    url: `${at}/api`,
    upstream: 'https://up.test:8443',
    methods: ['GET'],
    credential: true,
    expiresAt,
  };
  const other = { id: 'open', url: `${at}/open`, upstream: 'https://open.test', methods: [], credential: false };
  expect(JSON.parse(answer.body)).toEqual({
    wayOut: null,
    routes: [
      { ...api, paths: [{ type: 'exact', value: '/a' }] },
      { ...other, paths: [], expiresAt: null },
    ],
  });
  expect(JSON.stringify(answer)).not.toContain(KEY);
  expect(await ask(egress, '/', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
});

describe('a configuration', () => {
  const refusal = async (change: Partial<EgressRouteConfig>): Promise<string> => {
    const egress = startEgress({ log: () => {} });
    const error = await egress
      .configure({ listen: LISTEN, maxAnswerBytes: null, routes: [site.route(443, change)] })
      .then(
        () => new Error('it was taken'),
        (reason: Error) => reason,
      );
    await egress.close().catch(() => {});
    return `${error.message} ${error.stack} ${String(error.cause)}`;
  };

  test.each([
    ['http', 'http://up.test'],
    ['no URL', 'up.test'],
    ['ws', 'wss://up.test'],
    ['user information', `https://user:${KEY}@up.test`],
    ['a query', `https://up.test/?key=${KEY}`],
  ])('with %s for an upstream is refused, and told which route', async (_what, upstream) => {
    const error = await refusal({ id: 'wrong', upstream });
    expect(error).toMatch(/^route "wrong": its upstream is /);
    expect(error).not.toContain(KEY);
  });

  test.each(['\r', '\n', '\0', '\r\nx-evil: 1', '\x7f', '€'])(
    'with %j in a credential is refused, without the value',
    async (part) => {
      const error = await refusal({ auth: { header: 'authorization', value: `Bearer ${KEY}${part}` } });
      expect(error).toMatch(
        /^route "api": its credential has a line break or another character that no header may have/,
      );
      expect(error).not.toContain(KEY);
    },
  );

  test('with a header, pattern or CA that is none is refused', async () => {
    expect(await refusal({ auth: { header: 'x key', value: KEY } })).toMatch(
      /^route "api": its header is no header name/,
    );
    const matches = [{ methods: [], paths: [{ type: 'regex' as const, value: 'a)|(b' }] }];
    expect(await refusal({ matches })).toMatch(/^route "api": "a\)\|\(b" is no pattern/);
    expect(await refusal({ ca: '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----' })).toMatch(
      /^route "api": its ca is no/,
    );
  });

  test('that cannot be taken changes nothing, nor does one with two routes of an id or another address', async () => {
    const port = await site.echo();
    const egress = await site.egress([site.route(port)]);
    const wrong = [
      {
        listen: LISTEN,
        maxAnswerBytes: null,
        routes: [site.route(port, { id: 'new' }), site.route(port, { id: 'bad', upstream: 'http://x' })],
      },
      {
        listen: LISTEN,
        maxAnswerBytes: null,
        routes: [site.route(port, { id: 'new' }), site.route(port, { id: 'new' })],
      },
      { listen: { host: '127.0.0.1', port: 1 }, maxAnswerBytes: null, routes: [site.route(port, { id: 'new' })] },
    ];
    for (const config of wrong) await expect(egress.configure(config)).rejects.toThrow();
    expect((await ask(egress, '/api/x')).status).toBe(200);
    expect((await ask(egress, '/new/x')).status).toBe(404);
  });

  test('whose address is taken is refused', async () => {
    const taken = createTcpServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    site.cleanUp.push(() => taken.close());
    const { port } = taken.address() as { port: number };
    const egress = startEgress({ log: () => {} });
    await expect(
      egress.configure({ listen: { host: '127.0.0.1', port }, maxAnswerBytes: null, routes: [] }),
    ).rejects.toThrow('EADDRINUSE');
  });
});

describe('a credential that the upstream refuses', () => {
  test('is told to the agent each time, and to the log once for each configuration', async () => {
    let status = 401;
    const { port } = await site.upstream((_request, response) => {
      response.writeHead(status, { 'www-authenticate': 'Bearer', 'x-bottle-egress': 'made-up' }).end('no');
    });
    const routes = [site.route(port), site.route(port, { id: 'open', auth: null })];
    const egress = await site.egress(routes);
    const refused = () => site.lines.flatMap((line) => parseCredentialRefused(line) ?? []);
    for (status of [401, 403, 401]) {
      const answer = await ask(egress, '/api/x');
      expect(answer).toMatchObject({ status, body: 'no' });
      expect(answer.headers).toMatchObject({ 'x-bottle-egress': 'credential-refused', 'www-authenticate': 'Bearer' });
    }
    expect(refused()).toEqual([{ route: 'api', status: 401 }]);
    const other = await ask(egress, '/open/x');
    expect(other.status).toBe(401);
    expect(other.headers['x-bottle-egress']).toBeUndefined();
    expect(refused()).toHaveLength(1);
    await egress.configure({ listen: LISTEN, maxAnswerBytes: null, routes });
    status = 403;
    await ask(egress, '/api/x');
    await ask(egress, '/api/x');
    expect(refused()).toEqual([
      { route: 'api', status: 401 },
      { route: 'api', status: 403 },
    ]);
    status = 404;
    expect((await ask(egress, '/api/x')).headers['x-bottle-egress']).toBeUndefined();
  });
});

describe('an answer', () => {
  test('loses what is about the connection, and cookies; the rest stays as it was, repeated headers too', async () => {
    const { port } = await site.upstream((_request, response) => {
      response.writeHead(207, [
        ...['Connection', 'x-named', 'X-Named', '1', 'Keep-Alive', 'timeout=9', 'Proxy-Authenticate', 'Basic'],
        ...['Set-Cookie', 'a=1', 'X-Kept', '1', 'X-Kept', '2', 'Content-Length', '2', 'Date', 'then'],
      ]);
      response.end('ok');
    });
    const egress = await site.egress([site.route(port)]);
    const { status, headers, body } = await ask(egress, '/api/x');
    expect([status, body]).toEqual([207, 'ok']);
    expect(headers).toMatchObject({ 'x-kept': '1, 2', 'content-length': '2', date: 'then' });
    for (const name of ['x-named', 'proxy-authenticate', 'set-cookie', 'transfer-encoding'])
      expect(headers[name], name).toBeUndefined();
  });

  test('has no credential in its headers or its body, whatever the length it told', async () => {
    const bearer = `Bearer ${KEY}`;
    const { port } = await site.upstream((request, response) => {
      const echoed = `you said ${request.headers.authorization}, ${KEY}`;
      response.setHeader('x-echo', [echoed, 'x']);
      response.setHeader('location', `/login?token=${KEY}`);
      response.setHeader('content-length', echoed.length);
      response.writeHead(401);
      response.end(echoed);
    });
    const auth = { header: 'authorization', value: bearer };
    const egress = await site.egress([site.route(port, { auth, secrets: [bearer, KEY] })]);
    const { headers, body } = await ask(egress, '/api/x');
    expect(body).toBe('you said [credential], [credential]');
    expect(headers).toMatchObject({
      'x-echo': 'you said [credential], [credential], x',
      location: '/api/login?token=[credential]',
      'transfer-encoding': 'chunked',
    });
    expect(headers['content-length']).toBeUndefined();
    expect(JSON.stringify(site.lines)).not.toContain(KEY);
    // HEAD has no body that could change: it keeps the length that is told.
    const head = await ask(egress, '/api/x', { method: 'HEAD' });
    expect(head).toMatchObject({ body: '' });
    expect(head.headers['content-length']).toBeDefined();
  });

  test('of a route with secrets may not be compressed, since nothing could be found in it; of another it may', async () => {
    const { port } = await site.upstream((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('not to be read');
    });
    const egress = await site.egress([site.route(port, { secrets: [KEY] }), site.route(port, { id: 'plain' })]);
    expect(await ask(egress, '/api/x')).toMatchObject({
      status: 502,
      body: `failed: up.test:${port} compressed its answer unasked`,
    });
    expect(await ask(egress, '/plain/x')).toMatchObject({ status: 200, body: 'not to be read' });
  });

  test.each([
    ['/base/next?a=b#c', '/api/next?a=b#c'],
    ['https://up.test:PORT/base/next', '/api/next'],
    ['https://up.test:PORT/base', '/api'],
    ['next', '/api/v1/next'],
    ['?page=2', '/api/v1/x?page=2'],
    ['/other/next', 'https://up.test:PORT/other/next'],
    ['/baseless', 'https://up.test:PORT/baseless'],
    ['https://up.test/base/next', 'https://up.test/base/next'],
    ['http://up.test:PORT/base/next', 'http://up.test:PORT/base/next'],
    ['https://elsewhere.test/base', 'https://elsewhere.test/base'],
    ['https://', 'https://'],
  ])('that leads to %s leads the agent to %s', async (location, expected) => {
    const { port } = await site.upstream((request, response) => {
      const own = (request.socket.address() as { port: number }).port;
      response.writeHead(302, { location: location.replace('PORT', String(own)) }).end();
    });
    const egress = await site.egress([site.route(port, { upstream: `https://up.test:${port}/base` })]);
    const answer = await ask(egress, '/api/v1/x');
    expect(answer.status).toBe(302);
    expect(answer.headers.location).toBe(expected.replace('PORT', String(port)));
  });

  test('that links to further pages links to them through the route', async () => {
    const { port } = await site.upstream((request, response) => {
      const own = (request.socket.address() as { port: number }).port;
      response.writeHead(200, {
        link: `<https://up.test:${own}/x?page=2>; rel="next", <https://else.test/y>; rel="help"`,
      });
      response.end();
    });
    const egress = await site.egress([site.route(port)]);
    const { link } = (await ask(egress, '/api/x')).headers;
    expect(link).toBe('</api/x?page=2>; rel="next", <https://else.test/y>; rel="help"');
  });

  describe('that is longer than the scanner lets through', () => {
    const limited = async (handler: Parameters<typeof site.upstream>[0]) => {
      const { port } = await site.upstream(handler);
      const egress = await site.egress([site.route(port)]);
      await egress.configure({ listen: LISTEN, maxAnswerBytes: 1000, routes: [site.route(port)] });
      return egress;
    };

    test('is refused where it tells its length', async () => {
      const egress = await limited((_request, response) => response.end(Buffer.alloc(1001)));
      expect(await ask(egress, '/api/x')).toMatchObject({ status: 502, body: expect.stringContaining('1001 bytes') });
    });

    test('is broken off where it does not, and never ends as if it were whole', async () => {
      const egress = await limited((_request, response) => {
        response.write(Buffer.alloc(600));
        response.end(Buffer.alloc(600));
      });
      await expect(ask(egress, '/api/x')).rejects.toThrow();
    });

    test('passes when it is just as long as it may be, or a stream of events', async () => {
      const whole = await limited((_request, response) => response.end(Buffer.alloc(1000)));
      expect((await ask(whole, '/api/x')).status).toBe(200);
      const events = await limited((_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' }).end('x'.repeat(3000));
      });
      expect((await ask(events, '/api/x')).body).toHaveLength(3000);
    });
  });

  test.each([204, 304])('with status %i has no body and stays so', async (status) => {
    const { port } = await site.upstream((_request, response) => response.writeHead(status, { etag: '"1"' }).end());
    const egress = await site.egress([site.route(port, { secrets: [KEY] })]);
    const answer = await ask(egress, '/api/x');
    expect(answer).toMatchObject({ status, body: '' });
    expect(answer.headers['etag']).toBe('"1"');
  });
});

describe('the log', () => {
  test('has one line for each request, with no query, header, body or credential', async () => {
    const port = await site.echo();
    const clock = [5, 5, 47];
    const egress = await site.egress([site.route(port)], { now: () => clock.shift() ?? 47 });
    await ask(egress, `/api/v1/${'x'.repeat(300)}?q=query-text`, {
      method: 'POST',
      body: 'body-text',
      headers: { 'x-header': 'header-text' },
    });
    await recorded().toEqual({
      event: 'request',
      method: 'POST',
      host: `up.test:${port}`,
      path: `/v1/${'x'.repeat(252)}`,
      route: 'api',
      status: 200,
      bytes: expect.any(Number),
      ms: 42,
    });
    expect(site.lines).toHaveLength(1);
    expect(records()[0]?.['bytes']).toBeGreaterThan(300);
    for (const hidden of ['query-text', 'body-text', 'header-text', KEY]) expect(site.lines[0]).not.toContain(hidden);
  });

  test('stays one line an event, whatever the agent writes in a path', async () => {
    const egress = await site.egress([]);
    const line = '{"event":"credential-refused","route":"api","status":401}';
    await ask(egress, `/${line}`);
    await ask(egress, `/%0a${line}%0d%0a${line}`);
    await recorded(2).toBeDefined();
    expect(records().map(({ event, status }) => [event, status])).toEqual([
      ['request', 404],
      ['request', 400],
    ]);
    for (const entry of site.lines) {
      expect(entry).not.toMatch(/[\r\n]/);
      expect(parseCredentialRefused(entry)).toBeUndefined();
    }
  });
});
