import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { engineSilence } from '../../../src/client/engine-silence.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';

let folder: string;
let settings: Settings;
let server: net.Server | undefined;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-silence-'));
  settings = readSettings({ BOTTLE_STATE: path.join(folder, 'state'), BOTTLE_HOST: 'h' });
  mkdirSync(path.join(settings.state, 'run'), { recursive: true });
  const engine = { address: `unix://${folder}/docker.sock`, chosenBy: { kind: 'default' } };
  writeFileSync(path.join(settings.state, 'run/worker.json'), JSON.stringify({ pid: 1, engine }));
});
afterEach(async () => {
  await new Promise((resolve) => (server === undefined ? resolve(0) : server.close(resolve)));
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const listen = (made: net.Server): Promise<void> => {
  server = made;
  return new Promise((resolve) => made.listen(path.join(folder, 'docker.sock'), resolve));
};
const told = (why: string, start = 'start Docker') => ({
  code: 'DOCKER_UNREACHABLE',
  message: `the Docker Engine at unix://${folder}/docker.sock does not answer (${why})`,
  hint: expect.stringMatching(new RegExp(`^${start}.*until then nothing is reached, watched or mended$`)),
});

test('an Engine that answers, whatever it says, is not silent', async () => {
  await listen(http.createServer((_request, response) => response.writeHead(500).end('no')));
  expect(await engineSilence(settings)).toBeUndefined();
});

test('one that is not there, or hangs up, is told of with where the worker looks for it', async () => {
  expect(await engineSilence(settings)).toEqual(told('ENOENT'));
  await listen(net.createServer((socket) => socket.once('data', () => socket.destroy())));
  expect(await engineSilence(settings)).toEqual(told('ECONNRESET'));
});

test('one that takes the call and says nothing, as a stopped one does, is told of too', async () => {
  const calls: net.Socket[] = [];
  await listen(net.createServer((socket) => calls.push(socket)));
  expect(await engineSilence(settings)).toEqual(told('ETIMEDOUT', 'restart Docker if it does not go on by itself'));
  for (const call of calls) call.destroy();
});
