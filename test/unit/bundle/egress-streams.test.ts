import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { answerTo, ask, clean, type EgressSite, egressSite, KEY, LISTEN, open } from './egress-site.ts';

let site: EgressSite;
beforeAll(() => {
  site = egressSite();
});
afterEach(() => clean(site));
afterAll(() => site.dispose());

/** Routes that look for secrets in answers, and that do not: the two ways an answer can take. */
const WITH_AND_WITHOUT: [string, string[]][] = [
  ['with secrets', [KEY]],
  ['without secrets', []],
];
const MIB = 1024 * 1024;
/** What sockets hold back on both sides of egress, some tens of MiB on one kernel, is far below this on any. */
const MOST = 1024 * MIB;

/** An upstream that leaves each request to the test. */
async function heldUpstream() {
  const arrived: [IncomingMessage, ServerResponse][] = [];
  const { port, server } = await site.upstream((request, response) => arrived.push([request, response]));
  const next = async (): Promise<[IncomingMessage, ServerResponse]> => {
    while (arrived.length === 0) await once(server, 'request');
    return arrived.shift() as [IncomingMessage, ServerResponse];
  };
  return { port, next };
}

/** The path and status of the last request that is over: logged after all else, so it is waited for. */
const lastRecord = () => expect.poll(() => JSON.parse(site.lines.at(-1) ?? '{}') as object);

/** Resolves with a count once it stays the same although everybody had many turns. */
async function standstill(count: () => number): Promise<number> {
  for (let last = -1, same = 0; same < 3000; await turn()) {
    same = count() === last ? same + 1 : 0;
    last = count();
  }
  return count();
}

/** Pieces made when they are asked for, until it is told to end, or there were `MOST` bytes; counts and hashes what was taken. */
function source() {
  const made = { bytes: 0, hash: createHash('sha256') };
  const piece = randomBytes(64 * 1024);
  let most = MOST;
  const stream = new Readable({
    read() {
      if (made.bytes >= most) {
        this.push(null);
        return;
      }
      made.bytes += piece.length;
      made.hash.update(piece);
      this.push(piece);
    },
  });
  /** Some more than what fits in between, so that all of it was held back once. */
  const end = () => {
    most = made.bytes + 20 * MIB;
  };
  return { made, stream, end };
}

async function digest(stream: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

describe.each(WITH_AND_WITHOUT)('a route %s', (_what, secrets) => {
  test('streams: the headers arrive before any event, and each event before the next is sent', async () => {
    const upstream = await heldUpstream();
    const egress = await site.egress([site.route(upstream.port, { secrets })]);
    const request = open(egress, '/api/x', { method: 'POST' });
    request.end('{}');
    const [, stream] = await upstream.next();
    // Nothing more is sent upstream until the step before has arrived here, so buffering anywhere would hang the test.
    stream.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    const response = await answerTo(request);
    expect(response.headers['content-type']).toBe('text/event-stream');
    const chunks = response[Symbol.asyncIterator]();
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      stream.write(event);
      expect(String((await chunks.next()).value)).toBe(event);
    }
    stream.end();
    expect((await chunks.next()).done).toBe(true);
  });

  test('takes an answer down at the pace of the client, and whole', async () => {
    const { made, stream, end } = source();
    const upstream = await heldUpstream();
    const egress = await site.egress([site.route(upstream.port, { secrets })]);
    const request = open(egress, '/api/x');
    request.end();
    const [, answer] = await upstream.next();
    answer.writeHead(200);
    const sent = pipeline(stream, answer);
    const response = await answerTo(request); // and is not read yet
    expect(await standstill(() => made.bytes)).toBeLessThan(MOST);
    end();
    const arrived = await digest(response);
    await sent;
    expect(arrived).toBe(made.hash.digest('hex'));
  });

  test('breaks the answer off where the upstream does, with chunks as with a length', async () => {
    const upstream = await heldUpstream();
    const egress = await site.egress([site.route(upstream.port, { secrets })]);
    for (const headers of [{}, { 'content-length': 100 }]) {
      const request = open(egress, '/api/x');
      request.end();
      const [, answer] = await upstream.next();
      answer.writeHead(200, headers).write('the beginning');
      const response = await answerTo(request);
      const chunks = response[Symbol.asyncIterator]();
      expect(String((await chunks.next()).value)).toBe('the beginning');
      answer.destroy();
      await expect(chunks.next()).rejects.toThrow('aborted');
      expect(response.complete).toBe(false);
      await lastRecord().toMatchObject({ event: 'request', status: 502 });
      site.lines.length = 0;
    }
  });

  test('ends the request upstream when the client leaves in the middle of the answer', async () => {
    const upstream = await heldUpstream();
    const egress = await site.egress([site.route(upstream.port, { secrets })]);
    const request = open(egress, '/api/x');
    request.on('error', () => {}).end();
    const [, answer] = await upstream.next();
    answer.write('the beginning');
    await answerTo(request);
    request.destroy();
    await once(answer, 'close');
    expect(answer.writableFinished).toBe(false);
    await lastRecord().toMatchObject({ event: 'request', path: '/x', status: 0 });
  });
});

test('an upload goes at the pace of the upstream, and whole', async () => {
  const { made, stream, end } = source();
  const upstream = await heldUpstream();
  const egress = await site.egress([site.route(upstream.port)]);
  const request = open(egress, '/api/x', { method: 'PUT' });
  const sent = pipeline(stream, request);
  const [incoming, answer] = await upstream.next(); // and is not read yet
  expect(await standstill(() => made.bytes)).toBeLessThan(MOST);
  end();
  const arrived = await digest(incoming);
  await sent;
  expect(arrived).toBe(made.hash.digest('hex'));
  answer.end('done');
  expect(await text(await answerTo(request))).toBe('done');
});

