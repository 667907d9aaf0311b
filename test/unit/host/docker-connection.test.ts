import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { dockerAt, hintFor } from '../../../src/host/docker-connection.ts';
import { type DockerEndpoint, dockerEndpoint } from '../../../src/host/docker-endpoint.ts';
import { sshArguments } from '../../../src/host/docker-ssh.ts';
import { testCa } from '../../support/test-ca.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'bottle-connection-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

async function listening<S extends Server>(server: S, at: string | number): Promise<S> {
  servers.push(server);
  server.listen(at as number, ...(typeof at === 'number' ? ['127.0.0.1' as never] : []));
  await once(server, 'listening');
  return server;
}

/** Answers `/version`, and echoes what is sent to an exec that was taken over. */
const answers = (request: http.IncomingMessage, response: http.ServerResponse): void =>
  void response.setHeader('content-type', 'application/json').end(JSON.stringify({ Version: `v of ${request.url}` }));
const port = (server: Server): number => (server.address() as AddressInfo).port;
const at = (address: string, more: Partial<DockerEndpoint> = {}): DockerEndpoint => ({
  address,
  chosenBy: { kind: 'DOCKER_HOST' },
  ...more,
});
const failure = (endpoint: DockerEndpoint): Promise<{ code: string; message: string; hint: string }> =>
  dockerAt(endpoint)
    .version()
    .then(
      () => expect.unreachable('it answered'),
      (error) => error,
    );

describe('what answers in HTTP and is no Engine', () => {
  test.each([
    ['a web server that knows no such page', 404, 'text/html', '<html>not found</html>'],
    ['one that has a page for everything', 200, 'text/html', '<html>welcome</html>'],
    ['an API of another kind', 200, 'application/json', '{"hello":"world"}'],
  ])('%s is named, with the way out', async (_what, status, type, body) => {
    const server = await listening(
      http.createServer((_request, response) => void response.writeHead(status, { 'content-type': type }).end(body)),
      0,
    );
    const address = `tcp://127.0.0.1:${port(server)}`;
    const error = {
      code: 'DOCKER_UNREACHABLE',
      message: `what answers at ${address} (DOCKER_HOST) is no Docker Engine (HTTP ${status})`,
      hint: 'see whether an Engine listens there, or unset DOCKER_HOST; then retry',
    };
    expect(await failure(at(address))).toMatchObject(error);
    await expect(dockerAt(at(address)).listContainers()).rejects.toMatchObject(error);
  });

  test('a filter that does not let the version through is none, and an Engine that lacks a thing neither', async () => {
    const server = await listening(
      http.createServer(({ url }, response) => {
        if (url === '/version') response.writeHead(403, { 'content-type': 'text/html' }).end('<html>refused</html>');
        else response.writeHead(404, { 'content-type': 'application/json' }).end('{"message":"no such container"}');
      }),
      0,
    );
    const inspecting = dockerAt(at(`tcp://127.0.0.1:${port(server)}`))
      .getContainer('none')
      .inspect();
    await expect(inspecting).rejects.toMatchObject({ statusCode: 404, json: { message: 'no such container' } });
  });
});

describe('an Engine', () => {
  test('is reached by its socket, whatever DOCKER_HOST says meanwhile', async () => {
    const socket = path.join(directory, 'engine.sock');
    await listening(http.createServer(answers), socket);
    process.env['DOCKER_HOST'] = 'tcp://127.0.0.1:1';
    try {
      expect((await dockerAt(at(`unix://${socket}`)).version()).Version).toBe('v of /version');
    } finally {
      delete process.env['DOCKER_HOST'];
    }
  });

  test('is reached by TCP', async () => {
    const server = await listening(http.createServer(answers), 0);
    expect((await dockerAt(at(`tcp://127.0.0.1:${port(server)}`)).version()).Version).toBe('v of /version');
  });

  test('is reached by TLS with certificates of both sides, and by no other certificate', async () => {
    const ca = testCa();
    try {
      const own = ca.issue(['127.0.0.1']);
      const mine = ca.issue(['me']);
      const server = https.createServer({ ...own, ca: ca.cert, requestCert: true, rejectUnauthorized: true }, answers);
      await listening(server, 0);
      const certificates = path.join(directory, 'certificates');
      mkdirSync(certificates);
      const write = (name: string, pem: string): void => writeFileSync(path.join(certificates, `${name}.pem`), pem);
      write('cert', mine.cert);
      write('key', mine.key);
      const address = `tcp://127.0.0.1:${port(server)}`;
      expect(await failure(at(address, { tls: { certificates, verify: true } }))).toMatchObject({
        code: 'DOCKER_UNREACHABLE',
        message: expect.stringMatching(/does not answer \(.*certificate.*\)$/),
      });
      expect((await dockerAt(at(address, { tls: { certificates, verify: false } })).version()).Version).toBeTruthy();
      write('ca', ca.cert);
      expect((await dockerAt(at(address, { tls: { certificates, verify: true } })).version()).Version).toBeTruthy();
      expect(await failure(at(address))).toMatchObject({ code: 'DOCKER_UNREACHABLE' });
    } finally {
      ca.dispose();
    }
  });
});

