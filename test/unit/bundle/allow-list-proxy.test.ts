import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import tls from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type RequestRecord, startAllowListProxy } from '../../../src/bundle/allow-list-proxy.ts';
import type { Address } from '../../../src/bundle/dial.ts';
import { parseAllowEntry } from '../../../src/core/allow-list.ts';
import { EGRESS_PORT, EGRESS_URL } from '../../../src/core/daemons.ts';
import type { UpstreamProxy } from '../../../src/core/network-proxy.ts';
import { httpProxy } from '../../support/http-proxy.ts';

const LOOPBACK: Address = { address: '127.0.0.1', family: 4 };

let records: RequestRecord[];
let lookups: string[];
let cleanUp: Array<() => unknown>;

beforeEach(() => {
  records = [];
  lookups = [];
  cleanUp = [];
});

afterEach(async () => {
  for (const undo of cleanUp.reverse()) await undo();
});

/** A proxy with these entries, whose names resolve as given (to loopback unless told otherwise). */
async function proxyFor(
  allow: string[],
  names: Record<string, Address[] | Error> = {},
  egress: string | null = null,
  companyProxy?: UpstreamProxy,
): Promise<number> {
  // What it tells of after its test is no other's business.
  const own = records;
  const proxy = await startAllowListProxy({
    host: '127.0.0.1',
    port: 0,
    policy: () => ({ allow: allow.map(parseAllowEntry), egress, proxy: companyProxy }),
    onRequest: (record) => own.push(record),
    resolve: async (name) => {
      lookups.push(name);
      const found = names[name] ?? [LOOPBACK];
      if (found instanceof Error) throw found;
      return found;
    },
  });
  cleanUp.push(() => proxy.close());
  return proxy.port;
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUp.push(() => {
    if (server instanceof http.Server) server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** An upstream that tells what it was asked. */
const echoServer = () =>
  listen(
    http.createServer(async (request, response) => {
      const body = await text(request);
      response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body }));
    }),
  );

/** An upstream at an address of loopback that answers with it: on Linux each is there. */
async function listenAt(host: string, port: number): Promise<string> {
  const server = http.createServer((_request, response) => response.end(host)).listen(port, host);
  await once(server, 'listening');
  cleanUp.push(() => server.close());
  return host;
}

/** A port nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Sends the text as it is and reads all that comes back. */
async function raw(port: number, request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(request);
  return text(socket);
}

