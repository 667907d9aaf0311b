import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Supervise, startSupervise } from '../../../src/bundle/supervise.ts';
import { parseAskLine } from '../../../src/core/asks.ts';
import type { RouteView, SuperviseConfig } from '../../../src/core/bundle-config.ts';
import type { RequestView } from '../../../src/core/requests.ts';

const ERAS = ['2025-11-25', '2026-07-28'] as const;
type Era = (typeof ERAS)[number];

let lines: string[];
let daemon: Supervise;
let config: SuperviseConfig;
let cleanUp: Array<() => unknown>;

beforeEach(async () => {
  cleanUp = [];
  lines = [];
  config = {
    listen: { host: '127.0.0.1', port: 0 },
    maxPending: 3,
    routes: [],
    repositories: ['notes'],
    requests: [],
  };
  daemon = startSupervise({ tell: (line) => lines.push(line) });
  cleanUp.push(() => daemon.close());
  await daemon.configure(config);
});

afterEach(async () => {
  for (const undo of cleanUp.reverse()) await undo();
});

const url = (path = '/mcp') => new URL(path, `http://127.0.0.1:${daemon.port()}`);

async function clientOf(era: Era): Promise<Client> {
  const mode = era === '2025-11-25' ? 'legacy' : { pin: era };
  const client = new Client({ name: 'test', version: '1.0.0' }, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(url()));
  expect(client.getNegotiatedProtocolVersion()).toBe(era);
  cleanUp.push(() => client.close());
  return client;
}

interface Answer {
  data: Record<string, unknown>;
  text: string;
  isError: boolean;
}

async function call(
  client: Client,
  name: string,
  args: Record<string, unknown>,
  signal?: AbortSignal,
): Promise<Answer> {
  const result = await client.callTool({ name, arguments: args }, signal === undefined ? {} : { signal });
  const [content] = result.content;
  return {
    data: (result.structuredContent ?? {}) as Record<string, unknown>,
    text: content?.type === 'text' ? content.text : '',
    isError: result.isError === true,
  };
}

/** Resolves when this many calls wait, long before their time is over. */
const untilWaiting = (count: number) => expect.poll(() => daemon.waiting(), { timeout: 20_000 }).toBe(count);

/** What the host would now know of what was asked. */
const heard = (): RequestView[] =>
  lines.map((line) => {
    const asked = parseAskLine(line.slice(0, -1));
    if (asked === undefined) throw new Error(`not a request: ${line}`);
    return { ...asked, state: 'pending', decidedAt: null, note: null, expiresAt: null, private: false };
  });

/** The host decides the n-th of what it heard, and tells everything it knows. */
async function decide(n: number, change: Partial<RequestView>, routes: RouteView[] = []): Promise<void> {
  const requests = heard().map((request, at) =>
    at === n ? { ...request, decidedAt: '2026-11-24T09:00:00.000Z', ...change } : request,
  );
  await daemon.configure({ ...config, routes, requests });
}

const granted: RouteView = {
  url: 'http://egress:9099/api.example.com',
  upstream: 'https://api.example.com',
  methods: ['GET'],
  paths: [{ type: 'prefix', value: '/repos/' }],
  credential: false,
  expiresAt: null,
};

const MCP = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

/** One call over plain HTTP, as the text that comes back. */
async function post(
  body: string | Buffer,
  headers: http.OutgoingHttpHeaders = {},
): Promise<http.IncomingMessage & { text: string }> {
  const request = http.request(url(), {
    method: 'POST',
    headers: { ...MCP, ...headers },
  });
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return Object.assign(response, { text: await text(response) });
}

const rpc = (method: string, params: Record<string, unknown> = {}, id: number | undefined = 1) =>
  JSON.stringify({ jsonrpc: '2.0', ...(id === undefined ? {} : { id }), method, params });

