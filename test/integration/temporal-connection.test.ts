/** A Temporal server on another address, behind TLS and an API key: reached by Temporal's standard settings alone. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isUnheard } from '../../src/client/update.ts';
import { startServer, stopServer } from '../../src/host/embedded-server.ts';
import { type Settings, settings } from '../../src/host/settings.ts';
import {
  clusterOwner,
  connectClient,
  connectWorker,
  ensureSearchAttributes,
  temporalTarget,
} from '../../src/host/temporal-connection.ts';
import { SEARCH_ATTRIBUTES } from '../../src/host/temporal-defaults.ts';
import { freePort } from '../support/free-port.ts';

const KEY = 'the-right-key-that-nobody-may-see';
const WRONG_KEY = 'the-wrong-key-that-nobody-may-see';
const SERVER_NAME = 'temporal.test';

let root: string;
let server: Settings;
let front: http2.Http2SecureServer;
let upstream: http2.ClientHttp2Session;
let address: string;
/** What every call through the front carried. */
const seen: { path: string; authorization: string | undefined }[] = [];

const file = (name: string): string => path.join(root, name);
const openssl = (...args: string[]): void => {
  execFileSync('openssl', args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
};

function makeCertificates(): void {
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  for (const name of ['ca', 'other-ca']) {
    openssl('req', '-x509', ...ec, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`);
  }
  openssl('req', ...ec, '-subj', `/CN=${SERVER_NAME}`, '-keyout', 'server.key', '-out', 'server.csr');
  writeFileSync(file('server.ext'), `subjectAltName=DNS:${SERVER_NAME}\nbasicConstraints=CA:FALSE\n`);
  const sign = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'server.ext'];
  openssl('x509', '-req', '-in', 'server.csr', ...sign, '-out', 'server.pem');
}

/** Ends TLS, checks the key, and passes gRPC on as it is, trailers included. */
async function startFront(): Promise<void> {
  upstream = http2.connect(`http://127.0.0.1:${server.port}`);
  front = http2.createSecureServer({ key: readFileSync(file('server.key')), cert: readFileSync(file('server.pem')) });
  front.on('stream', (stream, headers) => {
    const { authorization } = headers;
    seen.push({ path: String(headers[':path']), authorization });
    if (authorization !== `Bearer ${KEY}`) {
      // Unkind on purpose: it quotes what it was sent.
      const message = `no such key: ${encodeURIComponent(String(authorization))}`;
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '16', 'grpc-message': message },
        { endStream: true },
      );
      return;
    }
    if (headers['like-cloud'] !== undefined && /OperatorService|GetClusterInfo/.test(String(headers[':path']))) {
      stream.respond(
        {
          ':status': 200,
          'content-type': 'application/grpc',
          'grpc-status': '7',
          'grpc-message': 'Request unauthorized.',
        },
        { endStream: true },
      );
      return;
    }
    const { ':authority': _authority, ':scheme': _scheme, authorization: _key, ...rest } = headers;
    const request = upstream.request(rest);
    let trailers: http2.IncomingHttpHeaders = {};
    request.on('response', (answer, flags) => {
      // An error without a body has its status in the headers, and no trailers follow.
      if (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) stream.respond(answer, { endStream: true });
      else stream.respond(answer, { waitForTrailers: true });
    });
    request.on('trailers', (received) => {
      trailers = received;
    });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    const hangUp = (): void => {
      request.close();
      stream.close();
    };
    request.on('error', hangUp);
    stream.on('error', hangUp);
    stream.on('aborted', hangUp);
    stream.pipe(request);
    request.pipe(stream);
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  address = `127.0.0.1:${(front.address() as AddressInfo).port}`;
}

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('WARN') });
  root = mkdtempSync(path.join(tmpdir(), 'bottle-connection-'));
  makeCertificates();
  server = settings({ BOTTLE_STATE: file('state'), BOTTLE_HOME: file('home'), BOTTLE_PORT: String(await freePort()) });
  await startServer(server, { detached: true });
  await startFront();
});

afterAll(async () => {
  upstream?.destroy();
  front?.close();
  await stopServer(server);
  rmSync(root, { recursive: true, force: true });
});

/** The standard variables for the server behind the front. */
const variables = (change: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  HOME: root,
  TEMPORAL_ADDRESS: address,
  TEMPORAL_API_KEY: KEY,
  TEMPORAL_TLS_SERVER_CA_CERT_PATH: file('ca.pem'),
  TEMPORAL_TLS_SERVER_NAME: SERVER_NAME,
  ...change,
});

