import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DockerRelay } from '../../chaos/docker-relay.ts';

let directory: string;
let engine: http.Server;
let relay: DockerRelay;
const socket = (): string => path.join(directory, 'relay.sock');

beforeEach(async () => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'relay-'));
  // Says something at once, and goes on as long as it is let.
  engine = http.createServer((request, response) => {
    response.write('hello');
    if (request.url !== '/events') response.end();
  });
  const upstream = path.join(directory, 'engine.sock');
  await new Promise<void>((resolve) => engine.listen(upstream, resolve));
  relay = new DockerRelay(socket(), upstream);
  await relay.open();
});
afterEach(() => {
  relay.close();
  engine.closeAllConnections();
  engine.close();
  rmSync(directory, { recursive: true, force: true });
});

/** What it says, or the code of why not; `heard` is called with each part. */
function ask(url = '/', heard: (text: string) => void = () => undefined): Promise<string> {
  return new Promise((resolve) => {
    const request = http.get({ socketPath: socket(), path: url, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        heard(text);
      });
      response.on('end', () => resolve(text));
      response.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'failed'));
    });
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'failed'));
  });
}

/** A request that is answered, and goes on. */
async function following(): Promise<{ end: Promise<string> }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = ask('/events', () => resolve());
  await promise;
  return { end };
}

describe('a relay', () => {
  test('carries', async () => {
    expect(await ask()).toBe('hello');
  });

  test('cuts off who is there, and lets the next one through', async () => {
    const { end } = await following();
    relay.cut();
    expect(await end).toBe('ECONNRESET');
    expect(await ask()).toBe('hello');
  });

  test('refuses until it is opened', async () => {
    const { end } = await following();
    relay.refuse();
    expect(await end).toBe('ECONNRESET');
    expect(await ask()).toBe('ENOENT');
    await relay.open();
    expect(await ask()).toBe('hello');
  });

  test('leaves who comes while it hangs without an answer, until they are cut off', async () => {
    relay.hang();
    const stuck = ask();
    await expect.poll(() => relay.connections).toBe(1);
    await relay.open();
    expect(await ask()).toBe('hello');
    relay.cut();
    expect(await stuck).toBe('ECONNRESET');
  });
});
