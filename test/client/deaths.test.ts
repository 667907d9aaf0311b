/** Server and worker die at the worst moment: what a command says, what it starts by itself, and what it leaves to others. */
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uniqueId } from '../support/installation.ts';
import { type CommandLine, commandLine, type Outcome } from './command.ts';

const host = uniqueId('mortal');
const agent = uniqueId('death');
let it: CommandLine;

beforeAll(async () => {
  it = await commandLine(host);
  it.write('bottles/small.md', '---\nimage: minimal\n---\n');
  it.write(`agents/${agent}.md`, '---\nbottle: small\n---\n');
  it.write(`agents/${agent}-held.md`, '---\nbottle: small\nskills: [missing]\n---\n');
});
afterAll(() => it?.dispose());

const pidOf = (name: string): number => Number(readFileSync(path.join(it.state, 'run', `${name}.pid`), 'utf8'));
const kill = (...names: ('worker' | 'server')[]): void => {
  for (const name of names) process.kill(pidOf(name), 'SIGKILL');
};
const phaseOf = async (id: string): Promise<unknown> => {
  const { document } = await it.json(['status', id]);
  return (document as { phase?: string }).phase;
};

const GONE = /^the worker of this host \(\S+\) is gone; starting a new one$/m;
const STARTED = /^started the worker of \S+ \(process \d+\)$/m;
const SERVER_GONE = /^the Temporal server of this host \(\S+\) is gone; starting it again$/m;
const SERVER_STARTED = /^started Temporal \(embedded\) on /m;

/** Each test is a story of several commands, on a computer that may be busy. */
const timeout = 300_000;

describe('while up follows a launch', { timeout }, () => {
  test('a worker that is killed is told of, started again, and its step goes on; the server is not blamed', async () => {
    const id = `${agent}-w`;
    const up = await it.bottle(['up', agent, '--name', id], {
      reactions: [[/^bundle +running/m, () => kill('worker')]],
    });
    expect(up, up.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(`^${id} is ready`) });
    const later = up.stderr.slice(up.stderr.search(GONE));
    expect(later.search(GONE), up.stderr).toBe(0);
    expect(later).toMatch(STARTED);
    expect(up.stderr).not.toMatch(/Temporal server .*(does not answer|is gone)/);
  });

  test('a server that is killed is started again', async () => {
    const id = `${agent}-s`;
    const up = await it.bottle(['up', agent, '--name', id], {
      reactions: [[/^bundle +running/m, () => kill('server')]],
    });
    expect(up, up.stderr).toMatchObject({ code: 0, stderr: expect.stringMatching(SERVER_GONE) });
    expect(up.stderr).toMatch(SERVER_STARTED);
  });

  test('a worker that a person stops is waited for, not started against their will', async () => {
    const id = `${agent}-p`;
    const served: Promise<Outcome>[] = [];
    const serve = (...args: string[]): void => void served.push(it.bottle(['serve', ...args]));
    const up = await it.bottle(['up', agent, '--name', id], {
      reactions: [
        [/^bundle +running/m, () => serve('--stop')],
        [/was stopped; waiting for it \(bottle serve --detach starts it\)$/m, () => serve('--detach')],
      ],
    });
    expect(up, up.stderr).toMatchObject({ code: 0 });
    // From then on they are wanted again, whoever is first.
    expect(up.stderr.slice(0, up.stderr.indexOf('was stopped; '))).not.toMatch(/is gone; starting/);
    for (const { code, stderr } of await Promise.all(served)) expect(code, stderr).toBe(0);
  });
});