/** The same by a profile; only its name and file are in the environment. */
function profile(): NodeJS.ProcessEnv {
  writeFileSync(
    file('temporal.toml'),
    `[profile.behind-tls]
address = "${address}"
api_key = "${KEY}"
[profile.behind-tls.tls]
server_ca_cert_path = "${file('ca.pem')}"
server_name = "${SERVER_NAME}"
`,
  );
  return { HOME: root, TEMPORAL_CONFIG_FILE: file('temporal.toml'), TEMPORAL_PROFILE: 'behind-tls' };
}

describe.each([
  ['the standard variables', () => variables()],
  ['a profile file', () => profile()],
])('by %s', (_by, env) => {
  it('the client reaches the server, with TLS and key', async () => {
    seen.length = 0;
    const client = await connectClient(await temporalTarget(server, env()));
    try {
      const direct = await connectClient(await temporalTarget(server, { HOME: root }));
      expect(await clusterOwner(client)).toBe(await clusterOwner(direct));
      await direct.connection.close();
    } finally {
      await client.connection.close();
    }
    expect(seen.map((call) => call.path)).toContain('/temporal.api.workflowservice.v1.WorkflowService/GetClusterInfo');
    expect(new Set(seen.map(({ authorization }) => authorization))).toEqual(new Set([`Bearer ${KEY}`]));
  });

  it('the worker reaches it too, and runs an activity', async () => {
    seen.length = 0;
    const target = await temporalTarget(server, env());
    const taskQueue = `connection-${crypto.randomUUID()}`;
    const connection = await connectWorker(target);
    const client = await connectClient(target);
    try {
      const worker = await Worker.create({
        connection,
        namespace: target.namespace,
        taskQueue,
        activities: { greet: async (name: string) => `hello ${name}` },
        workflowsPath: new URL('../fixtures/greet-workflow.ts', import.meta.url).pathname,
      });
      const greeted = await worker.runUntil(
        client.workflow.execute('greet', { workflowId: taskQueue, taskQueue, args: ['bottle'] }),
      );
      expect(greeted).toBe('hello bottle');
    } finally {
      await client.connection.close();
      await connection.close();
    }
    expect(seen.map((call) => call.path)).toContain(
      '/temporal.api.workflowservice.v1.WorkflowService/RespondActivityTaskCompleted',
    );
  });
});

it('an update whose workflow task fails is answered as one that no launch has seen', async () => {
  const target = await temporalTarget(server, { HOME: root });
  const taskQueue = `failing-${crypto.randomUUID()}`;
  const connection = await connectWorker(target);
  const client = await connectClient(target);
  try {
    const worker = await Worker.create({
      connection,
      namespace: target.namespace,
      taskQueue,
      workflowsPath: new URL('../fixtures/failing-workflow.ts', import.meta.url).pathname,
    });
    await worker.runUntil(async () => {
      const failing = await client.workflow.start('failing', { workflowId: taskQueue, taskQueue });
      const error: unknown = await failing.executeUpdate('stop').catch((reason: unknown) => reason);
      expect([String(error), isUnheard(error)]).toEqual(['ServiceError: Workflow Update failed', true]);
      await failing.terminate();
    });
  } finally {
    await client.connection.close();
    await connection.close();
  }
});

