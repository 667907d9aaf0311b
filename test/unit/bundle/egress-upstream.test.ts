import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Address } from '../../../src/bundle/dial.ts';
import { testCa } from '../../support/test-ca.ts';
import { answerTo, ask, clean, type EgressSite, egressSite, KEY, LISTEN, LOOPBACK, open } from './egress-site.ts';

let site: EgressSite;
beforeAll(() => {
  site = egressSite();
});
afterEach(() => clean(site));
afterAll(() => site.dispose());

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  site.cleanUp.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** An upstream that says these bytes over TLS and hangs up. */
const sayer = (bytes: string) =>
  listen(
    tls.createServer(site.ca.issue(['up.test']), (socket) => {
      socket.on('error', () => {}).once('data', () => socket.end(bytes));
    }),
  );

describe('the connection upstream', () => {
  test('is kept for the next request and the next configuration: one lookup, one handshake', async () => {
    const { port, server } = await site.upstream((_request, response) => response.end('ok'));
    let handshakes = 0;
    server.on('secureConnection', () => handshakes++);
    const egress = await site.egress([site.route(port)]);
    for (const path of ['/api/1', '/api/2'])
      expect((await ask(egress, path, { method: 'POST', body: 'x' })).body).toBe('ok');
    const auth = { header: 'x-api-key', value: 'another-credential' };
    await egress.configure({ listen: LISTEN, maxAnswerBytes: null, routes: [site.route(port, { auth })] });
    expect((await ask(egress, '/api/3')).body).toBe('ok');
    expect([handshakes, site.lookups]).toEqual([1, ['up.test']]);
  });

  test('is given up with its route', async () => {
    const { port, server } = await site.upstream((_request, response) => response.end('ok'));
    const egress = await site.egress([site.route(port)]);
    const [[socket]] = (await Promise.all([once(server, 'secureConnection'), ask(egress, '/api/x')])) as [
      [tls.TLSSocket],
      unknown,
    ];
    const closed = once(socket, 'close');
    await egress.configure({ listen: LISTEN, maxAnswerBytes: null, routes: [] });
    await closed;
  });

  test('under way when its route goes is given up once it is through', async () => {
    const { port, server } = await site.upstream((_request, response) => response.write('1'));
    const egress = await site.egress([site.route(port)]);
    const request = open(egress, '/api/x');
    request.end();
    const [, answer] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
    const { socket } = answer;
    const response = await answerTo(request);
    await egress.configure({ listen: LISTEN, maxAnswerBytes: null, routes: [] });
    answer.end('2');
    expect(await text(response)).toBe('12');
    // Both sides would keep it for seconds.
    await expect.poll(() => socket?.destroyed).not.toBe(false);
  });

  test('tells the name of the upstream to it (SNI), and is believed for that name only', async () => {
    const { port, server } = await site.upstream((_request, response) => response.end('ok'));
    const names: unknown[] = [];
    server.on('secureConnection', (socket: tls.TLSSocket) => names.push(socket.servername));
    const egress = await site.egress([
      site.route(port),
      site.route(port, { id: 'other', upstream: `https://other.test:${port}` }),
      site.route(port, { id: 'address', upstream: `https://127.0.0.1:${port}` }),
    ]);
    expect((await ask(egress, '/api/x', { headers: { host: 'evil.test' } })).status).toBe(200);
    expect((await ask(egress, '/address/x')).status).toBe(200);
    expect(names).toEqual(['up.test', false]);
    expect(await ask(egress, '/other/x')).toMatchObject({
      status: 502,
      body: `failed: the certificate of other.test:${port} is for another name`,
    });
  });
});

describe('a certificate', () => {
  test("of a CA that the route does not know is refused, and another route's CA does not help", async () => {
    const stranger = testCa();
    site.cleanUp.push(() => stranger.dispose());
    const port = await site.echo();
    const egress = await site.egress([
      site.route(port, { id: 'wrong', ca: stranger.cert }),
      site.route(port, { id: 'none', ca: null }),
      site.route(port),
    ]);
    for (const id of ['wrong', 'none']) {
      const answer = await ask(egress, `/${id}/x`, { method: 'POST', body: 'x' });
      expect(answer.status).toBe(502);
      expect(answer.body).toMatch(/^failed: the certificate of up\.test:\d+ is not trusted \([A-Z_]+\)$/);
      expect(JSON.stringify(answer)).not.toContain(KEY);
    }
    expect((await ask(egress, '/api/x')).status).toBe(200);
  });
});