describe('ssh', () => {
  test('is called as docker calls it', () => {
    expect(sshArguments('ssh://me@there:2222').slice(5)).toEqual([
      '-l',
      'me',
      '-p',
      '2222',
      '--',
      'there',
      'docker',
      'system',
      'dial-stdio',
    ]);
    expect(sshArguments('ssh://there/run/d%20x.sock').slice(5)).toEqual([
      '--',
      'there',
      'docker',
      `'--host'`,
      `'unix:///run/d x.sock'`,
      'system',
      'dial-stdio',
    ]);
  });

  const withSsh = async (script: string, act: () => Promise<void>): Promise<void> => {
    const bin = mkdtempSync(path.join(directory, 'bin-'));
    if (script !== '') {
      writeFileSync(path.join(bin, 'ssh'), `#!/bin/sh\n${script}\n`);
      chmodSync(path.join(bin, 'ssh'), 0o755);
    }
    const before = process.env['PATH'];
    process.env['PATH'] = script === '' ? bin : `${bin}:${before}`;
    try {
      await act();
    } finally {
      process.env['PATH'] = before;
    }
  };

  test('leads to an Engine, both ways of a taken-over connection too', async () => {
    const socket = path.join(directory, 'far.sock');
    const server = await listening(http.createServer(answers), socket);
    server.on('upgrade', (_request, connection: Duplex) => {
      connection.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
      connection.pipe(connection);
    });
    const relay = `const s=require('net').connect(process.argv[1]);process.stdin.pipe(s);s.pipe(process.stdout)`;
    const logins = path.join(directory, 'logins');
    await withSsh(`echo in >> "${logins}"; exec "${process.execPath}" -e "${relay}" "${socket}"`, async () => {
      const docker = dockerAt(at('ssh://me@there'));
      expect((await docker.version()).Version).toBe('v of /version');
      // One after the other, calls share a login.
      for (let n = 0; n < 3; n += 1) await docker.version();
      expect(readFileSync(logins, 'utf8')).toBe('in\n');
      const stream = await docker.getExec('x').start({ hijack: true, stdin: true });
      stream.end('there and back');
      expect(await text(stream)).toBe('there and back');
    });
  });

  test.each([
    ['echo "me@there: Permission denied (publickey)." >&2; exit 255', 'ssh: me@there: Permission denied (publickey).'],
    ['exit 3', 'ssh: ended with 3'],
    ['', 'ssh: not installed'],
  ])('that fails (%s) says why', async (script, why) => {
    await withSsh(script, async () => {
      expect(await failure(at('ssh://me@there'))).toMatchObject({
        code: 'DOCKER_UNREACHABLE',
        message: `the Docker Engine at ssh://me@there (DOCKER_HOST) does not answer (${why})`,
        hint: 'see whether this works: ssh me@there docker version, or unset DOCKER_HOST; then retry',
      });
    });
  });
});

