import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  defaultSockets,
  dockerEndpoint,
  endpointEnvironment,
  endpointText,
  firstSocket,
  isSameAddress,
} from '../../../src/host/docker-endpoint.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'bottle-endpoint-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const put = (file: string, content: unknown): void => {
  const whole = path.join(home, file);
  mkdirSync(path.dirname(whole), { recursive: true });
  writeFileSync(whole, typeof content === 'string' ? content : JSON.stringify(content));
};

/** As `docker context create` writes it. */
function context(name: string, endpoint: object, config = '.docker'): string {
  const id = createHash('sha256').update(name).digest('hex');
  put(`${config}/contexts/meta/${id}/meta.json`, { Name: name, Metadata: {}, Endpoints: { docker: endpoint } });
  return id;
}

const use = (currentContext: unknown): void => put('.docker/config.json', { auths: {}, currentContext });

const refusal = (env: NodeJS.ProcessEnv): { message: string; hint?: string } => {
  try {
    dockerEndpoint({ HOME: home, ...env });
  } catch (error) {
    expect(error).toMatchObject({ code: 'DOCKER_CONTEXT_INVALID', retryable: false });
    return error as { message: string; hint?: string };
  }
  throw new Error('it was taken');
};

describe('DOCKER_HOST', () => {
  test.each([
    ['unix:///run/user/1000/docker.sock', 'unix:///run/user/1000/docker.sock'],
    ['unix://', 'unix:///var/run/docker.sock'],
    ['tcp://10.0.0.7:2376', 'tcp://10.0.0.7:2376'],
    ['tcp://there', 'tcp://there:2375'],
    ['there:2375', 'tcp://there:2375'],
    ['tcp://there:80', 'tcp://there:80'],
    ['tcp://[::1]:2375/', 'tcp://[::1]:2375'],
    ['http://there:1', 'tcp://there:1'],
    ['ssh://me@there', 'ssh://me@there'],
    ['ssh://me@there:2222/run/user/1000/docker.sock', 'ssh://me@there:2222/run/user/1000/docker.sock'],
  ])('%s is %s', (host, address) => {
    use('other');
    expect(dockerEndpoint({ HOME: home, DOCKER_HOST: host, DOCKER_CONTEXT: 'wrong' })).toEqual({
      address,
      chosenBy: { kind: 'DOCKER_HOST' },
    });
  });

  test.each([
    [{ DOCKER_TLS_VERIFY: '1' }, '.docker', true],
    [{ DOCKER_TLS_VERIFY: '0', DOCKER_CERT_PATH: '/certs' }, '/certs', true],
    [{ DOCKER_TLS: '1', DOCKER_CERT_PATH: '/certs' }, '/certs', false],
  ])('is TLS with %j', (env, certificates, verify) => {
    expect(dockerEndpoint({ HOME: home, DOCKER_HOST: 'tcp://there:2376', ...env })).toMatchObject({
      tls: { certificates: path.resolve(home, certificates), verify },
    });
  });

  test.each([
    'gopher://there',
    'unix://relative.sock',
    'tcp://',
    'tcp://a b',
    'ssh://me:hunter2@there',
    'tcp://there/x',
  ])('%s is refused, and not repeated', (host) => {
    const { message, hint } = refusal({ DOCKER_HOST: host });
    expect(message).toMatch(/^DOCKER_HOST /);
    expect(`${message}${hint}`).not.toContain('hunter2');
  });
});

