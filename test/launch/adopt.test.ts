/** A bottle whose server is lost is taken over as it is by a launch on another one, with the agent's unsaved work in it. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { bundleName, LABEL, machineName } from '../../src/core/names.ts';
import type { StatusDocument } from '../../src/core/status.ts';
import { clusterOwner } from '../../src/host/temporal-connection.ts';
import { callTool } from '../support/call-tool.ts';
import { clientDocument, PROGRAM } from '../support/client-document.ts';
import {
  docker,
  type Installation,
  installation,
  isHeld,
  isReady,
  removeObjects,
  uniqueId,
} from '../support/installation.ts';
import { runIn } from '../support/run-in-container.ts';

/** What must be the very same container, running since the very same moment. */
const machineOf = async (id: string) => {
  const { Id, State } = await docker.getContainer(machineName(id)).inspect();
  return { Id, startedAt: State.StartedAt, running: State.Running };
};
const bundleOf = async (id: string) => (await docker.getContainer(bundleName(id)).inspect()).Id;
const inMachine = async (id: string, script: string): Promise<string> =>
  (await runIn({ docker }, machineName(id), ['sh', '-c', script], 'agent')).stdout;
const requestsOf = ({ requests }: StatusDocument) =>
  Object.fromEntries(requests.map(({ id, state }) => [id, state] as const));

/** The embedded server comes back with a new, empty database. */
async function loseDatabase(it: Installation): Promise<void> {
  await it.killServer();
  rmSync(path.join(it.settings.state, 'temporal'), { recursive: true });
}

test('a bottle whose database is gone is adopted with its work, and is a bottle as any other', async () => {
  const it = await installation();
  const id = uniqueId('adopt');
  try {
    const project = path.join(path.dirname(it.settings.state), 'project');
    mkdirSync(project);
    writeFileSync(path.join(project, 'notes'), 'of the host\n');
    const secret = path.join(it.settings.home, 'token');
    writeFileSync(secret, 'a-secret-of-the-test', { mode: 0o600 });
    const auth = `auth: {scheme: Bearer, token_ref: "file:${secret}"}`;
    it.writeBottle('asking', `supervise: true\negress:\n  routes:\n    - {host: api.test, ${auth}}`);
    it.writeAgent('demo', 'bottle: asking', 'Be quick.');
    const worker = await it.startWorker();
    await it.launch(id, { agent: 'demo', cwd: project, copyCwd: 'all' });
    await it.waitFor(id, isReady);
    const [granted, waits] = await Promise.all(
      ['granted.test', 'waits.test'].map(async (host) => {
        const ask = { host, methods: ['GET'], pathPrefix: '/v1', reason: 'to test' };
        return String((await callTool(id, 'request_egress_route', ask))['requestId']);
      }),
    );
    await it.waitFor(id, ({ requests }) => requests.length === 2);
    await it.client.workflow
      .getHandle(id)
      .executeUpdate<string, [unknown]>('decide', { args: [{ request: granted, decision: 'approve' }] });
    await it.waitFor(id, (status) => isReady(status) && requestsOf(status)[granted as string] === 'approved');
    await inMachine(id, 'echo unsaved >work; echo of the agent >notes; echo \'{"mine": true}\' >~/.claude.json');
    const before = { machine: await machineOf(id), bundle: await bundleOf(id), owner: it.owner };

    await worker.kill();
    await loseDatabase(it);
    // Asked while nobody hears of it.
    const unheard = String((await callTool(id, 'ask_operator', { question: 'Anybody there?' }))['requestId']);

    // Given up half-way, it is as lost as before, and untouched.
    await it.startServer();
    rmSync(secret);
    const first = await it.startWorker();
    const [held] = await clientDocument<StatusDocument[]>(['adopt', id], it.env);
    expect(held?.steps.find(({ state }) => state === 'held')).toMatchObject({ error: { code: 'SECRET_MISSING' } });
    expect(await clientDocument(['abort', id], it.env)).toMatchObject({ phase: 'failed' });
    expect(await machineOf(id)).toEqual({ ...before.machine, running: true });
    expect(await clientDocument(['gc'], it.env)).toMatchObject({ leftovers: [], lost: [{ id, database: 'gone' }] });
    await first.stop();
    writeFileSync(secret, 'a-secret-of-the-test', { mode: 0o600 });

    // A worker that dies just when it has taken the bottle over: the next one goes on.
    const dying = await it.startWorker({ at: 'prepare', when: 'after' });
    const [begun] = await clientDocument<StatusDocument[]>(['adopt', id, '--no-wait'], it.env);
    expect(begun).toMatchObject({ id });
    await dying.paused();
    await dying.kill();
    const [adopted] = await clientDocument<StatusDocument[]>(['adopt', id], it.env);
    expect(adopted).toMatchObject({ id, phase: 'ready', runId: begun?.runId, madeBy: { owner: before.owner } });

    expect(await machineOf(id)).toEqual({ ...before.machine, running: true });
    expect(await bundleOf(id)).toBe(before.bundle);
    expect(await inMachine(id, 'cat work notes ~/.claude.json')).toBe('unsaved\nof the agent\n{"mine": true}\n');
    // What waited waits on, also what nobody had heard of, and what was granted is over.
    const asked = await it.waitFor(id, ({ requests }) => requests.length === 3);
    expect(requestsOf(asked)).toEqual({
      [granted as string]: 'expired',
      [waits as string]: 'pending',
      [unheard]: 'pending',
    });

    // Once more is harmless.
    expect(await clientDocument<StatusDocument[]>(['adopt', id], it.env)).toMatchObject([{ id, runId: begun?.runId }]);
    expect(await clientDocument(['gc'], it.env)).toMatchObject({ leftovers: [], lost: [] });
    expect(await clientDocument(['adopt', 'nobody'], it.env)).toMatchObject({ error: { code: 'NO_SUCH_BOTTLE' } });

    const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, 'exec', id, '--', 'cat', 'work'], {
      env: it.env,
    });
    expect(stdout).toBe('unsaved\n');
    await clientDocument(['approve', id, waits as string, '--note', 'fine'], it.env);
    expect(await callTool(id, 'check_request', { requestId: waits })).toMatchObject({ status: 'approved' });
    expect(await clientDocument(['reload', id], it.env)).toMatchObject({ phase: 'ready' });
    it.writeAgent('demo', 'bottle: asking', 'Be quicker.');
    expect(await clientDocument(['apply', id], it.env)).toMatchObject({ phase: 'ready' });
    expect(await inMachine(id, 'cat ~/.bottle/prompt.md')).toContain('Be quicker.');
    // Its bundle dies, and is made again in the name of the bottle's maker.
    await docker.getContainer(bundleName(id)).remove({ force: true });
    await it.waitFor(id, (status) => isReady(status) && (status.healings?.count ?? 0) > 0);
    expect(await machineOf(id)).toEqual({ ...before.machine, running: true });

    expect(await it.down(id)).toEqual([]);
    // Whoever's name it bears.
    const filters = { label: [`${LABEL.bottle}=${id}`] };
    expect(await docker.listContainers({ all: true, filters })).toEqual([]);
    expect(await docker.listNetworks({ filters })).toEqual([]);
    expect(await clientDocument(['gc'], it.env)).toMatchObject({ leftovers: [], lost: [] });
  } finally {
    await it.dispose();
  }
});

