import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { ANSWER_MS, answerLimit } from '../../../src/host/answer-limit.ts';
import { dockerAt } from '../../../src/host/docker-connection.ts';
import { type EngineSocket, playedEngine } from '../../support/recording-engine.ts';

let engine: EngineSocket | undefined;
afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

async function connected(answer: RequestListener, limitMs: number) {
  engine = await playedEngine((request, response) => {
    if (request.url === '/version') response.end(JSON.stringify({ Version: '1', ApiVersion: '1.41' }));
    else answer(request, response);
  });
  return dockerAt({ address: engine.url, chosenBy: { kind: 'default' } }, limitMs);
}

/** As Docker 20.10 of a container that was paused in the moment in which a command began in it. */
const stuck: RequestListener = ({ url = '' }, response) => {
  if (!url.includes('/stuck/')) response.end('[]');
};

test('an Engine that says nothing of one container is told of by the call, and goes on answering the others', async () => {
  const docker = await connected(stuck, 200);
  await expect(docker.getExec('stuck').start({ hijack: true })).rejects.toMatchObject({
    code: 'DOCKER_UNREACHABLE',
    message: expect.stringMatching(/has not answered in time: POST \/v1\.41\/exec\/stuck\/start$/),
    hint: expect.stringContaining('docker unpause'),
  });
  await expect(docker.getContainer('stuck').inspect()).rejects.toMatchObject({ code: 'DOCKER_UNREACHABLE' });
  expect(await docker.listContainers()).toEqual([]);
});

test('what comes after the answer takes as long as it takes', async () => {
  const docker = await connected((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/vnd.docker.raw-stream' });
    response.write('begun ');
    setTimeout(() => response.end('ended'), 600);
  }, 200);
  const stream = await docker.getExec('slow').start({});
  const said: Buffer[] = [];
  for await (const piece of stream) said.push(piece);
  expect(Buffer.concat(said).toString()).toBe('begun ended');
});

test('a signal of the caller’s own ends a call as it did', async () => {
  const docker = await connected(stuck, 60_000);
  const own = new AbortController();
  const asked = docker.getContainer('stuck').inspect({ abortSignal: own.signal } as object);
  own.abort();
  await expect(asked).rejects.toMatchObject({ name: 'AbortError' });
});

describe('the time a call has', () => {
  test.each([
    ['POST', '/build?'],
    ['POST', '/v1.41/build?t=x'],
    ['POST', '/images/create?fromImage=a'],
    ['POST', '/images/load?'],
    ['GET', '/images/a/b:c/get'],
    ['GET', '/events?'],
    ['GET', '/system/df?'],
    ['POST', '/containers/a/wait?'],
    ['POST', '/containers/a/attach?'],
    ['PUT', '/containers/a/archive?'],
    ['GET', '/containers/a/logs?'],
    ['GET', '/containers/a/stats?'],
    ['POST', '/images/prune'],
    ['POST', '/commit?'],
  ])('is what it takes: %s %s', (method, path) => {
    expect(answerLimit({ method, path })).toBeUndefined();
  });

  test.each([
    ['/containers/json?', {}, ANSWER_MS],
    ['/v1.41/containers/build/json?', {}, ANSWER_MS],
    ['/exec/a/start', {}, ANSWER_MS],
    ['/containers/create?', { name: 'a' }, 5 * ANSWER_MS],
    ['/containers/a/stop?', { t: 30 }, ANSWER_MS + 30_000],
    ['/containers/a/stop?', undefined, ANSWER_MS + 10_000],
  ])('is two minutes, and more where it waits by itself: %s', (path, options, limit) => {
    expect(answerLimit({ path, options })).toBe(limit);
  });

  test('is ten minutes where files are removed', () => {
    expect(answerLimit({ method: 'DELETE', path: '/containers/a?' })).toBe(5 * ANSWER_MS);
    expect(answerLimit({ method: 'GET', path: '/containers/a/json?' })).toBe(ANSWER_MS);
  });
});
