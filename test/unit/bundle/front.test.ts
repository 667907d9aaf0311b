import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { startFront } from '../../../src/bundle/front.ts';
import { freePort } from '../../support/free-port.ts';

const HOST = '127.0.0.1';
const EGRESS = 'egress:9099';

const cleanUp: Array<() => unknown> = [];
afterEach(async () => {
  for (const undo of cleanUp.splice(0).reverse()) await undo();
});

/** Who is asked in the scanner's place. */
async function scanner(handler: http.RequestListener): Promise<number> {
  const server = http.createServer(handler).listen(0, HOST);
  await once(server, 'listening');
  cleanUp.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** One that answers with what it was asked. */
const echo = () =>
  scanner(async (request, response) => {
    const { method, url, rawHeaders } = request;
    response.end(JSON.stringify({ method, url, rawHeaders, body: await text(request) }));
  });

async function frontOf(scannerPort: number): Promise<number> {
  const front = startFront();
  const port = await freePort();
  await front.configure({ listen: { host: HOST, port }, scanner: { host: HOST, port: scannerPort } });
  cleanUp.push(() => front.close());
  return port;
}

function ask(port: number, path: string, options: http.RequestOptions = {}): http.ClientRequest {
  const headers = { Host: EGRESS, ...(options.headers as object) };
  return http.request({ host: HOST, port, path, agent: false, ...options, headers });
}

async function answerTo(request: http.ClientRequest): Promise<http.IncomingMessage> {
  return ((await once(request, 'response')) as [http.IncomingMessage])[0];
}

async function asked(port: number, path: string, options: http.RequestOptions = {}, body?: string) {
  const request = ask(port, path, options);
  request.end(body);
  const answer = await answerTo(request);
  const said = await text(answer);
  return { status: answer.statusCode, headers: answer.headers, said };
}

/** Sends the text as it is; all that comes back until the end of the connection. */
function raw(port: number, request: string): Promise<string> {
  const socket = net.connect(port, HOST);
  socket.write(request);
  return text(socket);
}

describe('a request for egress', () => {
  test('goes to the scanner in absolute form, with its method, path, headers and body as they were', async () => {
    const port = await frontOf(await echo());
    const headers = { 'X-Two': ['a', 'b'], 'x-API-key': 'k', 'Content-Type': 'text/plain' };
    const { status, said } = await asked(port, '/model/v1?q=%20x//y', { method: 'PUT', headers }, 'body');
    const seen = JSON.parse(said) as { method: string; url: string; rawHeaders: string[]; body: string };
    expect([status, seen.method, seen.url, seen.body]).toEqual([
      200,
      'PUT',
      'http://egress:9099/model/v1?q=%20x//y',
      'body',
    ]);
    const pairs = seen.rawHeaders.flatMap((name, at, all) => (at % 2 === 0 ? [`${name}: ${all[at + 1]}`] : []));
    expect(pairs).toEqual(
      expect.arrayContaining(['X-Two: a', 'X-Two: b', 'x-API-key: k', 'Content-Type: text/plain', `Host: ${EGRESS}`]),
    );
    expect(pairs.filter((pair) => pair.toLowerCase().startsWith('host:'))).toEqual([`Host: ${EGRESS}`]);
  });

  test('is told from others in every spelling of the name, and in absolute form too', async () => {
    const port = await frontOf(await echo());
    for (const host of ['EGRESS:9099', 'egress.:9099']) {
      expect(JSON.parse((await asked(port, '/x', { headers: { Host: host } })).said).url).toBe('http://egress:9099/x');
    }
    for (const [path, url] of [
      ['http://egress:9099/x?y', '/x?y'],
      ['http://egress:9099', '/'],
      ['http://EGRESS:9099?q', '/?q'],
    ] as const)
      expect(JSON.parse((await asked(port, path)).said).url).toBe(`http://egress:9099${url}`);
  });

  test('of one connection is one request, whatever its headers say of others', async () => {
    const seen: string[] = [];
    const port = await frontOf(
      await scanner(async (request, response) => {
        seen.push(`${request.method} ${request.url} ${JSON.stringify(request.headers['x-hop'] ?? null)}`);
        response.end(await text(request));
      }),
    );
    const smuggled = 'GET http://elsewhere/ HTTP/1.1\r\nHost: elsewhere\r\n\r\n';
    const head = `POST /a HTTP/1.1\r\nHost: ${EGRESS}\r\nConnection: close, content-length, x-hop\r\nX-Hop: 1\r\n`;
    const answer = await raw(port, `${head}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`);
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen).toEqual(['POST http://egress:9099/a null']);
    expect(await raw(port, `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 400 /,
    );
    expect(seen).toHaveLength(1);
  });

  test('with a chunked body arrives with it, be it a GET: what is wrong with that is the scanner to say', async () => {
    const port = await frontOf(await echo());
    for (const method of ['POST', 'GET']) {
      const { said } = await asked(port, '/', { method, headers: { 'Transfer-Encoding': 'chunked' } }, 'in pieces');
      expect(JSON.parse(said)).toMatchObject({ method, body: 'in pieces' });
    }
  });

  test('waits for Continue no longer than for the front, and has its body passed on', async () => {
    const port = await frontOf(await echo());
    const request = ask(port, '/', { method: 'POST', headers: { Expect: '100-continue', 'Content-Length': 2 } });
    request.flushHeaders();
    await once(request, 'continue');
    request.end('ok');
    expect(JSON.parse(await text(await answerTo(request))).body).toBe('ok');
  });
});

describe('a body streams', () => {
  test('back: events come one by one, also before there is any', async () => {
    let next = (): void => undefined;
    const port = await frontOf(
      await scanner((_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
        let count = 0;
        next = () => response.write(`data: ${count++}\n\n`);
      }),
    );
    const request = ask(port, '/events').end();
    const answer = await answerTo(request);
    expect(answer.headers['content-type']).toBe('text/event-stream');
    for (const at of [0, 1, 2]) {
      next();
      expect(String((await once(answer, 'data'))[0])).toBe(`data: ${at}\n\n`);
    }
    request.destroy();
  });

  test('out: the scanner has the first piece while the second was not sent', async () => {
    const pieces: string[] = [];
    const arrived = Promise.withResolvers<void>();
    const port = await frontOf(
      await scanner((request, response) => {
        request.on('data', (piece) => {
          pieces.push(String(piece));
          arrived.resolve();
        });
        request.on('end', () => response.end(pieces.join('|')));
      }),
    );
    const request = ask(port, '/', { method: 'POST' });
    request.write('one');
    await arrived.promise;
    request.end('two');
    expect(await text(await answerTo(request))).toBe('one|two');
  });

  test('only as fast as it is read: what nobody takes is not kept', async () => {
    let written = 0;
    const port = await frontOf(
      await scanner((_request, response) => {
        const piece = Buffer.alloc(1024 ** 2);
        (function more() {
          written++;
          if (written < 256) response.write(piece, () => setImmediate(more));
          else response.end();
        })();
      }),
    );
    const request = ask(port, '/big').end();
    const answer = await answerTo(request);
    let before = -1;
    await expect
      .poll(() => {
        const stands = written === before;
        before = written;
        return stands && written > 0;
      })
      .toBe(true);
    expect(written).toBeLessThan(128);
    let read = 0;
    for await (const piece of answer) read += piece.length;
    expect(read).toBe(255 * 1024 ** 2);
  });

  test('an answer that breaks off does not pass for a whole one, and who leaves is left', async () => {
    const left = Promise.withResolvers<void>();
    const port = await frontOf(
      await scanner((request, response) => {
        response.write('half');
        if (request.url?.endsWith('/cut')) setImmediate(() => response.destroy());
        else response.once('close', () => left.resolve());
      }),
    );
    const cut = await answerTo(ask(port, '/cut').end());
    await expect(text(cut)).rejects.toThrow('aborted');
    const request = ask(port, '/stay').end();
    await answerTo(request);
    request.destroy();
    await left.promise;
  });

  test('an early refusal is told, though the upload goes on', async () => {
    const port = await frontOf(
      await scanner((_request, response) => response.writeHead(403, { connection: 'close' }).end('blocked: it')),
    );
    const request = ask(port, '/', { method: 'POST' });
    request.on('error', () => undefined);
    request.write('some');
    const answer = await answerTo(request);
    expect([answer.statusCode, await text(answer)]).toEqual([403, 'blocked: it']);
    request.destroy();
  });
});

describe('nothing else is passed on', () => {
  test.each([
    ['another host', 'GET / HTTP/1.1\r\nHost: elsewhere.test\r\nConnection: close\r\n\r\n', 421],
    ['another port', 'GET / HTTP/1.1\r\nHost: egress:80\r\nConnection: close\r\n\r\n', 421],
    ['the address', 'GET / HTTP/1.1\r\nHost: 10.0.0.2:9099\r\nConnection: close\r\n\r\n', 421],
    [
      'another host in absolute form',
      `GET http://a.test/ HTTP/1.1\r\nHost: ${EGRESS}\r\nConnection: close\r\n\r\n`,
      421,
    ],
    [
      'user information',
      `GET http://egress:9099@a.test/ HTTP/1.1\r\nHost: ${EGRESS}\r\nConnection: close\r\n\r\n`,
      421,
    ],
    ['another scheme', `GET ftp://egress:9099/ HTTP/1.1\r\nHost: ${EGRESS}\r\nConnection: close\r\n\r\n`, 421],
    ['no path at all', `OPTIONS * HTTP/1.1\r\nHost: ${EGRESS}\r\nConnection: close\r\n\r\n`, 421],
    ['a tunnel to egress', `CONNECT ${EGRESS} HTTP/1.1\r\nHost: ${EGRESS}\r\n\r\nGET / HTTP/1.1\r\n\r\n`, 405],
    ['a tunnel to elsewhere', 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n', 405],
  ])('%s', async (_what, request, status) => {
    let count = 0;
    const port = await frontOf(
      await scanner((_request, response) => {
        count++;
        response.end();
      }),
    );
    expect(await raw(port, request)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(count).toBe(0);
  });

  test('a change of protocol: it is asked as any other request', async () => {
    const port = await frontOf(await echo());
    const { said } = await asked(port, '/', { headers: { Connection: 'Upgrade', Upgrade: 'websocket' } });
    expect(JSON.parse(said).rawHeaders.join().toLowerCase()).not.toMatch(/upgrade|websocket/);
  });
});

test('a scanner that does not answer is said to be that', async () => {
  const port = await frontOf(await freePort());
  const { status, said } = await asked(port, '/');
  expect([status, said]).toEqual([502, 'failed: the scanner does not answer\n']);
});

test('many at once, on kept connections, each get their own answer', async () => {
  const port = await frontOf(await echo());
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  cleanUp.push(() => agent.destroy());
  const urls = await Promise.all(
    Array.from(
      { length: 200 },
      async (_, at) => JSON.parse((await asked(port, `/${at}`, { agent })).said).url as string,
    ),
  );
  expect(urls).toEqual(urls.map((_, at) => `http://egress:9099/${at}`));
});