test('a server that answers keeps its bottle unless a person forces it, and then touches nothing of it', async () => {
  const it = await installation();
  const other = await installation();
  const id = uniqueId('taken');
  const elsewhere = { ...it.env, TEMPORAL_ADDRESS: `127.0.0.1:${other.settings.port}` };
  const endDetachedWorker = async (): Promise<void> => {
    const file = path.join(it.settings.state, 'run/worker.pid');
    process.kill(Number(readFileSync(file, 'utf8')), 'SIGTERM');
    await expect.poll(() => readFileSync(file, { encoding: 'utf8', flag: 'a+' })).toBe('');
  };
  try {
    it.writeAgent('demo', '');
    const worker = await it.startWorker();
    await it.launch(id, { agent: 'demo' });
    await it.waitFor(id, isReady);
    const machine = await machineOf(id);
    await worker.stop();

    await clientDocument(['serve', '--detach'], elsewhere);
    expect(await clientDocument(['adopt', id], elsewhere)).toMatchObject({
      error: {
        code: 'NOT_ADOPTABLE',
        message: expect.stringContaining('is open on'),
        hint: expect.stringContaining('--force'),
      },
    });
    const [adopted] = await clientDocument<StatusDocument[]>(['adopt', id, '--force'], elsewhere);
    expect(adopted).toMatchObject({ id, phase: 'ready', madeBy: { owner: it.owner } });
    await endDetachedWorker();

    // The server that launched it is used again: its launch steers nothing any more, and its end changes nothing.
    const again = await it.startWorker();
    const held = await it.waitFor(id, isHeld);
    expect(held.steps.find(({ state }) => state === 'held')).toMatchObject({ error: { code: 'ADOPTED' } });
    await it.client.workflow.getHandle(id).executeUpdate('stop');
    await it.closed(id);
    expect(await machineOf(id)).toEqual(machine);
    await again.stop();

    await clientDocument(['serve', '--detach'], elsewhere);
    expect(await clusterOwner(other.client)).not.toBe(it.owner);
    expect(await other.down(id)).toEqual([]);
    expect(await it.leftovers(id)).toEqual([]);
    await endDetachedWorker();
  } finally {
    await other.dispose();
    await removeObjects(other.owner);
    await it.dispose();
  }
});