describe('an Engine that does not answer', () => {
  test('is told with its socket and context, by any call', async () => {
    const address = `unix://${directory}/absent.sock`;
    const docker = dockerAt({ address, chosenBy: { kind: 'context', name: 'colima' } });
    for (const call of [
      () => docker.getImage('x').inspect(),
      () => docker.createContainer({}),
      () => docker.getEvents(),
    ])
      await expect(call()).rejects.toMatchObject({
        code: 'DOCKER_UNREACHABLE',
        retryable: true,
        message: `the Docker Engine at ${address} (context colima) does not answer (ENOENT)`,
        hint: expect.stringMatching(/^colima start, or choose another Engine: docker context use default/),
      });
  });

  test.each(['tcp://127.0.0.1:1', 'tcp://[::1]:1'])('at %s too', async (address) => {
    expect(await failure(at(address))).toMatchObject({
      code: 'DOCKER_UNREACHABLE',
      message: expect.stringContaining(address),
    });
  });

  test('in the middle of an answer too', async () => {
    const server = await listening(
      http.createServer((request) => void request.socket.destroy()),
      0,
    );
    expect(await failure(at(`tcp://127.0.0.1:${port(server)}`))).toMatchObject({ code: 'DOCKER_UNREACHABLE' });
  });

  test('is no Engine that refuses, and no call that was given up', async () => {
    const server = await listening(
      http.createServer((_request, response) => void response.writeHead(404).end('{"message":"no such"}')),
      0,
    );
    const docker = dockerAt(at(`tcp://127.0.0.1:${port(server)}`));
    await expect(docker.version()).rejects.toMatchObject({ statusCode: 404 });
    const given = docker.listContainers({ abortSignal: AbortSignal.abort() });
    await expect(given).rejects.toMatchObject({ name: 'AbortError' });
  });

  const home = (): string => mkdtempSync(path.join(directory, 'home-'));
  test.each([
    ['unix:///var/run/docker.sock', undefined, 'start Docker'],
    ['unix:///run/user/1000/docker.sock', undefined, 'systemctl --user start docker'],
    ['unix:///home/me/.colima/work/docker.sock', 'colima-work', 'colima start work, or choose another Engine: '],
    ['unix:///home/me/.orbstack/run/docker.sock', 'orbstack', 'start OrbStack (orb start), or '],
    ['unix:///home/me/.docker/desktop/docker.sock', 'desktop-linux', 'start Docker Desktop, or '],
    ['unix:///home/me/.rd/docker.sock', 'rancher-desktop', 'start Rancher Desktop, or '],
    ['tcp://far:2375', 'far', 'see whether an Engine listens there, or '],
  ])('%s of context %s: %s', (address, context, hint) => {
    const chosenBy =
      context === undefined ? ({ kind: 'default' } as const) : ({ kind: 'context', name: context } as const);
    expect(hintFor({ address, chosenBy }, 'ENOENT', { HOME: home() }).startsWith(hint)).toBe(true);
  });

  test('by default has a hint that names the contexts and sockets there are', () => {
    const HOME = home();
    const id = createHash('sha256').update('other').digest('hex');
    mkdirSync(path.join(HOME, '.docker/contexts/meta', id), { recursive: true });
    writeFileSync(path.join(HOME, '.docker/contexts/meta', id, 'meta.json'), '{"Name":"other"}');
    mkdirSync(path.join(HOME, '.colima/default'), { recursive: true });
    writeFileSync(path.join(HOME, '.colima/default/docker.sock'), '');
    const endpoint = { address: 'unix:///var/run/docker.sock', chosenBy: { kind: 'default' } } as const;
    expect(hintFor(endpoint, 'ECONNREFUSED', { HOME })).toBe(
      `start Docker, or: docker context use other, or export DOCKER_HOST=unix://${HOME}/.colima/default/docker.sock; then retry`,
    );
    expect(hintFor(endpoint, 'EACCES', { HOME })).toMatch(/group docker/);
  });
});

test('certificates that cannot be read are told by name', () => {
  const certificates = mkdtempSync(path.join(directory, 'unreadable-'));
  mkdirSync(path.join(certificates, 'ca.pem'));
  const env = {
    HOME: directory,
    DOCKER_HOST: 'tcp://far:2376',
    DOCKER_TLS_VERIFY: '1',
    DOCKER_CERT_PATH: certificates,
  };
  expect(() => dockerAt(dockerEndpoint(env))).toThrow(
    expect.objectContaining({
      code: 'DOCKER_CONTEXT_INVALID',
      message: `the Engine's certificate ${certificates}/ca.pem cannot be read (EISDIR)`,
    }),
  );
});