describe.each([
  ['client', async (env: NodeJS.ProcessEnv) => (await connectClient(await temporalTarget(server, env))).connection],
  ['worker', async (env: NodeJS.ProcessEnv) => connectWorker(await temporalTarget(server, env))],
])('what keeps the %s from connecting is said without a secret', (_who, connect) => {
  async function failure(env: NodeJS.ProcessEnv): Promise<unknown> {
    const outcome = await connect(env).then(
      async (connection) => {
        await connection.close();
        return 'connected';
      },
      (error: unknown) => error,
    );
    for (const secret of [KEY, WRONG_KEY])
      expect(inspect(outcome, { depth: 9, showHidden: true })).not.toContain(secret);
    return outcome;
  }

  it('a wrong key', async () => {
    expect(await failure(variables({ TEMPORAL_API_KEY: WRONG_KEY }))).toMatchObject({
      code: 'TEMPORAL_UNREACHABLE',
      message: `the Temporal server at ${address} refuses the credentials`,
      hint: expect.stringContaining('TEMPORAL_API_KEY'),
    });
  });

  it('a CA that did not sign the certificate', async () => {
    expect(await failure(variables({ TEMPORAL_TLS_SERVER_CA_CERT_PATH: file('other-ca.pem') }))).toMatchObject({
      code: 'TEMPORAL_UNREACHABLE',
      message: expect.stringContaining('no TLS certificate that can be trusted'),
      hint: expect.stringContaining('TEMPORAL_TLS_SERVER_CA_CERT_PATH'),
    });
  });

  it('another server name than the certificate has', async () => {
    expect(await failure(variables({ TEMPORAL_TLS_SERVER_NAME: 'other.test' }))).toMatchObject({
      code: 'TEMPORAL_UNREACHABLE',
      message: expect.stringContaining('ERR_TLS_CERT_ALTNAME_INVALID'),
      hint: expect.stringContaining('TEMPORAL_TLS_SERVER_NAME'),
    });
  });

  it('TLS where the server has none', async () => {
    expect(await failure(variables({ TEMPORAL_ADDRESS: `127.0.0.1:${server.port}` }))).toMatchObject({
      code: 'TEMPORAL_UNREACHABLE',
      hint: expect.stringContaining('TLS'),
    });
  });

  it('no TLS where the server wants it', async () => {
    expect(await failure({ HOME: root, TEMPORAL_ADDRESS: address })).toMatchObject({
      code: 'TEMPORAL_UNREACHABLE',
      hint: expect.stringContaining('TEMPORAL_TLS'),
    });
  });

  it('a closed port', async () => {
    expect(await failure(variables({ TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}` }))).toMatchObject({
      code: 'TEMPORAL_UNREACHABLE',
      message: expect.stringContaining('does not answer (ECONNREFUSED)'),
      hint: expect.stringContaining('TEMPORAL_ADDRESS'),
    });
  });

  it('an embedded server that does not run', async () => {
    const closed = settings({ BOTTLE_PORT: String(await freePort()) });
    const target = await temporalTarget(closed, { HOME: root });
    const connecting = _who === 'client' ? connectClient(target) : connectWorker(target);
    await expect(connecting).rejects.toMatchObject({
      code: 'TEMPORAL_UNREACHABLE',
      hint: 'start it: bottle serve --detach',
    });
  });
});

describe('ensureSearchAttributes', () => {
  it('registers what is missing, so that it can be queried at once, and again changes nothing', async () => {
    const namespace = `attributes-${crypto.randomUUID()}`;
    const client = await connectClient(await temporalTarget(server, variables({ TEMPORAL_NAMESPACE: namespace })));
    try {
      await client.workflowService.registerNamespace({
        namespace,
        workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
      });
      // A new namespace is known to the whole server only after its caches' next refresh.
      await expect.poll(() => ensureSearchAttributes(client).then(() => 'done', String)).toBe('done');
      const query = SEARCH_ATTRIBUTES.map((name) => `${name} = 'x'`).join(' OR ');
      expect((await client.workflow.count(query)).count).toBe(0);
      await ensureSearchAttributes(client);
      const { customAttributes } = await client.connection.operatorService.listSearchAttributes({ namespace });
      expect(Object.keys(customAttributes).sort()).toEqual(expect.arrayContaining([...SEARCH_ATTRIBUTES].sort()));
    } finally {
      await client.connection.close();
    }
  });
});

describe('a server without an operator service, as Temporal Cloud', () => {
  const inNamespace = async (namespace: string) => {
    const env = variables({ TEMPORAL_NAMESPACE: namespace, 'TEMPORAL_GRPC_META_LIKE-CLOUD': 'yes' });
    return connectClient(await temporalTarget(server, env));
  };

  it('is content with search attributes that are there, and owned by the namespace', async () => {
    const client = await inNamespace('default');
    try {
      await ensureSearchAttributes(client);
      const { namespaceInfo } = await client.workflowService.describeNamespace({ namespace: 'default' });
      expect(await clusterOwner(client)).toBe(`${namespaceInfo?.id}/default`);
    } finally {
      await client.connection.close();
    }
  });

  it('says how to have search attributes made that are not', async () => {
    const client = await inNamespace('temporal-system');
    try {
      await expect(ensureSearchAttributes(client)).rejects.toMatchObject({
        code: 'SERVER_FAILED',
        message: `namespace temporal-system lacks the search attributes ${SEARCH_ATTRIBUTES.join(', ')}`,
        hint: expect.stringContaining('Keyword'),
      });
    } finally {
      await client.connection.close();
    }
  });
});