describe('what the name of an upstream leads to', () => {
  /** Egress whose one route's name leads to these, lookup by lookup. */
  const leadingTo = async (port: number, answers: Address[][], mayBePrivate: boolean) =>
    site.egress([site.route(port, { private: mayBePrivate })], {
      connectTimeoutMs: 300,
      resolve: async (name) => answers[Math.min(site.lookups.push(name), answers.length) - 1] ?? [],
    });
  const PUBLIC: Address = { address: '203.0.113.7', family: 4 };
  const METADATA: Address = { address: '169.254.169.254', family: 4 };

  test('may be private only when the route says so', async () => {
    const port = await site.echo();
    expect(await ask(await leadingTo(port, [[LOOPBACK]], false), '/api/x')).toMatchObject({
      status: 403,
      body: 'blocked: domain resolves to a private address: up.test',
    });
    expect((await ask(await leadingTo(port, [[LOOPBACK]], true), '/api/x')).status).toBe(200);
  });

  test('may never be link-local, where cloud metadata lives, nor may any of several be private', async () => {
    const port = await site.echo();
    expect(await ask(await leadingTo(port, [[METADATA]], true), '/api/x')).toMatchObject({
      status: 403,
      body: 'blocked: domain resolves to a forbidden address: up.test',
    });
    expect((await ask(await leadingTo(port, [[LOOPBACK, METADATA]], true), '/api/x')).status).toBe(403);
    expect((await ask(await leadingTo(port, [[PUBLIC, LOOPBACK]], false), '/api/x')).status).toBe(403);
  });

  test('is asked once for a connection: a second answer cannot lead elsewhere', async () => {
    const { port, server } = await site.upstream((_request, response) => response.end('ok'));
    let connections = 0;
    server.on('connection', () => connections++);
    const rebinding = await leadingTo(port, [[PUBLIC], [LOOPBACK]], false);
    expect((await ask(rebinding, '/api/x')).status).toBe(502);
    expect([site.lookups, connections]).toEqual([['up.test'], 0]);
    expect((await ask(rebinding, '/api/x')).status).toBe(403);
    expect(connections).toBe(0);
    site.lookups.length = 0;
    const kept = await leadingTo(port, [[LOOPBACK], [METADATA]], true);
    for (let turn = 0; turn < 3; turn++) expect((await ask(kept, '/api/x')).body).toBe('ok');
    expect([site.lookups, connections]).toEqual([['up.test'], 1]);
  });

  test('is tried address by address', async () => {
    const port = await site.echo();
    const nobody: Address = { address: '127.0.0.99', family: 4 };
    expect((await ask(await leadingTo(port, [[nobody, LOOPBACK]], true), '/api/x')).status).toBe(200);
  });

  test.each([
    ['127.0.0.1', false, 403, 'blocked: private address: 127.0.0.1'],
    ['2130706433', false, 403, 'blocked: private address: 127.0.0.1'],
    ['[::1]', false, 403, 'blocked: private address: ::1'],
    ['[::ffff:127.0.0.1]', false, 403, 'blocked: private address: ::ffff:7f00:1'],
    ['169.254.169.254', true, 403, 'blocked: forbidden address: 169.254.169.254'],
    ['[fe80::1]', true, 403, 'blocked: forbidden address: fe80::1'],
    ['0.0.0.0', true, 403, 'blocked: forbidden address: 0.0.0.0'],
    ['127.0.0.1', true, 200, ''],
  ])('is judged as well when it is an address itself: %s (private: %s)', async (host, mayBePrivate, status, body) => {
    const port = await site.echo();
    const egress = await site.egress([
      site.route(port, { upstream: `https://${host}:${port}`, private: mayBePrivate }),
    ]);
    const answer = await ask(egress, '/api/x');
    expect(answer.status).toBe(status);
    if (body !== '') expect(answer.body).toBe(body);
    expect(site.lookups).toEqual([]);
  });
});

