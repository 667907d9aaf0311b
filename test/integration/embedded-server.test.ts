/** The embedded server on a real Temporal CLI: what it keeps over stop and kill, and that two of them do not meet. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Client } from '@temporalio/client';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type StartedServer, serverStatus, startServer, stopServer } from '../../src/host/embedded-server.ts';
import { commandLine } from '../../src/host/process-file.ts';
import { type Settings, settings } from '../../src/host/settings.ts';
import { clusterOwner, connectClient, temporalTarget } from '../../src/host/temporal-connection.ts';
import { SEARCH_ATTRIBUTES } from '../../src/host/temporal-defaults.ts';
import { findTool } from '../../src/host/tools.ts';
import { freePort } from '../support/free-port.ts';

let root: string;
let installations: Settings[];
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'bottle-server-'));
  installations = [];
});
afterEach(async () => {
  for (const each of installations) await stopServer(each);
  rmSync(root, { recursive: true, force: true });
});

async function installation(name: string): Promise<Settings> {
  const made = settings({ BOTTLE_STATE: path.join(root, name), BOTTLE_PORT: String(await freePort()) });
  installations.push(made);
  return made;
}

async function withClient<T>(here: Settings, act: (client: Client) => Promise<T>, namespace = 'default'): Promise<T> {
  const client = await connectClient(await temporalTarget(here, { HOME: root, TEMPORAL_NAMESPACE: namespace }));
  try {
    return await act(client);
  } finally {
    await client.connection.close();
  }
}

const owner = (here: Settings): Promise<string> => withClient(here, clusterOwner);

/** A launch that no worker takes up. */
const startWaiting = (here: Settings): Promise<void> =>
  withClient(here, async (client) => {
    await client.workflow.start('Waiting', {
      workflowId: 'demo',
      taskQueue: 'nobody',
      searchAttributes: { BottlePhase: ['held'] },
    });
  });

const statusOf = (here: Settings): Promise<string> =>
  withClient(here, async (client) => (await client.workflow.getHandle('demo').describe()).status.name);

function kill(server: StartedServer): void {
  process.kill(server.pid, 'SIGKILL');
}

it('is there when startServer returns: it takes a launch with our search attributes, and keeps it for a week', async () => {
  const here = await installation('one');
  const server = await startServer(here, { detached: true });
  expect(server).toEqual({
    pid: expect.any(Number),
    address: `127.0.0.1:${here.port}`,
    uiUrl: `http://127.0.0.1:${here.uiPort}`,
    alreadyRunning: false,
  });
  await startWaiting(here);
  await withClient(here, async (client) => {
    await expect.poll(async () => (await client.workflow.count(`BottlePhase = 'held'`)).count).toBe(1);
    const { config } = await client.workflowService.describeNamespace({ namespace: 'default' });
    expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(7 * 86_400);
  });
  expect((await fetch(server.uiUrl)).status).toBe(200);
  expect(await serverStatus(here)).toEqual({
    pid: server.pid,
    address: server.address,
    uiUrl: server.uiUrl,
    answers: true,
  });
});

it('runs once, however many start it', async () => {
  const here = await installation('one');
  const started = await Promise.all([1, 2, 3].map(() => startServer(here, { detached: true })));
  expect(new Set(started.map(({ pid }) => pid)).size).toBe(1);
  expect(started.filter(({ alreadyRunning }) => !alreadyRunning)).toHaveLength(1);
});

it('is found again when its pid file is lost', async () => {
  const here = await installation('one');
  const { pid } = await startServer(here, { detached: true });
  const file = path.join(here.state, 'run', 'server.pid');
  rmSync(file);
  expect(await serverStatus(here)).toMatchObject({ pid, answers: true });
  rmSync(file);
  expect(await startServer(here, { detached: true })).toMatchObject({ pid, alreadyRunning: true });
  rmSync(file);
  expect(await stopServer(here)).toBe('stopped');
  expect(await commandLine(pid)).toBeNull();
});