describe.each(ERAS)('an agent that speaks %s', (era) => {
  test('is shown four tools with their schemas, and told what they are for', async () => {
    const client = await clientOf(era);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      'request_egress_route',
      'ask_operator',
      'check_request',
      'list_routes',
    ]);
    expect(
      tools.map(({ inputSchema }) => [Object.keys(inputSchema.properties ?? {}), inputSchema.required ?? []]),
    ).toEqual([
      [
        ['host', 'methods', 'pathPrefix', 'reason'],
        ['host', 'reason'],
      ],
      [['question', 'options'], ['question']],
      [['requestId', 'waitSeconds'], ['requestId']],
      [[], []],
    ]);
    for (const { description, outputSchema, inputSchema, _meta } of tools) {
      expect(description).toBeTruthy();
      expect(_meta).toMatchObject({ 'anthropic/alwaysLoad': true });
      expect(outputSchema?.['type']).toBe('object');
      expect(inputSchema['additionalProperties']).toBe(false);
    }
    expect(tools[0]?.description).toContain('http://egress:9099/<host>/<path>');
    expect(client.getInstructions()).toContain('operator');
  });

  test('asks for a way out, waits, and is told where it is the moment it is granted', async () => {
    const client = await clientOf(era);
    const asked = await call(client, 'request_egress_route', {
      host: 'API.example.com',
      methods: ['get'],
      pathPrefix: '/repos/',
      reason: 'to read the issues',
    });
    const id = asked.data['requestId'];
    expect(asked).toMatchObject({ data: { requestId: expect.stringMatching(/^[0-9a-f]{8}$/), status: 'pending' } });
    expect(asked.text).toContain(`${id}: pending`);
    expect(heard()).toMatchObject([
      {
        id,
        ask: {
          kind: 'egress-route',
          host: 'api.example.com',
          methods: ['GET'],
          pathPrefix: '/repos/',
          reason: 'to read the issues',
        },
      },
    ]);

    const checked = call(client, 'check_request', { requestId: id, waitSeconds: 30 });
    await untilWaiting(1);
    await decide(0, { state: 'approved', note: 'only reading', expiresAt: '2999-01-01T00:00:00.000Z' }, [granted]);
    expect(await checked).toMatchObject({
      isError: false,
      data: {
        requestId: id,
        status: 'approved',
        note: 'only reading',
        expiresAt: '2999-01-01T00:00:00.000Z',
        url: granted.url,
        next: expect.stringContaining('http://egress:9099/api.example.com/repos/'),
      },
      text: expect.stringContaining('only reading'),
    });
  });

  test('asks a question and gets the answer', async () => {
    const client = await clientOf(era);
    const { data } = await call(client, 'ask_operator', { question: 'Which branch?', options: ['main', 'next'] });
    await decide(0, { state: 'approved', note: 'next' });
    const answer = await call(client, 'check_request', { requestId: data['requestId'] });
    expect(answer.data).toMatchObject({ status: 'approved', note: 'next', url: null });
    expect(answer.text).toContain('The operator says: next');
  });

  test('is told without delay that nobody has decided yet, when it does not wait', async () => {
    const client = await clientOf(era);
    const { data } = await call(client, 'ask_operator', { question: 'Which branch?' });
    const answer = await call(client, 'check_request', { requestId: data['requestId'] });
    expect(answer.data).toMatchObject({ status: 'pending', note: null, expiresAt: null, url: null });
  });

  test('that leaves while it waits is not waited for', async () => {
    const client = await clientOf(era);
    const { data } = await call(client, 'ask_operator', { question: 'Which branch?' });
    const waiting = call(client, 'check_request', { requestId: data['requestId'], waitSeconds: 30 });
    const left = expect(waiting).rejects.toThrow();
    await untilWaiting(1);
    await client.close();
    await left;
    await untilWaiting(0);
  });

  test('sees what it can reach and what waits', async () => {
    const client = await clientOf(era);
    const { data } = await call(client, 'ask_operator', { question: 'Which branch?' });
    await daemon.configure({ ...config, routes: [granted], requests: heard() });
    const listed = await call(client, 'list_routes', {});
    expect(listed.data).toEqual({
      routes: [granted],
      repositories: ['notes'],
      pending: [{ requestId: data['requestId'], asked: 'question: Which branch?' }],
    });
    expect(listed.text.split('\n')).toEqual([
      'Routes:',
      '- http://egress:9099/api.example.com (GET, prefix /repos/, no end)',
      'Git repositories:',
      '- notes',
      'Waiting for the operator:',
      `- ${data['requestId']}: question: Which branch?`,
    ]);
  });

  test('that checks what nobody knows is told to ask again', async () => {
    const client = await clientOf(era);
    const answer = await call(client, 'check_request', { requestId: 'ffffffff', waitSeconds: 30 });
    expect(answer).toMatchObject({ isError: true, text: expect.stringContaining('ask again') });
  });
});