const get = (port: number, url: string) => raw(port, `GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
const connectTo = (port: number, target: string) => raw(port, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
/** Without the end of the line that the proxy itself says. */
const bodyOf = (answer: string) =>
  answer.slice(answer.indexOf('\r\n\r\n') + 4).replace(/^((?:CONNECT )?(?:blocked|failed|refused): .*)\n$/, '$1');

/** Opens a tunnel and gives the socket once it is open. */
async function tunnel(port: number, target: string): Promise<Socket> {
  const request = http.request({ port, host: '127.0.0.1', method: 'CONNECT', path: target });
  request.end();
  const [response, socket] = (await once(request, 'connect')) as [http.IncomingMessage, Socket];
  cleanUp.push(() => socket.destroy());
  expect(response.statusCode).toBe(200);
  return socket;
}

/** Resolves with the request's record once it is logged: after the answer, so it is waited for. */
const logged = (method: string) => expect.poll(() => records.find((record) => record.method === method));

describe('a listed host', () => {
  test('is reached by plain HTTP, and the log tells host and status but no path and no header', async () => {
    const upstream = await echoServer();
    const port = await proxyFor([`ok.test:${upstream} private`]);
    const answer = await get(port, `http://OK.test.:${upstream}/path?secret=1`);
    expect(statusOf(answer)).toBe(200);
    expect(answer).toContain('/path?secret=1');
    await logged('GET').toMatchObject({ host: 'ok.test', port: upstream, verdict: 'allow', status: 200 });
    expect(records[0]?.bytes).toBeGreaterThan(0);
    expect(JSON.stringify(records)).not.toContain('secret');
  });

  test('gets the method and the body, and neither the Host the client made up nor what was meant for the proxy', async () => {
    const upstream = await echoServer();
    const port = await proxyFor([`ok.test:${upstream} private`]);
    const answer = await raw(
      port,
      `POST http://ok.test:${upstream}/p HTTP/1.1\r\nHost: hidden.test\r\nProxy-Authorization: Bearer t\r\n` +
        'Proxy-Connection: close\r\nX-Kept: 1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello',
    );
    const seen = JSON.parse(/\{.*\}/s.exec(answer)?.[0] ?? '') as { method: string; body: string; headers: object };
    expect(seen).toMatchObject({
      method: 'POST',
      body: 'hello',
      headers: { host: `ok.test:${upstream}`, 'x-kept': '1' },
    });
    expect(Object.keys(seen.headers)).not.toContain('proxy-authorization');
    expect(Object.keys(seen.headers)).not.toContain('proxy-connection');
  });

  test('is reached by CONNECT, with TLS from end to end', async () => {
    // TLS with a pre-shared key needs no certificate.
    const psk = randomBytes(32);
    const common = { ciphers: 'PSK-AES256-GCM-SHA384', maxVersion: 'TLSv1.2' } as const;
    const upstream = await listen(
      tls.createServer({ ...common, pskCallback: () => psk, pskIdentityHint: 'x' }, (socket) => socket.end('over TLS')),
    );
    const port = await proxyFor([`ok.test:${upstream} private`]);
    const socket = await tunnel(port, `ok.test:${upstream}`);
    const secure = tls.connect({
      ...common,
      socket,
      pskCallback: () => ({ psk, identity: 'x' }),
      checkServerIdentity: () => undefined,
    });
    expect(await text(secure)).toBe('over TLS');
    await logged('CONNECT').toMatchObject({ host: 'ok.test', port: upstream, verdict: 'allow', status: 200 });
  });

  test('sends 32 MB whole through a tunnel, and 32 MB back', async () => {
    const upstream = await listen(createTcpServer((socket) => socket.pipe(socket)));
    const port = await proxyFor([`ok.test:${upstream} private`]);
    const socket = await tunnel(port, `ok.test:${upstream}`);
    const data = randomBytes(32 * 1024 * 1024);
    const back = createHash('sha256');
    socket.on('data', (chunk) => back.update(chunk));
    socket.end(data);
    await once(socket, 'end');
    expect(back.digest('hex')).toBe(createHash('sha256').update(data).digest('hex'));
    await logged('CONNECT').toMatchObject({ bytes: data.length });
  });

  test('sends 32 MB whole by plain HTTP, both ways', async () => {
    const upstream = await listen(http.createServer((request, response) => request.pipe(response)));
    const port = await proxyFor([`ok.test:${upstream} private`]);
    const data = randomBytes(32 * 1024 * 1024);
    const request = http.request({
      port,
      host: '127.0.0.1',
      method: 'PUT',
      path: `http://ok.test:${upstream}/`,
      agent: false,
    });
    request.end(data);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    const back = createHash('sha256');
    for await (const chunk of response) back.update(chunk as Buffer);
    expect(back.digest('hex')).toBe(createHash('sha256').update(data).digest('hex'));
  });

  test('streams: the headers arrive before any event, and each event before the next is sent', async () => {
    let stream: http.ServerResponse | undefined;
    const upstream = await listen(
      http.createServer((_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.flushHeaders();
        stream = response;
      }),
    );
    const port = await proxyFor([`ok.test:${upstream} private`]);
    const request = http.get({ port, host: '127.0.0.1', path: `http://ok.test:${upstream}/`, agent: false });
    // Nothing more is sent upstream until the step before has arrived here, so buffering anywhere would hang the test.
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    expect(response.headers['content-type']).toBe('text/event-stream');
    const chunks = response[Symbol.asyncIterator]();
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      stream?.write(event);
      expect(String((await chunks.next()).value)).toBe(event);
    }
    stream?.end();
    expect((await chunks.next()).done).toBe(true);
  });
});

