import type { RequestListener } from 'node:http';
import Dockerode from 'dockerode';
import { afterEach, describe, expect, test } from 'vitest';
import { NEWEST_API, settleCalls } from '../../../src/host/engine-calls.ts';
import { type EngineSocket, playedEngine } from '../../support/recording-engine.ts';

let engine: EngineSocket | undefined;
afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

const answering =
  (ApiVersion: string, MinAPIVersion?: string): RequestListener =>
  ({ url }, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.statusCode = url === '/version' || url?.endsWith('/update') ? 200 : 201;
    response.end(JSON.stringify(url === '/version' ? { ApiVersion, MinAPIVersion } : { Id: 'made' }));
  };

async function connected(answer: RequestListener): Promise<{ docker: Dockerode; engine: EngineSocket }> {
  engine = await playedEngine(answer);
  return { docker: settleCalls(new Dockerode({ socketPath: engine.socketPath })), engine };
}

const secret = 'SECRET=only-for-the-body';

describe('the address of a call', () => {
  test('of creating a container holds its name and platform, and nothing of the document', async () => {
    const { docker, engine } = await connected(answering('1.41'));
    const options = {
      name: 'one',
      platform: 'linux/amd64',
      Image: 'i',
      Env: [secret],
      HostConfig: { Dns: ['10.0.0.1'] },
    };
    await docker.createContainer(options);
    expect(engine.calls).toEqual(['GET /version', 'POST /v1.41/containers/create?name=one&platform=linux%2Famd64']);
    expect(JSON.parse(engine.bodies[0] ?? '')).toEqual({
      Image: 'i',
      Env: [secret],
      HostConfig: { Dns: ['10.0.0.1'] },
    });
  });

  test.each([
    ['a network', (docker: Dockerode) => docker.createNetwork({ Name: secret, Labels: { a: secret } })],
    ['a volume', (docker: Dockerode) => docker.createVolume({ Name: secret, Labels: { a: secret } })],
    ['a secret', (docker: Dockerode) => docker.createSecret({ Name: 'n', Data: secret })],
    ['a config', (docker: Dockerode) => docker.createConfig({ Name: 'n', Data: secret })],
    ['an image of a container', (docker: Dockerode) => docker.getContainer('c').commit({ repo: 'r', Env: [secret] })],
    ['a command', (docker: Dockerode) => docker.getContainer('c').exec({ Cmd: ['true'], Env: [secret] })],
    ['a change', (docker: Dockerode) => docker.getContainer('c').update({ Env: [secret] })],
    ['a connection', (docker: Dockerode) => docker.getNetwork('n').connect({ Container: secret })],
  ])('of making %s has nothing of the document', async (_what, call) => {
    const { docker, engine } = await connected(answering('1.41'));
    await call(docker);
    expect(engine.calls.join('\n')).not.toContain('only-for-the-body');
    expect(engine.bodies.join('\n')).toContain('only-for-the-body');
  });

  test('keeps what is meant for it', async () => {
    const { docker, engine } = await connected(({ url }, response) => {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(url === '/version' ? { ApiVersion: '1.41' } : []));
    });
    await docker.listContainers({ all: true, filters: { label: ['a=b'] } });
    await docker.getContainer('c').wait({ condition: 'removed', abortSignal: new AbortController().signal });
    const filters = encodeURIComponent('{"label":["a=b"]}');
    expect(engine.calls.slice(1)).toEqual([
      `GET /v1.41/containers/json?all=true&filters=${filters}`,
      'POST /v1.41/containers/c/wait?condition=removed',
    ]);
  });
});

describe('the version of the API that is asked for', () => {
  test.each([
    ["an older Engine's own", '1.41', '1.12', '1.41'],
    ['1.9 is older than 1.41', '1.9', '1.5', '1.9'],
    ['the newest that was tried, of a newer Engine', '1.99', '1.44', NEWEST_API],
    ['the oldest that is left, of an Engine that is newer by far', '1.99', '1.90', '1.90'],
    ['where an Engine does not tell its oldest', '1.41', undefined, '1.41'],
  ])('%s', async (_what, newest, oldest, asked) => {
    const { docker, engine } = await connected(answering(newest, oldest));
    await Promise.all([docker.createNetwork({ Name: 'a' }), docker.createNetwork({ Name: 'b' })]);
    expect(engine.calls.sort()).toEqual([
      'GET /version',
      `POST /v${asked}/networks/create?`,
      `POST /v${asked}/networks/create?`,
    ]);
  });

  test('is agreed on anew when another Engine has come up behind the socket', async () => {
    let newest = '1.51';
    const { docker } = await connected(({ url = '' }, response) => {
      response.setHeader('Content-Type', 'application/json');
      if (url === '/version') return response.end(JSON.stringify({ ApiVersion: newest }));
      const refused = !url.startsWith(`/v${newest}/`);
      response.statusCode = refused ? 400 : 201;
      const message = `client version 1.51 is too new. Maximum supported API version is ${newest}`;
      return response.end(JSON.stringify(refused ? { message } : { Id: 'made' }));
    });
    await docker.createNetwork({ Name: 'a' });
    newest = '1.41';
    await expect(docker.createNetwork({ Name: 'a' })).rejects.toThrow('too new');
    await docker.createNetwork({ Name: 'a' });
  });

  test.each([
    ['an Engine does not tell', 200, '{}'],
    ['a filter before it refuses to say', 403, '{"message":"not allowed"}'],
  ])('is left to the Engine where %s', async (_what, status, text) => {
    const { docker, engine } = await connected(({ url }, response) => {
      response.setHeader('Content-Type', 'application/json');
      response.statusCode = url === '/version' ? status : 201;
      response.end(url === '/version' ? text : '{"Id":"made"}');
    });
    await docker.createNetwork({ Name: 'a' });
    expect(engine.calls).toEqual(['GET /version', 'POST /networks/create?']);
  });

  test('waits for an Engine that does not answer yet', async () => {
    const docker = settleCalls(new Dockerode({ socketPath: '/nowhere/docker.sock' }));
    await expect(docker.listContainers()).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(docker.listContainers()).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