it('keeps launches and its own identity over kill -9 and over stop', async () => {
  const here = await installation('one');
  const first = await startServer(here, { detached: true });
  const identity = await owner(here);
  expect(identity).toMatch(/^[0-9a-f-]{36}\/default$/);
  await startWaiting(here);
  kill(first);
  const second = await startServer(here, { detached: true });
  expect(second).toMatchObject({ alreadyRunning: false });
  expect(second.pid).not.toBe(first.pid);
  expect([await statusOf(here), await owner(here)]).toEqual(['RUNNING', identity]);
  expect(await stopServer(here)).toBe('stopped');
  expect(await serverStatus(here)).toMatchObject({ pid: null, answers: false });
  expect(await commandLine(second.pid)).toBeNull();
  await startServer(here, { detached: true });
  expect([await statusOf(here), await owner(here)]).toEqual(['RUNNING', identity]);
});

it('starts again after being killed at any moment of its very first start', async () => {
  const here = await installation('one');
  for (const afterMs of [30, 60, 100, 150, 200, 300]) {
    const starting = startServer(here, { detached: false }).catch((error: unknown) => error);
    const file = path.join(here.state, 'run', 'server.pid');
    await expect.poll(() => existsSync(file), { interval: 2 }).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    kill({ pid: Number(readFileSync(file, 'utf8')) } as StartedServer);
    await starting;
  }
  await startServer(here, { detached: true });
  await startWaiting(here);
  expect(await statusOf(here)).toBe('RUNNING');
});

it('does without a database that never got its schema, and puts it aside', async () => {
  const here = await installation('one');
  await startServer(here, { detached: true });
  await stopServer(here);
  const [database = ''] = (await readdir(path.join(here.state, 'temporal'))).filter((name) => name.endsWith('.db'));
  for (const suffix of ['-wal', '-shm', '.ready'])
    rmSync(path.join(here.state, 'temporal', database + suffix), { force: true });
  truncateSync(path.join(here.state, 'temporal', database));
  await startServer(here, { detached: true });
  await startWaiting(here);
  expect(await readdir(path.join(here.state, 'temporal'))).toContain(`${database}.incomplete`);
});

it('leaves a database that it cannot read as it is, and says what the server says', async () => {
  const here = await installation('one');
  await startServer(here, { detached: true });
  await stopServer(here);
  const folder = path.join(here.state, 'temporal');
  const [name = ''] = (await readdir(folder)).filter((entry) => entry.endsWith('.db'));
  for (const suffix of ['-wal', '-shm']) rmSync(path.join(folder, name + suffix), { force: true });
  writeFileSync(path.join(folder, name), 'what is left after a disk went bad '.repeat(1000));
  await expect(startServer(here, { detached: true })).rejects.toMatchObject({
    code: 'SERVER_FAILED',
    message: expect.stringContaining('file is not a database'),
  });
  expect(readFileSync(path.join(folder, name), 'utf8')).toContain('a disk went bad');
});

it('says so when a newer server starts with an empty database', async () => {
  const here = await installation('one');
  await startServer(here, { detached: true });
  await stopServer(here);
  const program = (await findTool('temporal'))?.path;
  const newer = path.join(root, 'temporal');
  writeFileSync(
    newer,
    `#!/bin/sh\n[ "$1" = --version ] && echo "temporal version 9 (Server 9.9.0)" || exec "${program}" "$@"\n`,
    {
      mode: 0o755,
    },
  );
  const started = await startServer(here, { detached: true, program: newer });
  expect(started.notice).toMatch(/^Temporal server 9\.9 starts with an empty database; bottles of server \d+\.\d+ /);
});