describe('an unlisted host', () => {
  test("is refused by plain HTTP and by CONNECT, in pipelock's words, without a lookup", async () => {
    const port = await proxyFor(['ok.test']);
    const plain = await get(port, 'http://Evil.Test./a?b=c');
    expect(statusOf(plain)).toBe(403);
    expect(bodyOf(plain)).toBe('blocked: domain not in allowlist: evil.test');
    expect(plain.endsWith('evil.test\n')).toBe(true);
    expect(plain).toMatch(/content-type: text\/plain/i);
    const tunnelled = await connectTo(port, 'evil.test.:443');
    expect(statusOf(tunnelled)).toBe(403);
    expect(bodyOf(tunnelled)).toBe('CONNECT blocked: domain not in allowlist: evil.test');
    expect(tunnelled.endsWith('evil.test\n')).toBe(true);
    expect(lookups).toEqual([]);
    expect(records).toEqual([
      { method: 'GET', host: 'evil.test', port: 80, verdict: 'deny', status: 403, bytes: 0 },
      { method: 'CONNECT', host: 'evil.test', port: 443, verdict: 'deny', status: 403, bytes: 0 },
    ]);
  });

  test('is refused as an address, in any spelling', async () => {
    const upstream = await echoServer();
    const port = await proxyFor([`ok.test:${upstream} private`]);
    for (const host of ['127.0.0.1', '0x7f.1', '2130706433', '[::ffff:127.0.0.1]']) {
      expect(statusOf(await get(port, `http://${host}:${upstream}/`)), host).toBe(403);
      expect(statusOf(await connectTo(port, `${host}:${upstream}`)), host).toBe(403);
    }
  });

  test('is not reached by writing a listed one before or after it', async () => {
    const port = await proxyFor(['ok.test', '*.ok.test']);
    for (const url of [
      'http://ok.test@evil.test/',
      'http://ok.test:80@evil.test/',
      'http://evil.test/@ok.test',
      'http://evil.test#@ok.test',
      'http://evil.test\\@ok.test/',
      'http://ok.test.evil.test/',
      'http://evilok.test/',
      'http://user:password@ok.test/',
      'https://ok.test/',
      'ftp://ok.test/',
    ]) {
      expect([400, 403], url).toContain(statusOf(await get(port, url)));
    }
    for (const target of [
      'ok.test:443@evil.test:443',
      'evil.test:443#ok.test:443',
      'ok.test',
      'ok.test:0',
      'ok.test:99999',
      ':443',
    ]) {
      expect([400, 403], target).toContain(statusOf(await connectTo(port, target)));
    }
    expect(lookups).toEqual([]);
    // Three of them are no HTTP at all, and refused by the parser before there is a request to log.
    expect(records.length).toBe(13);
    expect(records.every((record) => record.verdict === 'deny')).toBe(true);
  });

  test('is refused again on a connection that was used for a listed one', async () => {
    const upstream = await echoServer();
    const port = await proxyFor([`ok.test:${upstream} private`]);
    const answer = await raw(
      port,
      `GET http://ok.test:${upstream}/1 HTTP/1.1\r\nHost: x\r\n\r\nGET http://evil.test/2 HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    expect(answer).toContain('blocked: domain not in allowlist: evil.test');
  });
});

describe('egress', () => {
  /** Of nobody here. */
  const ADDRESS = '127.1.2.3';

  test.each(['http://egress:9099/', 'http://EGRESS:9099/anthropic/v1/messages?x=1'])(
    'is reached in absolute form, at its own address and without a lookup: %s',
    async (url) => {
      const upstream = await listenAt(ADDRESS, 9099);
      const answer = await get(await proxyFor(['ok.test'], {}, ADDRESS), url);
      expect([statusOf(answer), bodyOf(answer)]).toEqual([200, upstream]);
      await logged('GET').toMatchObject({ host: 'egress', port: 9099, verdict: 'allow', status: 200 });
      expect(lookups).toEqual([]);
    },
  );

  test('that cannot be reached is called by its name: its address is not for the guest to know', async () => {
    const answer = await get(await proxyFor(['ok.test'], {}, ADDRESS), 'http://egress:9099/');
    expect([statusOf(answer), bodyOf(answer)]).toEqual([502, 'failed: cannot connect to egress:9099 (ECONNREFUSED)']);
    expect(answer).not.toContain(ADDRESS);
  });

  test('is where no other name leads to, private or not, either way and in any form of its address', async () => {
    const port = await echoServer();
    const proxy = await proxyFor(
      [`evil.test:${port} private`, `mixed.test:${port} private`],
      {
        'evil.test': [LOOPBACK, { address: '::ffff:127.0.0.1', family: 6 }, { address: '::ffff:7f00:1', family: 6 }],
        'mixed.test': [LOOPBACK, { address: '127.0.0.9', family: 4 }],
      },
      LOOPBACK.address,
    );
    const answers = [await get(proxy, `http://evil.test:${port}/`), await connectTo(proxy, `evil.test:${port}`)];
    expect(answers.map(statusOf)).toEqual([502, 502]);
    expect(answers.join()).toContain('cannot resolve evil.test');
    // What else the name leads to is tried, and nobody is there.
    expect(await get(proxy, `http://mixed.test:${port}/`)).toContain(`cannot connect to mixed.test:${port}`);
  });

  test('is refused where it does not run', async () => {
    expect(statusOf(await get(await proxyFor(['ok.test']), 'http://egress:9099/'))).toBe(403);
    expect(records).toMatchObject([{ host: 'egress', port: 9099, verdict: 'deny' }]);
  });

  test('is refused to a tunnel, which would be one past whoever looks at requests', async () => {
    const port = await proxyFor(['ok.test', '*.ok.test'], {}, ADDRESS);
    for (const target of [
      'egress:9099',
      'EGRESS:9099',
      'egress.:9099',
      'egress:443',
      `${ADDRESS}:9099`,
      `[::ffff:${ADDRESS}]:9099`,
    ]) {
      expect([target, statusOf(await connectTo(port, target))]).toEqual([target, 403]);
    }
    expect(records.map(({ verdict }) => verdict)).toEqual(Array(6).fill('deny'));
    expect(lookups).toEqual([]);
  });

  test('is the only thing there is behind that name: no other port, no other spelling of the place', async () => {
    const port = await proxyFor(['ok.test'], {}, ADDRESS);
    const others = ['egress/', 'egress:80/', 'egress:8888/', 'egress:9098/', 'x.egress:9099/', 'egress.x:9099/'];
    const places = [
      `${ADDRESS}:9099/`,
      '127.0.0.1:9099/',
      '2130772483:9099/',
      '0x7f.1.515:9099/',
      `[::ffff:${ADDRESS}]:9099/`,
    ];
    for (const rest of [...others, ...places]) {
      expect([rest, statusOf(await get(port, `http://${rest}`))]).toEqual([rest, 403]);
    }
    expect(statusOf(await get(port, 'http://user@egress:9099/'))).toBe(400);
    expect(records.filter(({ verdict }) => verdict === 'allow')).toEqual([]);
  });

  test('is refused again as soon as the policy says so', async () => {
    let egress: string | null = ADDRESS;
    const proxy = await startAllowListProxy({
      host: '127.0.0.1',
      port: 0,
      policy: () => ({ allow: [], egress }),
      onRequest: (record) => records.push(record),
    });
    cleanUp.push(() => proxy.close());
    await get(proxy.port, 'http://egress:9099/');
    egress = null;
    await get(proxy.port, 'http://egress:9099/');
    expect(records.map(({ verdict }) => verdict)).toEqual(['allow', 'deny']);
  });
});

test('a port that is not listed is refused', async () => {
  const port = await proxyFor(['ok.test', 'other.test:8443']);
  expect(bodyOf(await connectTo(port, 'ok.test:22'))).toBe('CONNECT blocked: port 22 not in allowlist: ok.test');
  expect(bodyOf(await get(port, 'http://other.test/'))).toBe('blocked: port 80 not in allowlist: other.test');
});

test('a body that would reach the upstream unframed, as a second request, is refused', async () => {
  const upstream = await echoServer();
  const port = await proxyFor([`ok.test:${upstream} private`]);
  const answer = await raw(
    port,
    `GET http://ok.test:${upstream}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n`,
  );
  expect(statusOf(answer)).toBe(411);
});

describe('what a listed name resolves to', () => {
  test('may not be private or loopback, unless its entry says so', async () => {
    const upstream = await echoServer();
    const port = await proxyFor([`ok.test:${upstream}`, `inside.test:${upstream} private`]);
    const refused = await get(port, `http://ok.test:${upstream}/`);
    expect(statusOf(refused)).toBe(403);
    expect(bodyOf(refused)).toBe('blocked: domain resolves to a private address: ok.test');
    expect(statusOf(await connectTo(port, `ok.test:${upstream}`))).toBe(403);
    expect(statusOf(await get(port, `http://inside.test:${upstream}/`))).toBe(200);
  });

  test('may never be link-local, where cloud metadata lives', async () => {
    const port = await proxyFor(['ok.test private'], { 'ok.test': [{ address: '169.254.169.254', family: 4 }] });
    expect(bodyOf(await get(port, 'http://ok.test/'))).toBe('blocked: domain resolves to a forbidden address: ok.test');
  });

  test('is refused as a whole when one of the addresses may not be', async () => {
    const mixed = [{ address: '93.184.216.34', family: 4 }, LOOPBACK];
    const port = await proxyFor(['ok.test'], { 'ok.test': mixed });
    expect(statusOf(await get(port, 'http://ok.test/'))).toBe(403);
  });

  test('is looked up once for a request, so that a second answer cannot lead elsewhere', async () => {
    const upstream = await echoServer();
    const port = await proxyFor([`ok.test:${upstream} private`]);
    expect(statusOf(await get(port, `http://ok.test:${upstream}/`))).toBe(200);
    expect(lookups).toEqual(['ok.test']);
  });

  test('is not asked of anyone for an address that is listed itself', async () => {
    const upstream = await echoServer();
    const port = await proxyFor([`127.0.0.1:${upstream}`]);
    expect(statusOf(await get(port, `http://127.0.0.1:${upstream}/`))).toBe(200);
    expect(lookups).toEqual([]);
  });
});

describe('behind the proxy of a company', () => {
  const behind = async (
    options: Parameters<typeof httpProxy>[0],
    allow: string[],
    egress: string | null = null,
    change: Partial<UpstreamProxy> = {},
  ) => {
    const company = await httpProxy(options);
    cleanUp.push(() => company.close());
    const proxy = { ...company.upstream, ...change };
    return { company, port: await proxyFor(allow, {}, egress, proxy) };
  };
  const login = { username: 'me', password: 'p:w' };

  test('plain HTTP is asked of it as such, and tunnels go through it, with its login', async () => {
    const upstream = await echoServer();
    const { company, port } = await behind({ login }, [`ok.test:${upstream}`]);
    const plain = JSON.parse(bodyOf(await get(port, `http://ok.test:${upstream}/a?b=1`)));
    expect(plain).toMatchObject({ url: '/a?b=1', headers: { host: `ok.test:${upstream}` } });
    expect(JSON.stringify(plain)).not.toContain('authorization');
    await tunnel(port, `ok.test:${upstream}`);
    expect(company.asked).toEqual([`GET http://ok.test:${upstream}/a?b=1`, `CONNECT ok.test:${upstream}`]);
    // Names are its to resolve.
    expect(lookups).toEqual([]);
  });

  test('what is refused here is never asked of it', async () => {
    const { company, port } = await behind({}, ['ok.test']);
    expect(statusOf(await get(port, 'http://other.test/'))).toBe(403);
    expect(statusOf(await connectTo(port, '10.0.0.1:443'))).toBe(403);
    expect(company.asked).toEqual([]);
  });

  test('hosts of its list, and egress, are reached directly', async () => {
    const upstream = await echoServer();
    const { company, port } = await behind({ noProxy: ['inside.test'] }, [`a.inside.test:${upstream} private`]);
    expect(statusOf(await get(port, `http://a.inside.test:${upstream}/`))).toBe(200);
    expect([company.asked, lookups]).toEqual([[], ['a.inside.test']]);
    const host = await listenAt('127.77.1.3', EGRESS_PORT);
    const other = await behind({}, [], host);
    expect(bodyOf(await get(other.port, `${EGRESS_URL}/`))).toBe(host);
    expect(other.company.asked).toEqual([]);
  });

  test.each([
    ['wants a login', { login }, { login: null }, 'wants a login (407)'],
    ['refuses the login', { login }, { login: { ...login, password: 'wrong' } }, 'refuses its login (407)'],
  ])('one that %s is told by name, by HTTP and CONNECT', async (_what, options, change, reason) => {
    const { company, port } = await behind(options, ['ok.test'], null, change);
    const message = `the proxy http://127.0.0.1:${company.upstream.port} ${reason}`;
    const plain = await get(port, 'http://ok.test/');
    expect([statusOf(plain), bodyOf(plain)]).toEqual([502, `failed: ${message}`]);
    const tunnelled = await connectTo(port, 'ok.test:443');
    expect([statusOf(tunnelled), bodyOf(tunnelled)]).toEqual([502, `CONNECT failed: ${message}`]);
    expect(plain + tunnelled).not.toContain('p:w');
  });

  test('what it will not or cannot do is 502 with its reason', async () => {
    const refusing = await behind({ refuse: 403 }, ['ok.test']);
    expect(bodyOf(await connectTo(refusing.port, 'ok.test:443'))).toMatch(
      /^CONNECT failed: the proxy .* refuses ok\.test:443 \(403\)$/,
    );
    const failing = await behind({ refuse: 503 }, ['ok.test']);
    expect(bodyOf(await connectTo(failing.port, 'ok.test:443'))).toMatch(/cannot reach ok\.test:443 \(503\)$/);
    const nobody = await behind({}, ['ok.test'], null, { port: await closedPort() });
    const nameless = await behind({}, ['ok.test'], null, { host: 'proxy.invalid' });
    for (const ask of [(at: number) => get(at, 'http://ok.test/'), (at: number) => connectTo(at, 'ok.test:443')]) {
      const answers = [await ask(nobody.port), await ask(nameless.port)];
      expect(answers.map(statusOf)).toEqual([502, 502]);
      expect(bodyOf(answers[0] ?? '')).toContain('cannot connect to the proxy http://127.0.0.1:');
      expect(bodyOf(answers[1] ?? '')).toContain('cannot resolve the proxy proxy.invalid');
    }
  });
});

describe('an upstream that fails', () => {
  test.each([
    ['ENOTFOUND', 'there is no such name'],
    ['EAI_AGAIN', 'no name server answers'],
  ])('because of its name (%s) says so', async (code, why) => {
    const port = await proxyFor(['ok.test'], { 'ok.test': Object.assign(new Error(code), { code }) });
    expect(bodyOf(await connectTo(port, 'ok.test:443'))).toBe(`CONNECT failed: cannot resolve ok.test: ${why}`);
    expect(records.map(({ verdict, status }) => [verdict, status])).toEqual([['allow', 502]]);
  });

  test('and does not resolve is 502, by HTTP and CONNECT', async () => {
    const port = await proxyFor(['ok.test'], { 'ok.test': [] });
    const plain = await get(port, 'http://ok.test/');
    expect([statusOf(plain), bodyOf(plain)]).toEqual([502, 'failed: cannot resolve ok.test']);
    const tunnelled = await connectTo(port, 'ok.test:443');
    expect([statusOf(tunnelled), bodyOf(tunnelled)]).toEqual([502, 'CONNECT failed: cannot resolve ok.test']);
    expect(records.map(({ verdict, status }) => [verdict, status])).toEqual([
      ['allow', 502],
      ['allow', 502],
    ]);
  });

  test('and does not listen is 502, by HTTP and CONNECT', async () => {
    const dead = await closedPort();
    const port = await proxyFor([`ok.test:${dead} private`]);
    expect(await get(port, `http://ok.test:${dead}/`)).toMatch(/^HTTP\/1\.1 502 .*ECONNREFUSED/s);
    expect(await connectTo(port, `ok.test:${dead}`)).toMatch(/^HTTP\/1\.1 502 .*ECONNREFUSED/s);
  });

  test('and hangs up without an answer is 502', async () => {
    const upstream = await listen(createTcpServer((socket) => socket.destroy()));
    const port = await proxyFor([`ok.test:${upstream} private`]);
    expect(statusOf(await get(port, `http://ok.test:${upstream}/`))).toBe(502);
  });

  test('in the middle of the body cuts the answer off, and the proxy lives on', async () => {
    const upstream = await listen(
      http.createServer((_request, response) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('part', () => response.destroy());
      }),
    );
    const port = await proxyFor([`ok.test:${upstream} private`]);
    const request = http.get({ port, host: '127.0.0.1', path: `http://ok.test:${upstream}/`, agent: false });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    await expect(text(response)).rejects.toThrow('aborted');
    expect(statusOf(await get(port, '/health'))).toBe(200);
  });
});

