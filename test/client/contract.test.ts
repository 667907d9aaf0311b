/** contract.md from outside: the documents, exit codes, names, labels and attributes that people's scripts rely on. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callTool } from '../support/call-tool.ts';
import { errorSchema, requestRowSchema, rowSchema, statusSchema } from '../support/contract-schemas.ts';
import { docker, type Installation, installation, root, uniqueId } from '../support/installation.ts';

let it: Installation;
const id = uniqueId('contract');

beforeAll(async () => {
  it = await installation();
  it.writeAgent('demo', 'skills: [greet]', 'Be kind.');
  await it.startWorker();
});
afterAll(() => it.dispose());

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

const bottle = (...args: string[]): Promise<Ended> => bottleWith(it.env, ...args);

function bottleWith(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const program = path.join(root, 'dist/client/main.js');
    execFile(process.execPath, [program, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

/** The one document on stdout: a second one, or anything else there, does not parse. */
const json = ({ stdout }: Ended): unknown => JSON.parse(stdout);

test('a held launch: exit 3, the status document, the row, search attributes and memo', async () => {
  const up = await bottle('up', 'demo', '--name', id, '--json');
  expect(up.code).toBe(3);
  const status = statusSchema.parse(json(up));
  expect(status).toMatchObject({ id, agent: 'demo', phase: 'held', driver: 'docker', readyAt: null });
  expect(status.steps.find((step) => step.id === 'provision.skills')).toMatchObject({
    state: 'held',
    attempts: 1,
    error: { code: 'SKILL_NOT_FOUND' },
  });
  expect(statusSchema.parse(json(await bottle('status', id, '--json')))).toEqual(status);

  const rows = rowSchema.array().parse(json(await bottle('ls', '--json')));
  expect(rows).toEqual([
    {
      id,
      agent: 'demo',
      phase: 'held',
      host: it.settings.host,
      driver: 'docker',
      heldSteps: ['provision.skills'],
      startedAt: status.startedAt,
    },
  ]);
  const { searchAttributes } = await it.client.workflow.getHandle(id).describe();
  expect(searchAttributes).toMatchObject({
    BottlePhase: ['held'],
    BottleAgent: ['demo'],
    BottleHost: [it.settings.host],
    BottleStep: ['provision.skills'],
  });
});

test('retry in place: exit 0, ready, and the Docker objects bear the names and labels', async () => {
  it.writeSkill('greet');
  const retry = await bottle('retry', id, '--json');
  expect(retry.code).toBe(0);
  const status = statusSchema.parse(json(retry));
  expect(status).toMatchObject({
    phase: 'ready',
    network: { name: `bottle-${id}` },
    bundle: { container: `bottle-${id}-bundle`, daemons: { pipelock: 'ready' } },
    machine: { name: `bottle-${id}`, state: 'running' },
  });
  expect(status.readyAt).not.toBeNull();

  const objects = [
    (await docker.getNetwork(`bottle-${id}`).inspect()).Labels,
    (await docker.getContainer(`bottle-${id}-bundle`).inspect()).Config.Labels,
    (await docker.getContainer(`bottle-${id}-machine`).inspect()).Config.Labels,
  ] as Record<string, string>[];
  for (const labels of objects) {
    expect(labels).toMatchObject({
      'bottleworks.bottle': id,
      'bottleworks.run': status.runId,
      'bottleworks.owner': it.owner,
      'bottleworks.step': expect.stringMatching(/^(network|bundle|machine\.create)$/),
      'bottleworks.spec': expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  }
});

test('exec gives the command its streams and its exit code, 125 for a failure of its own', async () => {
  const version = await bottle('exec', id, '--', 'claude', '--version');
  expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+ \(Claude Code\)\n$/) });
  expect((await bottle('exec', id, '--', 'sh', '-c', 'exit 7')).code).toBe(7);
  expect((await bottle('exec', 'nobody', '--', 'true')).code).toBe(125);
});