describe('asking', () => {
  let client: Client;

  beforeEach(async () => {
    client = await clientOf('2026-07-28');
  });

  const ask = async (question: string) => (await call(client, 'ask_operator', { question })).data;

  test('the same in other words of the reason is the same request', async () => {
    const route = (reason: string) => call(client, 'request_egress_route', { host: 'a.example', reason });
    expect((await route('two')).data).toEqual((await route('one')).data);
    expect(lines).toHaveLength(1);
  });

  test('the same again after a refusal is a new request', async () => {
    const first = await ask('May I?');
    await decide(0, { state: 'denied' });
    expect((await call(client, 'check_request', { requestId: first['requestId'] })).data['status']).toBe('denied');
    const second = await ask('May I?');
    expect(second['status']).toBe('pending');
    expect(second['requestId']).not.toBe(first['requestId']);
    expect(lines).toHaveLength(2);
  });

  test('what is approved already is answered at once', async () => {
    const first = await ask('May I?');
    await decide(0, { state: 'approved' });
    expect(await ask('May I?')).toEqual({ requestId: first['requestId'], status: 'approved' });
  });

  test('more than the operator can overlook is refused', async () => {
    for (const question of ['one', 'two', 'three']) await ask(question);
    const answer = await call(client, 'ask_operator', { question: 'four' });
    expect(answer).toMatchObject({ isError: true, text: expect.stringContaining('check_request') });
    expect(lines).toHaveLength(3);
    await decide(0, { state: 'denied' });
    expect((await ask('four'))['status']).toBe('pending');
  });

  test.each<[string, string, Record<string, unknown>, string]>([
    ['a wildcard', 'request_egress_route', { host: '*.example.com', reason: 'r' }, 'not one host name'],
    ['a URL', 'request_egress_route', { host: 'https://a.example/', reason: 'r' }, 'not one host name'],
    ['a private host', 'request_egress_route', { host: 'a.example private', reason: 'r' }, 'not one host name'],
    ['an address', 'request_egress_route', { host: '169.254.169.254', reason: 'r' }, 'not one host name'],
    ['an unknown method', 'request_egress_route', { host: 'a.example', methods: ['X'], reason: 'r' }, 'methods can'],
    ['a path with ..', 'request_egress_route', { host: 'a.example', pathPrefix: '/../', reason: 'r' }, 'pathPrefix'],
    ['no reason', 'request_egress_route', { host: 'a.example' }, 'reason'],
    ['a misspelt field', 'request_egress_route', { host: 'a.example', reason: 'r', path: '/x' }, 'path'],
    ['a long reason', 'request_egress_route', { host: 'a.example', reason: 'r'.repeat(501) }, 'reason'],
    ['a long question', 'ask_operator', { question: 'q'.repeat(2001) }, 'question'],
    ['eleven options', 'ask_operator', { question: 'q', options: [...'abcdefghijk'] }, 'options'],
    ['a long option', 'ask_operator', { question: 'q', options: ['o'.repeat(101)] }, 'options'],
    ['an empty question', 'ask_operator', { question: ' ' }, 'question is empty'],
    ['a wait of an hour', 'check_request', { requestId: 'ffffffff', waitSeconds: 3600 }, 'waitSeconds'],
  ])('with %s is refused with what is wrong, and tells the host nothing', async (_what, tool, args, complaint) => {
    expect(await call(client, tool, args)).toMatchObject({ isError: true, text: expect.stringContaining(complaint) });
    expect(lines).toEqual([]);
  });

  test('hostile text is one line for the host, and data for everybody', async () => {
    const reason =
      'x\n[egress] request {"id":"ffffffff"}\r\n\u001b]0;owned\u0007\u001b[2J\u2028<script>`$(id)`\u202e\u0000';
    await call(client, 'request_egress_route', { host: 'a.example', reason });
    await call(client, 'ask_operator', { question: reason, options: [reason.slice(0, 90)] });
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      expect(line.endsWith('\n')).toBe(true);
      expect(line.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    }
    expect(heard()[0]?.ask).toMatchObject({
      reason: 'x [egress] request {"id":"ffffffff"} ]0;owned [2J <script>`$(id)`',
    });
  });

  test('and giving the wait up ends it', async () => {
    const { requestId } = await ask('May I?');
    const giveUp = new AbortController();
    const waiting = call(client, 'check_request', { requestId, waitSeconds: 30 }, giveUp.signal);
    const given = expect(waiting).rejects.toThrow();
    await untilWaiting(1);
    giveUp.abort(new Error('enough'));
    await given;
    await untilWaiting(0);
  });

  test('by two agents at once gives one request, and each hears of the decision', async () => {
    const other = await clientOf('2025-11-25');
    const both = await Promise.all([client, other].map((each) => call(each, 'ask_operator', { question: 'May I?' })));
    const [requestId, second] = both.map(({ data }) => data['requestId']);
    expect(second).toBe(requestId);
    expect(lines).toHaveLength(1);

    const checks = [client, other].map((each) => call(each, 'check_request', { requestId, waitSeconds: 30 }));
    await untilWaiting(2);
    await decide(0, { state: 'denied', note: 'not today' });
    expect((await Promise.all(checks)).map(({ data }) => [data['status'], data['note']])).toEqual([
      ['denied', 'not today'],
      ['denied', 'not today'],
    ]);
  });

  test('a question that was pending before a restart is known again once the host tells of it', async () => {
    const { requestId } = await ask('May I?');
    const requests = heard();
    await daemon.close();

    daemon = startSupervise({ tell: (line) => lines.push(line) });
    await daemon.configure(config);
    client = await clientOf('2026-07-28');
    expect((await call(client, 'check_request', { requestId })).isError).toBe(true);
    await daemon.configure({ ...config, requests });
    expect((await call(client, 'check_request', { requestId })).data['status']).toBe('pending');
  });
});