describe('asked itself', () => {
  const ask = async (port: number, path: string) => {
    const answer = await get(port, path);
    return [statusOf(answer), JSON.parse(bodyOf(answer))] as const;
  };

  test('it tells its health', async () => {
    expect(await ask(await proxyFor([]), '/health')).toEqual([200, { status: 'ok' }]);
  });

  test('it tells the verdict a request would get, and resolves and dials nothing for it', async () => {
    const port = await proxyFor(['ok.test', 'high.test:8443']);
    for (const [query, host, verdict] of [
      ['host=ok.test', 'ok.test', 'allow'],
      ['host=OK.test.&port=80', 'ok.test', 'allow'],
      ['host=ok.test&port=22', 'ok.test', 'deny'],
      ['host=high.test', 'high.test', 'deny'],
      ['host=high.test&port=8443', 'high.test', 'allow'],
      ['host=evil.test', 'evil.test', 'deny'],
      ['host=127.0.0.1', '127.0.0.1', 'deny'],
      ['host=ok.test@evil.test', 'ok.test@evil.test', 'deny'],
    ]) {
      expect(await ask(port, `/verdict?${query}`), query).toEqual([200, { host, verdict }]);
    }
    expect(lookups).toEqual([]);
  });

  test('it refuses a question without a host or with a port that is none', async () => {
    const port = await proxyFor([]);
    for (const query of ['', 'host=', 'host=a.test&port=x', 'host=a.test&port=0', 'host=a.test&port=65536']) {
      expect((await ask(port, `/verdict?${query}`))[0], query).toBe(400);
    }
  });

  test('it knows nothing else', async () => {
    const port = await proxyFor([]);
    for (const path of ['/', '/fetch?url=http://a.test', '/healthz', '//ok.test/']) {
      expect((await ask(port, path))[0], path).toBe(404);
    }
    expect(
      statusOf(await raw(port, 'POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')),
    ).toBe(404);
  });
});

test('closing ends the tunnels that are open', async () => {
  const upstream = await listen(createTcpServer((socket) => socket.pipe(socket)));
  const proxy = await startAllowListProxy({
    host: '127.0.0.1',
    port: 0,
    policy: () => ({ egress: null, allow: [parseAllowEntry(`127.0.0.1:${upstream}`)] }),
  });
  const socket = await tunnel(proxy.port, `127.0.0.1:${upstream}`);
  socket.write('ping');
  expect(String((await once(socket, 'data'))[0])).toBe('ping');
  const closed = once(socket, 'close');
  await proxy.close();
  await closed;
});
