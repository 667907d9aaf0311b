import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { dockerAt } from '../../../src/host/docker-connection.ts';
import { assertAnswers } from '../../../src/host/engine-pulse.ts';
import { type EngineSocket, playedEngine } from '../../support/recording-engine.ts';

let engine: EngineSocket;
/** Questions that nobody answers until a test does. */
let asked: ServerResponse[];
let answersFrom: number;

beforeEach(async () => {
  asked = [];
  answersFrom = Number.POSITIVE_INFINITY;
  engine = await playedEngine((request, response) => {
    if (request.url === '/version') response.end(JSON.stringify({ Version: '1', ApiVersion: '1.41' }));
    else if (asked.push(response) >= answersFrom) response.end('OK');
  });
});
afterEach(() => engine.close());

const connect = () => dockerAt({ address: engine.url, chosenBy: { kind: 'default' } });

test('an Engine that takes the call and says nothing is told of, and asked once for all who ask', async () => {
  const docker = connect();
  const told = {
    code: 'DOCKER_UNREACHABLE',
    message: `the Docker Engine at ${engine.url} does not answer (ETIMEDOUT)`,
    hint: expect.stringMatching(/^restart Docker/),
  };
  const both = [assertAnswers(docker, 1000), assertAnswers(docker, 1000)];
  await Promise.all(both.map((each) => expect(each).rejects.toMatchObject(told)));
  // Twice, and not twice for each; fewer where the computer is too busy to get there in time.
  expect(asked.length).toBeLessThanOrEqual(2);
});

test('one whose answer came too late, since who asked stood still itself, is asked again', async () => {
  answersFrom = 2;
  await assertAnswers(connect(), 3000);
  expect(asked).toHaveLength(2);
});