describe('where nobody runs any more', { timeout }, () => {
  const held = `${agent}-h`;

  test('a decision starts server and worker, and says so', async () => {
    expect(await it.bottle(['up', `${agent}-held`, '--name', held])).toMatchObject({ code: 3 });
    kill('server', 'worker');
    // Nothing is started just to be refused.
    const elsewhere = { BOTTLE_HOME: path.join(it.directory, 'other-home') };
    mkdirSync(path.join(elsewhere.BOTTLE_HOME, 'agents'), { recursive: true });
    writeFileSync(path.join(elsewhere.BOTTLE_HOME, 'agents', `${agent}.md`), '');
    const refused = await it.json(['up', agent], { env: elsewhere });
    expect(refused).toMatchObject({ code: 5, document: { error: { code: 'WORKER_DIFFERS' } } });
    expect(await it.json(['ls'])).toMatchObject({ code: 5, document: { error: { code: 'TEMPORAL_UNREACHABLE' } } });
    const retry = await it.bottle(['retry', held]);
    expect(retry, retry.stderr).toMatchObject({ code: 3, stderr: expect.stringMatching(SERVER_STARTED) });
    expect(retry.stderr).toMatch(STARTED);
  });

  test('a worker that dies over a decision is started again, and the decision counts', async () => {
    process.kill(pidOf('worker'), 'SIGSTOP');
    const reload = await it.bottle(['reload', `${agent}-w`], {
      reactions: [[/^the host's worker has not answered yet/m, () => kill('worker')]],
    });
    expect(reload, reload.stderr).toMatchObject({ code: 0, stderr: expect.stringMatching(GONE) });
    expect(reload.stderr).toMatch(STARTED);
  });

  test('who only looks is told at once that no worker is there', async () => {
    kill('worker');
    for (const args of [['requests'], ['requests', held], ['status', held]]) {
      const { code, stderr } = await it.bottle(args);
      expect({ args, code }, stderr).toEqual({ args, code: 5 });
      expect(stderr).toContain(`no worker serves ${host}`);
    }
    const [here] = (await it.json(['hosts'])).document as { host: string; worker: boolean }[];
    expect(here).toMatchObject({ host, worker: false });
  });

  test('down of a bottle whose host has no worker is kept by the server, and carried out when there is one', async () => {
    const away = {
      TEMPORAL_ADDRESS: `127.0.0.1:${it.port}`,
      BOTTLE_HOST: 'away',
      BOTTLE_STATE: path.join(it.directory, 'away'),
    };
    const reload = await it.json(['reload', `${agent}-w`], { env: away });
    expect(reload).toMatchObject({ code: 5, document: { error: { code: 'WORKER_UNREACHABLE' } } });
    const down = await it.json(['down', held], { env: away });
    expect(down).toMatchObject({ code: 0, document: [{ id: held, host, recorded: true }] });
    expect(await it.bottle(['serve', '--detach'])).toMatchObject({ code: 0 });
    await expect.poll(() => phaseOf(held)).toBe('stopped');
    expect(existsSync(path.join(it.state, 'bottles', held))).toBe(false);
  });

  test('down --all starts server and worker once, says what is waited for once, and leaves nothing', async () => {
    kill('server', 'worker');
    const down = await it.bottle(['down', '--all']);
    expect(down.code, down.stderr).toBe(0);
    for (const id of ['w', 's', 'p']) expect(down.stdout).toContain(`${agent}-${id} is gone\n`);
    for (const once of [STARTED, SERVER_STARTED])
      expect(down.stderr.match(new RegExp(once, 'gm')), down.stderr).toHaveLength(1);
    expect(down.stderr.match(/has not answered yet/g) ?? []).toSatisfy((said: string[]) => said.length <= 1);
    await expect.poll(async () => (await it.json(['ls'])).document).toEqual([]);
  });
});

test('what is killed while it starts is started again, by whoever waits for it', { timeout }, async () => {
  expect(await it.bottle(['serve', '--stop'])).toMatchObject({ code: 0 });
  const serving = [it.bottle(['serve', '--detach']), it.bottle(['serve', '--detach'])];
  for (const name of ['server', 'worker'] as const) {
    const begun = (): boolean => existsSync(path.join(it.state, 'run', `${name}.pid`)) && pidOf(name) > 0;
    await expect.poll(begun, { interval: 5, timeout: 60_000 }).toBe(true);
    expect(existsSync(path.join(it.state, 'run', 'worker.json'))).toBe(false);
    kill(name);
  }
  for (const { code, stderr } of await Promise.all(serving)) expect(code, stderr).toBe(0);
});

test('a worker is not moved to what is no Engine, though nothing hangs on it', { timeout }, async () => {
  const server = http.createServer((_request, response) => void response.writeHead(404).end('no such page'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    const address = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const before = pidOf('worker');
    const up = await it.bottle(['up', agent], { env: { DOCKER_HOST: address } });
    expect(up).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        `error[DOCKER_UNREACHABLE]: what answers at ${address} (DOCKER_HOST) is no Docker Engine (HTTP 404)\nhint: see whether an Engine listens there, or unset DOCKER_HOST; then retry\n`,
      ),
    });
    // What a library of ours should do otherwise is nothing to tell a person.
    expect(up.stderr).not.toContain('Warning');
    expect(pidOf('worker')).toBe(before);
  } finally {
    server.close();
  }
});

test('a worker that serves another server is not taken for one of this', { timeout }, async () => {
  const env = { TEMPORAL_ADDRESS: `localhost:${it.port}` };
  const serve = await it.json(['serve', '--detach'], { env });
  expect(serve).toMatchObject({
    code: 5,
    document: { error: { code: 'WORKER_UNREACHABLE', hint: 'with the settings you want: bottle serve --restart' } },
  });
});