describe('a Docker context', () => {
  test('that is current counts, and DOCKER_CONTEXT before it', () => {
    context('colima', { Host: 'unix:///home/me/.colima/default/docker.sock' });
    context('orbstack', { Host: 'unix:///home/me/.orbstack/run/docker.sock' });
    use('colima');
    expect(dockerEndpoint({ HOME: home })).toEqual({
      address: 'unix:///home/me/.colima/default/docker.sock',
      chosenBy: { kind: 'context', name: 'colima' },
    });
    expect(dockerEndpoint({ HOME: home, DOCKER_CONTEXT: 'orbstack' }).address).toContain('orbstack');
    expect(dockerEndpoint({ HOME: home, DOCKER_CONTEXT: 'default' }).chosenBy).toEqual({ kind: 'default' });
  });

  test('is looked for in DOCKER_CONFIG', () => {
    context('there', { Host: 'ssh://me@there' }, 'elsewhere');
    put('elsewhere/config.json', { currentContext: 'there' });
    expect(dockerEndpoint({ HOME: home, DOCKER_CONFIG: path.join(home, 'elsewhere') }).address).toBe('ssh://me@there');
  });

  test('may have certificates of its own', () => {
    const id = context('far', { Host: 'tcp://far:2376', SkipTLSVerify: false });
    put(`.docker/contexts/tls/${id}/docker/ca.pem`, 'x');
    use('far');
    expect(dockerEndpoint({ HOME: home })).toEqual({
      address: 'tcp://far:2376',
      chosenBy: { kind: 'context', name: 'far' },
      tls: { certificates: path.join(home, `.docker/contexts/tls/${id}/docker`), verify: true },
    });
    context('lax', { Host: 'tcp://far:2376', SkipTLSVerify: true });
    expect(dockerEndpoint({ HOME: home, DOCKER_CONTEXT: 'lax' })).toMatchObject({ tls: { verify: false } });
    context('plain', { Host: 'tcp://far:2375' });
    expect(dockerEndpoint({ HOME: home, DOCKER_CONTEXT: 'plain' })).not.toHaveProperty('tls');
  });

  test('that names nothing is refused, with those there are', () => {
    context('colima', { Host: 'unix:///x' });
    use('gone');
    expect(refusal({})).toMatchObject({
      message: `${home}/.docker/config.json names the Docker context gone, which is not there`,
      hint: 'docker context use colima; there are: default, colima',
    });
    expect(refusal({ DOCKER_CONTEXT: 'also-gone' }).message).toBe(
      'DOCKER_CONTEXT names the Docker context also-gone, which is not there',
    );
  });

  test.each(['{', '"text"', ''])('with %j as config.json is refused, and nothing of it is repeated', (text) => {
    put('.docker/config.json', text && `${text} hunter2`);
    expect(refusal({})).toMatchObject({ message: `Docker's ${home}/.docker/config.json is not JSON` });
  });

  test('whose own file is broken, or names no Engine, is refused', () => {
    const id = context('broken', {});
    use('broken');
    expect(refusal({}).message).toMatch(/^the Docker context broken names no Engine/);
    put(`.docker/contexts/meta/${id}/meta.json`, '{');
    expect(refusal({}).message).toMatch(/meta\.json is not JSON$/);
    context('broken', { Host: 'gopher://x' });
    expect(refusal({}).message).toMatch(/^the Docker context broken begins with gopher/);
  });

  test.each([undefined, '', 'default', 7])('%j in config.json is none', (currentContext) => {
    use(currentContext);
    expect(dockerEndpoint({ HOME: home }).chosenBy).toEqual({ kind: 'default' });
  });
});

describe('a default socket', () => {
  test('is the first that is there, and the system’s where none is', () => {
    const sockets = ['one', 'two', 'three'].map((name) => path.join(home, name));
    expect(firstSocket(sockets)).toBe(sockets[0]);
    put('three', '');
    expect(firstSocket(sockets)).toBe(sockets[2]);
    put('two', '');
    expect(firstSocket(sockets)).toBe(sockets[1]);
    // What Docker Desktop leaves behind when it ends: a link to nowhere.
    symlinkSync('nowhere', path.join(home, 'one'));
    expect(firstSocket(sockets)).toBe(sockets[1]);
  });

  test('may be any of those that the programs around Docker make', () => {
    const sockets = defaultSockets({ HOME: home, XDG_RUNTIME_DIR: path.join(home, 'runtime') });
    expect(sockets[0]).toBe('/var/run/docker.sock');
    expect(sockets.map((socket) => socket.replace(home, '~'))).toEqual([
      '/var/run/docker.sock',
      '~/.docker/run/docker.sock',
      '~/runtime/docker.sock',
      '~/.docker/desktop/docker.sock',
      '~/.colima/default/docker.sock',
      '~/.config/colima/default/docker.sock',
      '~/.orbstack/run/docker.sock',
      '~/.rd/docker.sock',
    ]);
  });
});

test('a link to a socket is that socket', () => {
  put('real.sock', '');
  symlinkSync('real.sock', path.join(home, 'link.sock'));
  expect(isSameAddress(`unix://${home}/link.sock`, `unix://${home}/real.sock`)).toBe(true);
  expect(isSameAddress(`unix://${home}/link.sock`, `unix://${home}/other.sock`)).toBe(false);
  expect(isSameAddress('tcp://a:2375', 'tcp://b:2375')).toBe(false);
});

test('an endpoint is told with what chose it, and handed on to programs', () => {
  const address = 'unix:///x';
  const of = (kind: 'DOCKER_HOST' | 'default') => ({ address, chosenBy: { kind } });
  const context = { address, chosenBy: { kind: 'context', name: 'colima' } } as const;
  expect([of('default'), of('DOCKER_HOST'), context].map(endpointText)).toEqual([
    'unix:///x',
    'unix:///x (DOCKER_HOST)',
    'unix:///x (context colima)',
  ]);
  expect(endpointEnvironment(context)).toEqual({ DOCKER_HOST: '', DOCKER_CONTEXT: 'colima' });
  expect(endpointEnvironment(of('default'))).toEqual({ DOCKER_HOST: 'unix:///x', DOCKER_CONTEXT: '' });
});