test('requests: an array of what agents ask; an answer is the request as it is then', async () => {
  expect(json(await bottle('requests', '--json'))).toEqual([]);
  it.writeBottle('asking', 'supervise: true');
  it.writeAgent('asker', 'bottle: asking');
  expect((await bottle('up', 'asker', '--quiet')).code).toBe(0);
  await callTool('asker', 'request_egress_route', { host: 'a.test', methods: ['GET'], reason: 'to read' });
  await callTool('asker', 'ask_operator', { question: 'Which?', options: ['a', 'b'] });
  await it.waitFor('asker', ({ requests }) => requests.length === 2);
  const [route, question] = requestRowSchema.array().parse(json(await bottle('requests', 'asker', '--json')));
  expect([route, question]).toMatchObject([
    { bottle: 'asker', state: 'pending', ask: { kind: 'egress-route', host: 'a.test', methods: ['GET'] } },
    { bottle: 'asker', state: 'pending', ask: { kind: 'question', options: ['a', 'b'] } },
  ]);
  const approve = await bottle('approve', 'asker', String(route?.id), '--for', '1h', '--json');
  expect(approve.code).toBe(0);
  expect(requestRowSchema.parse(json(approve))).toMatchObject({ id: route?.id, state: 'approved' });
  const deny = await bottle('deny', 'asker', String(question?.id), '--note', 'neither', '--json');
  expect(requestRowSchema.parse(json(deny))).toMatchObject({ state: 'denied', note: 'neither', expiresAt: null });
  expect(json(await bottle('requests', '--json'))).toEqual([]);
  expect(requestRowSchema.array().parse(json(await bottle('requests', '--all', '--json')))).toHaveLength(2);
});

test('requests of a bottle that is gone can still be read', async () => {
  expect((await bottle('down', 'asker')).code).toBe(0);
  expect(requestRowSchema.array().parse(json(await bottle('requests', 'asker', '--all', '--json')))).toHaveLength(2);
});

test('errors are one document with code, message and hint, and the exit codes tell the kinds apart', async () => {
  const cases: [string[], number, string][] = [
    [['status', 'nobody'], 4, 'NO_SUCH_BOTTLE'],
    [['retry', 'nobody'], 4, 'NO_SUCH_BOTTLE'],
    [['retry', id], 1, 'NOT_HELD'],
    [['up', 'stranger'], 2, 'AGENT_NOT_FOUND'],
    [['up', 'demo', '--name', 'Not An Id'], 2, 'INVALID_ID'],
    [['up', 'demo', '--name', id], 1, 'BOTTLE_EXISTS'],
    [['up', 'demo', '--driver', 'vmware'], 2, 'USAGE'],
    [['approve', id, 'nobody-asked'], 4, 'NO_SUCH_REQUEST'],
    [['deny', id, 'nobody-asked'], 4, 'NO_SUCH_REQUEST'],
    [['approve', 'nobody', 'x'], 4, 'NO_SUCH_BOTTLE'],
    [['requests', 'nobody'], 4, 'NO_SUCH_BOTTLE'],
    [['approve', id, 'x', '--for', 'ever'], 2, 'USAGE'],
    [['deny', id, 'x', '--for', '1h'], 2, 'USAGE'],
    [['frobnicate'], 2, 'USAGE'],
  ];
  for (const [args, exit, code] of cases) {
    const ended = await bottle(...args, '--json');
    expect({ args, exit: ended.code }).toEqual({ args, exit });
    expect(errorSchema.parse(json(ended)).error.code).toBe(code);
    const plain = await bottle(...args);
    expect(plain.stdout).toBe('');
    // On a computer that is busy, what is waited for is said first.
    const said = plain.stderr.replace(/^the .* has not answered yet; .*\n/gm, '');
    expect(said).toMatch(new RegExp(`^error\\[${code}\\]: .+\n(hint: .+\n)?$`));
  }
});

test('down: exit 0, COMPLETED, and nothing of the bottle is left', async () => {
  const down = await bottle('down', id, '--json');
  expect(down.code).toBe(0);
  expect(statusSchema.array().parse(json(down))).toMatchObject([{ id, phase: 'stopped' }]);
  expect((await it.client.workflow.getHandle(id).describe()).status.name).toBe('COMPLETED');
  expect(await it.objects()).toEqual([]);
  expect(rowSchema.array().parse(json(await bottle('ls', '--json')))).toEqual([]);
  expect(rowSchema.array().parse(json(await bottle('ls', '--all', '--json')))).toContainEqual(
    expect.objectContaining({ id, phase: 'stopped' }),
  );
});

test('without a worker, or without a server, exit 5', async () => {
  const lonely = await installation();
  try {
    const plain = await bottleWith({ ...lonely.env, BOTTLE_PORT: '1' }, 'status', 'x', '--json');
    expect(plain.code).toBe(5);
    expect(errorSchema.parse(json(plain)).error).toMatchObject({
      code: 'TEMPORAL_UNREACHABLE',
      hint: expect.stringContaining('bottle serve'),
    });
    await lonely.launch('waiting', { agent: 'demo' });
    const noWorker = await bottleWith(lonely.env, 'status', 'waiting', '--json');
    expect(noWorker.code).toBe(5);
    expect(errorSchema.parse(json(noWorker)).error.code).toBe('WORKER_UNREACHABLE');
  } finally {
    await lonely.dispose();
  }
});