test('an answer may take as long as it takes, over a new connection and one that was kept', async () => {
  const upstream = await heldUpstream();
  const egress = await site.egress([site.route(upstream.port)]);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }); // egress' own; Node's are not touched
  site.cleanUp.push(() => vi.useRealTimers());
  for (const path of ['/api/1', '/api/2']) {
    const asking = ask(egress, path);
    const [, answer] = await upstream.next();
    answer.write('1');
    vi.advanceTimersByTime(3_600_000);
    answer.end('2');
    expect((await asking).body).toBe('12');
  }
  expect(site.lookups).toHaveLength(1);
});

test('a body and its answer stream at the same time', async () => {
  const upstream = await heldUpstream();
  const egress = await site.egress([site.route(upstream.port)]);
  const request = open(egress, '/api/x', { method: 'POST', headers: { 'transfer-encoding': 'chunked' } });
  request.flushHeaders();
  const [incoming, answer] = await upstream.next(); // before there is any body
  answer.flushHeaders();
  const chunks = (await answerTo(request))[Symbol.asyncIterator]();
  const bodies = incoming[Symbol.asyncIterator]();
  for (const part of ['one', 'two']) {
    request.write(part);
    expect(String((await bodies.next()).value)).toBe(part);
    answer.write(part);
    expect(String((await chunks.next()).value)).toBe(part);
  }
  request.end();
  expect((await bodies.next()).done).toBe(true);
  answer.end();
  expect((await chunks.next()).done).toBe(true);
});

test('a client that leaves in the middle of its upload is not taken for one that is done', async () => {
  const upstream = await heldUpstream();
  const egress = await site.egress([site.route(upstream.port)]);
  for (const headers of [{ 'transfer-encoding': 'chunked' }, { 'content-length': 100 }]) {
    const request = open(egress, '/api/x', { method: 'POST', headers });
    request.on('error', () => {}).write('the beginning');
    const [incoming] = await upstream.next();
    const reading = text(incoming);
    request.destroy();
    await expect(reading).rejects.toThrow('aborted');
    expect(incoming.complete).toBe(false);
    await lastRecord().toMatchObject({ status: 0 });
    site.lines.length = 0;
  }
});

test('a client that leaves before there is an answer ends the request upstream', async () => {
  const upstream = await heldUpstream();
  const egress = await site.egress([site.route(upstream.port)]);
  const request = open(egress, '/api/x');
  request.on('error', () => {}).end();
  const [, answer] = await upstream.next();
  request.destroy();
  await once(answer, 'close');
  await lastRecord().toMatchObject({ status: 0 });
  expect(site.lines).toHaveLength(1);
});

test('an upstream that hangs up without an answer is 502', async () => {
  const upstream = await heldUpstream();
  const egress = await site.egress([site.route(upstream.port)]);
  const asking = ask(egress, '/api/x', { method: 'POST', body: 'x' });
  const [incoming] = await upstream.next();
  incoming.socket.destroy();
  expect(await asking).toMatchObject({
    status: 502,
    body: `failed: no answer from up.test:${upstream.port} (ECONNRESET)`,
  });
});

test('an answer that comes before the upload is over is passed on, and the connection can be used again', async () => {
  const upstream = await heldUpstream();
  const egress = await site.egress([site.route(upstream.port)]);
  // Node's own client gives up its upload at such an answer; others, like Go's, may go on to the end.
  const socket = connect(egress.port, '127.0.0.1');
  const answers = text(socket);
  socket.write(`PUT /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: ${20 * MIB}\r\n\r\n`);
  const { stream, end } = source();
  end();
  const sent = pipeline(stream, socket, { end: false });
  const [, early] = await upstream.next();
  early.writeHead(413).end('too large');
  await sent;
  socket.write('GET /api/y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const [, answer] = await upstream.next();
  answer.end('ok');
  expect((await answers).match(/HTTP\/1\.1 \d+|too large|ok\b/g)).toEqual([
    'HTTP/1.1 413',
    'too large',
    'HTTP/1.1 200',
    'ok',
  ]);
});

test('a new configuration counts at once, and what is under way goes on as it began', async () => {
  const upstream = await heldUpstream();
  const egress = await site.egress([site.route(upstream.port), site.route(upstream.port, { id: 'gone' })]);
  const streams = await Promise.all(
    ['/api/x', '/gone/x'].map(async (path) => {
      const request = open(egress, path);
      request.end();
      const [incoming, answer] = await upstream.next();
      answer.write('1');
      const chunks = (await answerTo(request))[Symbol.asyncIterator]();
      expect(String((await chunks.next()).value)).toBe('1');
      expect(incoming.headers['x-api-key']).toBe(KEY);
      return { answer, chunks };
    }),
  );
  const auth = { header: 'x-api-key', value: 'another-credential' };
  await egress.configure({ listen: LISTEN, maxAnswerBytes: null, routes: [site.route(upstream.port, { auth })] });
  expect((await ask(egress, '/gone/x')).status).toBe(404);
  const asking = ask(egress, '/api/y');
  const [incoming, next] = await upstream.next();
  expect(incoming.headers['x-api-key']).toBe('another-credential');
  next.end('new');
  expect((await asking).body).toBe('new');
  for (const { answer, chunks } of streams) {
    answer.write('2');
    expect(String((await chunks.next()).value)).toBe('2');
    answer.end();
    expect((await chunks.next()).done).toBe(true);
  }
});