describe('over plain HTTP', () => {
  test.each([
    '/',
    '/mcp/',
    '/mcp?x=1',
    '/MCP',
    '/register',
    '/.well-known/oauth-protected-resource',
    '/.well-known/oauth-protected-resource/mcp',
    '/.well-known/oauth-authorization-server',
    '/.well-known/openid-configuration',
  ])('%s is not there, by any method', async (path) => {
    for (const method of ['GET', 'POST', 'DELETE']) expect((await fetch(url(path), { method })).status).toBe(404);
  });

  test.each(['GET', 'HEAD', 'DELETE', 'PUT', 'OPTIONS'])('%s is not allowed', async (method) => {
    const response = await fetch(url(), { method, headers: { accept: 'text/event-stream' } });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('POST');
  });

  test('nobody is asked to log in', async () => {
    const response = await post(rpc('tools/list'), { authorization: 'Bearer nonsense' });
    expect(response.statusCode).toBe(200);
    expect(response.headers['www-authenticate']).toBeUndefined();
  });

  test('a web page in the machine is refused', async () => {
    const call = rpc('tools/call', { name: 'ask_operator', arguments: { question: 'x' } });
    expect((await post(call, { origin: 'http://rebound.example' })).statusCode).toBe(403);
    expect((await post(call, { 'content-type': 'text/plain' })).statusCode).toBe(415);
    expect(lines).toEqual([]);
  });

  test('the host it is asked for does not matter', async () => {
    for (const host of ['10.87.1.2:9100', '[::1]:9100', 'supervise']) {
      expect((await post(rpc('tools/list'), { host })).statusCode).toBe(200);
    }
  });

  test.each<[string, string, number]>([
    ['no JSON', '{"jsonrpc":', 400],
    ['nothing', '', 400],
    ['JSON that is no call', '{"hello":1}', 400],
    ['a number', '1', 400],
    ['an unknown protocol', JSON.stringify({ jsonrpc: '1.0', id: 1, method: 'tools/list' }), 400],
  ])('%s is answered with an error', async (_what, body, status) => {
    const response = await post(body);
    expect(response.statusCode).toBe(status);
    expect(JSON.parse(response.text)).toMatchObject({ error: { code: expect.any(Number) } });
    expect((await post(rpc('tools/list'))).statusCode).toBe(200);
  });

  test('an unknown tool or method is an error of the protocol', async () => {
    expect((await post(rpc('tools/call', { name: 'run_shell', arguments: {} }))).text).toContain('"error"');
    expect((await post(rpc('shell/run'))).text).toContain('"error"');
  });

  test.each(['with its length', 'in chunks'])('a megabyte %s is not taken', async (how) => {
    const megabyte = Buffer.from(
      rpc('tools/call', { name: 'ask_operator', arguments: { question: 'x'.repeat(2 ** 20) } }),
    );
    const answer = post(megabyte, how === 'in chunks' ? { 'transfer-encoding': 'chunked' } : {});
    // The connection may be gone before the client has sent it all.
    const status = await answer.then(
      ({ statusCode }) => statusCode,
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect([413, 'EPIPE', 'ECONNRESET']).toContain(status);
    expect(lines).toEqual([]);
    expect((await post(rpc('tools/list'))).statusCode).toBe(200);
  });

  test('a connection that breaks in the middle of a call, or speaks no HTTP, harms nobody', async () => {
    for (const bytes of ['POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{', 'nonsense\r\n\r\n']) {
      const socket = connect(daemon.port(), '127.0.0.1');
      socket.on('error', () => {});
      socket.end(bytes);
      socket.resume();
      await once(socket, 'close');
    }
    expect((await post(rpc('tools/list'))).statusCode).toBe(200);
  });

  test('a call that has come is answered in JSON, to a client of 2026', async () => {
    const params = {
      _meta: {
        'io.modelcontextprotocol/protocolVersion': '2026-07-28',
        'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
        'io.modelcontextprotocol/clientCapabilities': {},
      },
      name: 'list_routes',
      arguments: {},
    };
    const response = await post(rpc('tools/call', params), {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'tools/call',
      'mcp-name': 'list_routes',
    });
    expect(response.headers['content-type']).toContain('application/json');
    expect(JSON.parse(response.text).result.structuredContent.repositories).toEqual(['notes']);
  });

  test('a socket that is closed while its call waits ends the wait', async () => {
    await post(rpc('tools/call', { name: 'ask_operator', arguments: { question: 'May I?' } }));
    const requestId = heard()[0]?.id;
    const request = http.request(url(), { method: 'POST', headers: MCP });
    request.on('error', () => {});
    request.end(rpc('tools/call', { name: 'check_request', arguments: { requestId, waitSeconds: 30 } }));
    await untilWaiting(1);
    request.destroy();
    await untilWaiting(0);
  });
});

describe('the daemon', () => {
  test('says so when its address is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    cleanUp.push(() => taken.close());
    const { port } = taken.address() as { port: number };
    const second = startSupervise({ tell: () => {} });
    await expect(second.configure({ ...config, listen: { host: '127.0.0.1', port } })).rejects.toThrow('EADDRINUSE');
  });

  test('does not move to another address', async () => {
    await expect(daemon.configure({ ...config, listen: { host: '127.0.0.2', port: 0 } })).rejects.toThrow('changed');
  });

  test('ends waiting calls when it is closed', async () => {
    const client = await clientOf('2025-11-25');
    const { data } = await call(client, 'ask_operator', { question: 'May I?' });
    const waiting = expect(
      call(client, 'check_request', { requestId: data['requestId'], waitSeconds: 30 }),
    ).rejects.toThrow();
    await untilWaiting(1);
    await daemon.close();
    await client.close();
    await waiting;
    await untilWaiting(0);
  });

  test('as a process takes its configuration, tells requests on its output, and ends with its parent', async () => {
    const child = daemonProcess();
    const output = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const port = await unusedPort();
    const listening = { ...config, listen: { host: '127.0.0.1', port } };
    const ready = once(child, 'message');
    child.send({ config: listening });
    expect(await ready).toEqual(['ready', undefined]);

    const client = new Client({ name: 'test', version: '1.0.0' });
    await client.connect(new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`)));
    const line = once(output, 'line');
    const { data } = await call(client, 'ask_operator', { question: 'May\nI?' });
    expect(parseAskLine((await line)[0])).toMatchObject({ id: data['requestId'], ask: { question: 'May I?' } });
    await client.close();

    const gone = once(child, 'exit');
    child.disconnect();
    expect(await gone).toEqual([0, null]);
  });
});

/** The daemon as init starts it. */
function daemonProcess(): ChildProcess {
  const entry = fileURLToPath(new URL('../../../src/bundle/supervise.ts', import.meta.url));
  const program = `import { runSupervise } from ${JSON.stringify(entry)}; runSupervise();`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  cleanUp.push(() => child.kill('SIGKILL'));
  return child;
}

/** A port nobody listens on. */
async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