describe('an upstream that cannot be reached', () => {
  test('is 502, and says why in plain words', async () => {
    const closed = createTcpServer();
    const port = await listen(closed);
    closed.close();
    const egress = await site.egress([site.route(port)]);
    expect(await ask(egress, '/api/x', { method: 'POST', body: 'x'.repeat(100_000) })).toMatchObject({
      status: 502,
      body: `failed: no answer from up.test:${port} (ECONNREFUSED)`,
    });
    const nameless = await site.egress([site.route(port)], { resolve: async () => [] });
    expect(await ask(nameless, '/api/x')).toMatchObject({ status: 502, body: 'failed: cannot resolve up.test' });
  });

  test('because it speaks no TLS is 502, and is sent nothing in the clear', async () => {
    let heard = '';
    const port = await listen(
      createTcpServer((socket) => {
        socket
          .on('error', () => {})
          .on('data', (data) => {
            heard += data.toString('latin1');
            socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
          });
      }),
    );
    const egress = await site.egress([site.route(port)]);
    const answer = await ask(egress, '/api/nothing-in-the-clear');
    expect(answer.status).toBe(502);
    expect(answer.body).toMatch(/^failed: no TLS with up\.test:\d+ \([A-Z_]+\)$/);
    // Long: two characters stand by chance in a hello's thousand random bytes.
    expect(heard).not.toContain('/nothing-in-the-clear');
    expect(heard).not.toContain(KEY);
  });

  test.each(['the name', 'the handshake'])('because %s takes too long is 502', async (what) => {
    const port = await listen(createTcpServer((socket) => site.cleanUp.push(() => socket.destroy())));
    const resolve = what === 'the name' ? () => new Promise<Address[]>(() => {}) : async () => [LOOPBACK];
    const egress = await site.egress([site.route(port)], { connectTimeoutMs: 50, resolve });
    expect(await ask(egress, '/api/x')).toMatchObject({
      status: 502,
      body: `failed: no connection to up.test:${port} in time`,
    });
  });

  test.each([
    ['no HTTP', 'nonsense\r\n\r\n', /no answer from up\.test:\d+ \(HPE_[A-Z_]+\)/],
    [
      'a status that is none',
      'HTTP/1.1 042 Odd\r\nContent-Length: 0\r\n\r\n',
      /up\.test:\d+ answered with no valid status/,
    ],
    [
      'another protocol',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
      /no answer from/,
    ],
    [
      'both lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      /no answer from/,
    ],
    [
      'headers without end',
      `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}`,
      /no answer from up\.test:\d+ \(HPE_HEADER_OVERFLOW\)/,
    ],
  ])('because it answers with %s is 502, and egress lives on', async (_what, bytes, words) => {
    const egress = await site.egress([site.route(await sayer(bytes)), site.route(await site.echo(), { id: 'good' })]);
    const answer = await ask(egress, '/api/x');
    expect([answer.status, answer.body]).toEqual([502, expect.stringMatching(words)]);
    expect((await ask(egress, '/good/x')).status).toBe(200);
  });
});

describe('as a daemon', () => {
  const daemon = (env: Record<string, string> = {}) => {
    const file = JSON.stringify(fileURLToPath(new URL('../../../src/bundle/egress.ts', import.meta.url)));
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', `import(${file}).then(({ runEgress }) => runEgress())`],
      { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
    );
    site.cleanUp.push(() => child.kill('SIGKILL'));
    return child;
  };

  const freePort = async () => {
    const server = createTcpServer();
    const port = await listen(server);
    server.close();
    await once(server, 'close');
    return port;
  };

  test('it takes its configuration as a message, logs lines of JSON, and ends on SIGTERM', async () => {
    const port = await freePort();
    const child = daemon();
    const output = text(child.stdout as Readable);
    const routes = [site.route(1, { upstream: 'https://127.0.0.1:1', private: false })];
    child.send({ config: { listen: { host: '127.0.0.1', port }, maxAnswerBytes: null, routes } });
    expect((await once(child, 'message'))[0]).toBe('ready');
    expect((await ask({ port }, '/api/x')).body).toBe('blocked: private address: 127.0.0.1');
    child.kill('SIGTERM');
    expect((await once(child, 'exit'))[0]).toBe(0);
    const [line = '', ...rest] = (await output).split('\n');
    expect(JSON.parse(line)).toMatchObject({ event: 'request', route: 'api', status: 403 });
    expect(rest).toEqual(['']);
  });

  test('it believes the usual CAs beside that of a route', async () => {
    const stranger = testCa();
    site.cleanUp.push(() => stranger.dispose());
    const [port, upstream] = [await freePort(), `https://127.0.0.1:${await site.echo()}`];
    const child = daemon({ NODE_EXTRA_CA_CERTS: site.ca.file });
    const routes = [stranger.cert, null].map((ca, at) => site.route(1, { id: `${at}`, upstream, ca }));
    child.send({ config: { listen: { host: '127.0.0.1', port }, maxAnswerBytes: null, routes } });
    await once(child, 'message');
    for (const { id } of routes) expect((await ask({ port }, `/${id}/x`)).status).toBe(200);
  });

  test('it ends with a line that names the route, not the value, when it cannot take it', async () => {
    const child = daemon();
    const errors = text(child.stderr as Readable);
    child.send({
      config: {
        listen: LISTEN,
        maxAnswerBytes: null,
        routes: [site.route(1, { auth: { header: 'x', value: `${KEY}\n` } })],
      },
    });
    expect((await once(child, 'exit'))[0]).toBe(1);
    expect(await errors).toMatch(/^error: route "api": its credential has a line break .*\n$/);
    expect(await errors).not.toContain(KEY);
  });
});