it('keeps everything for its owner only, and gets none of our environment', async () => {
  const here = await installation('one');
  process.env['BOTTLE_TEST_SECRET'] = 'nobody may see this';
  const { pid } = await startServer(here, { detached: true }).finally(() => {
    delete process.env['BOTTLE_TEST_SECRET'];
  });
  const entries = await readdir(here.state, { recursive: true, withFileTypes: true });
  const modes = entries.map((entry) => {
    const mode = (statSync(path.join(entry.parentPath, entry.name)).mode & 0o777).toString(8);
    return `${entry.isDirectory() ? 'directory' : 'file'} ${mode}`;
  });
  expect(new Set(modes)).toEqual(new Set(['directory 700', 'file 600']));
  if (process.platform === 'linux')
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain('nobody may see this');
});

it('has the namespace it is asked for', async () => {
  const here = await installation('one');
  await startServer(here, { detached: true, namespace: 'team' });
  await startServer(here, { detached: true, namespace: 'later' });
  for (const namespace of ['team', 'later']) {
    expect(await withClient(here, clusterOwner, namespace)).toMatch(new RegExp(`/${namespace}$`));
    await withClient(
      here,
      async (client) => expect((await client.workflow.count(`BottlePhase = 'held'`)).count).toBe(0),
      namespace,
    );
  }
});

it('tells, when not detached, that it ended', async () => {
  const here = await installation('one');
  const server = await startServer(here, { detached: false });
  kill(server);
  expect(await server.exited).toBe('was ended by SIGKILL');
});

it('runs beside another installation, and neither sees or stops the other', async () => {
  const [one, two] = [await installation('one'), await installation('two')];
  const [first, second] = await Promise.all([one, two].map((each) => startServer(each, { detached: true })));
  expect(first?.pid).not.toBe(second?.pid);
  await startWaiting(one);
  expect(await withClient(two, async (client) => (await client.workflow.count()).count)).toBe(0);
  expect(await owner(one)).not.toBe(await owner(two));
  expect(await stopServer(one)).toBe('stopped');
  expect(await serverStatus(two)).toMatchObject({ pid: second?.pid, answers: true });
});

it('refuses another port while it runs on one, and a port that another installation has', async () => {
  const [one, two] = [await installation('one'), await installation('two')];
  const { pid } = await startServer(one, { detached: true });
  const moved = { ...one, port: two.port, uiPort: two.uiPort };
  await expect(startServer(moved, { detached: true })).rejects.toMatchObject({
    code: 'SERVER_FAILED',
    message: expect.stringContaining(`runs, on port ${one.port}`),
    hint: expect.stringContaining(`BOTTLE_PORT=${one.port}`),
  });
  await expect(startServer({ ...two, port: one.port }, { detached: true })).rejects.toMatchObject({
    code: 'SERVER_FAILED',
    message: `port ${one.port}, for the embedded server, is taken by temporal (process ${pid})`,
  });
});

it('can be set up by the compose file’s namespace script, twice', async () => {
  const here = await installation('one');
  await startServer(here, { detached: true });
  const folder = path.dirname((await findTool('temporal'))?.path ?? '');
  const namespace = 'composed';
  const script = new URL('../../images/temporal/set-up-namespace.sh', import.meta.url).pathname;
  const env = {
    PATH: `${folder}:${process.env['PATH']}`,
    HOME: root,
    TEMPORAL_ADDRESS: `127.0.0.1:${here.port}`,
    TEMPORAL_NAMESPACE: namespace,
    RETENTION: '168h',
    SEARCH_ATTRIBUTES: SEARCH_ATTRIBUTES.join(' '),
  };
  for (let time = 0; time < 2; time += 1) await promisify(execFile)('/bin/sh', [script], { env });
  await withClient(
    here,
    async (client) => {
      const { customAttributes } = await client.connection.operatorService.listSearchAttributes({ namespace });
      expect(customAttributes).toMatchObject(Object.fromEntries(SEARCH_ATTRIBUTES.map((name) => [name, 2])));
      const { config } = await client.workflowService.describeNamespace({ namespace });
      expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(7 * 86_400);
    },
    namespace,
  );
});
