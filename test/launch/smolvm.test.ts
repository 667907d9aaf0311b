/**
 * Bottles whose machine is a microVM, as a person has them: by the real client, server and worker.
 *
 * The real smolvm boots no guest on the computers this is tested on. Here it is given an empty guest system, so its
 * machines never become ready on any computer: all else is real, and so is what their starts leave behind. The
 * stand-in's guests are containers, and do all that an agent needs.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bottleName, machineName } from '../../src/core/names.ts';
import type { StatusDocument } from '../../src/core/status.ts';
import { imageTags } from '../../src/host/images.ts';
import type { Smolvm } from '../../src/host/machine/smolvm/cli.ts';
import { kvmTrouble } from '../../src/host/machine/smolvm/failures.ts';
import { allBootProcesses, bootProcesses, type LifeVerb, lifeCalls } from '../../src/host/machine/smolvm/processes.ts';
import { machineNames } from '../../src/host/machine/smolvm/records.ts';
import { machineStateDirectory } from '../../src/host/machine/smolvm/state-directory.ts';
import { obtainSmolvm } from '../../src/host/smolvm-package.ts';
import { activityRuns, eventsOf } from '../support/events.ts';
import {
  docker,
  type Installation,
  installation,
  isHeld,
  root,
  uniqueId,
  type WorkerProcess,
} from '../support/installation.ts';
import { endMachines, guestsOf, standIn, standInTrouble, type Turnstile, turnstile } from '../support/smolvm.ts';
import { remainsOf } from '../support/smolvm-machines.ts';
import { startWorld, type World } from '../support/world.ts';

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

let it: Installation;
let smolvm: Smolvm;

/** The command, as a person runs it. */
function bottle(args: string[], input = ''): Promise<Outcome> {
  const child = spawn(process.execPath, [path.join(root, 'dist/client/main.js'), ...args], { env: it.env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

async function statusOf(id: string): Promise<StatusDocument> {
  return JSON.parse((await bottle(['status', id, '--json'])).stdout);
}

/** All that there is of a bottle, in words: what is Docker's, its state, its machine. */
const remains = async (id: string): Promise<string[]> => [
  ...(await it.leftovers(id)),
  ...(await remainsOf(smolvm, id)),
  ...(await guestsOf(smolvm.state)),
];

/** Whatever went wrong: workers first, or they would make anew what is removed. */
async function dispose(workers: readonly WorkerProcess[] = []): Promise<void> {
  for (const worker of workers) await worker.kill();
  if (smolvm !== undefined) await endMachines(smolvm.state);
  await it?.dispose();
}

const kvm = await kvmTrouble();
if (kvm !== undefined) console.warn(`no machine is begun with the real smolvm: ${kvm.found}`);

describe.skipIf(kvm !== undefined)('with the real smolvm, whose machines never become ready,', () => {
  const workers: WorkerProcess[] = [];
  let calls: Turnstile;
  const [held, other, killed, left] = ['held', 'other', 'killed', 'left'].map((name) => uniqueId(`vm-${name}`)) as [
    string,
    string,
    string,
    string,
  ];

  beforeAll(async () => {
    const program = await obtainSmolvm((line) => console.error(line));
    it = await installation();
    smolvm = { program, state: machineStateDirectory(it.settings) };
    const system = path.join(it.settings.home, 'empty-system');
    mkdirSync(system);
    it.env['SMOLVM_AGENT_ROOTFS'] = system;
    calls = turnstile(path.join(it.settings.home, 'turnstile'), program.path);
    it.env['PATH'] = `${calls.folder}${path.delimiter}${it.env['PATH']}`;
    it.writeBottle('closed', 'image: minimal\nallow: [example.com]');
    it.writeAgent('demo', 'bottle: closed', 'Be kind.');
    await startWorker();
  });
  afterAll(() => dispose(workers));

  async function startWorker(): Promise<WorkerProcess> {
    const worker = await it.startWorker();
    workers.push(worker);
    return worker;
  }

  const killWorker = async (): Promise<void> => workers.at(-1)?.kill();
  const up = (id: string, ...more: string[]) => bottle(['up', 'demo', '--name', id, '--driver', 'smolvm', ...more]);
  const attemptsOf = async (id: string, activity: string): Promise<number[]> =>
    activityRuns(await eventsOf(it.client, id))
      .filter((run) => run.activity === activity)
      .map(({ attempt }) => attempt);

  /** Kills the worker while smolvm does this for it, and lets that call end under the eyes of the next worker. */
  async function killWithin(id: string, verb: LifeVerb, act = (): void => undefined): Promise<void> {
    calls.arm(verb, machineName(id));
    act();
    const call = await calls.caught();
    expect(await lifeCalls(smolvm.state, machineName(id))).toMatchObject([{ pid: call.pid, verb }]);
    await killWorker();
    await startWorker();
    call.goOn();
  }

  const NOT_READY = /did not start: .*(did not become ready|boot process exited)/;
  const START_FAILED = /^MACHINE_(NOT_RUNNING|START_FAILED)$/;

  function expectHeldAtStart({ steps, driver, phase }: StatusDocument, attempts: number): void {
    expect({ driver, phase }).toEqual({ driver: 'smolvm', phase: 'held' });
    expect(steps.find(({ id }) => id === 'machine.start')).toMatchObject({
      state: 'held',
      attempts,
      error: {
        code: expect.stringMatching(START_FAILED),
        message: expect.stringMatching(NOT_READY),
        hint: expect.stringContaining('bottle doctor --boot'),
      },
    });
    const done = steps.filter(({ state }) => state === 'done').map(({ id }) => id);
    expect(done).toEqual(['prepare', 'network', 'bundle', 'machine.create']);
  }

  test('two bottles are held at the start of their machines, with the reason of smolvm, and all else is done', async () => {
    const ended = await Promise.all([up(held), up(other)]);
    for (const { code, stderr } of ended) {
      expect([code, stderr]).toEqual([3, expect.stringMatching(NOT_READY)]);
      expect(stderr).toMatch(/^hint: .*bottle doctor --boot/m);
      expect(stderr).toContain('bottle retry');
    }
    for (const id of [held, other]) expectHeldAtStart(await statusOf(id), 1);
    expect((await machineNames(smolvm)).sort()).toEqual([held, other].map(machineName).sort());
    expect(await allBootProcesses(smolvm.state)).toEqual([]);
  });

  test('a retry tries the start again, and nothing else', async () => {
    const before = activityRuns(await eventsOf(it.client, held)).length;
    const { code, stderr } = await bottle(['retry', held]);
    expect([code, stderr]).toEqual([3, expect.stringMatching(NOT_READY)]);
    expectHeldAtStart(await statusOf(held), 2);
    const after = activityRuns(await eventsOf(it.client, held));
    // What it stands on is looked at once it has failed again.
    expect(after.slice(before).map(({ activity }) => activity)).toEqual(['machine.start', 'survey']);
  });

  test('an abort leaves nothing', async () => {
    expect(await remains(held)).toEqual(expect.arrayContaining([`record ${machineName(held)}`]));
    const { code, stdout } = await bottle(['abort', held]);
    expect([code, stdout]).toEqual([0, `${held} is gone\n`]);
    expect((await it.client.workflow.getHandle(held).describe()).status.name).toBe('FAILED');
    expect(await remains(held)).toEqual([]);
    expect(await machineNames(smolvm)).toEqual([machineName(other)]);
  });

  test('a worker killed in the stop of a machine, and its successor in the delete, leave nothing', async () => {
    const launch = it.client.workflow.getHandle(other);
    let aborted: Promise<string> | undefined;
    // Not by the command, which would start a worker of its own in the killed one's place.
    await killWithin(other, 'stop', () => {
      aborted = launch.executeUpdate<string, []>('abort');
    });
    await killWithin(other, 'delete');
    await aborted;
    await expect(launch.result()).rejects.toThrow();
    expect(await remains(other)).toEqual([]);
    expect(await attemptsOf(other, 'machine.stop')).toEqual([2]);
    expect(await attemptsOf(other, 'machine.delete')).toEqual([2]);
  });

  test('a worker killed in the create of a machine, and its successor while machines boot, are replaced', async () => {
    const launch = (id: string) => it.launch(id, { agent: 'demo', driver: 'smolvm' });
    await killWithin(killed, 'create', () => void Promise.all([killed, left].map(launch)));
    const booting = async (): Promise<number[]> => {
      const found = await Promise.all([killed, left].map((id) => bootProcesses(smolvm.state, machineName(id))));
      return found.map(({ length }) => length);
    };
    await expect.poll(booting).toEqual([1, 1]);
    await killWorker();
    // It outlives them: smolvm's own process waits for it still, and nobody for that.
    expect(await booting()).toEqual([1, 1]);
    const orphans = await allBootProcesses(smolvm.state);

    await startWorker();
    const down = bottle(['down', left]);
    await it.waitFor(killed, isHeld, 400);
    expectHeldAtStart(await statusOf(killed), 2);
    expect(await attemptsOf(killed, 'machine.create')).toEqual([2]);
    expect((await machineNames(smolvm)).filter((name) => name === machineName(killed))).toHaveLength(1);
    const running = (await allBootProcesses(smolvm.state)).map(({ pid }) => pid);
    expect(orphans.filter(({ pid }) => running.includes(pid))).toEqual([]);

    expect((await bottle(['abort', killed])).code).toBe(0);
    expect(await down).toMatchObject({ code: 0, stdout: `${left} is gone\n` });
    for (const id of [killed, left]) expect(await remains(id)).toEqual([]);
    expect(await machineNames(smolvm)).toEqual([]);
    expect(await allBootProcesses(smolvm.state)).toEqual([]);
  });
});

const trouble = standInTrouble();
if (trouble !== undefined) console.warn(`no bottle is ready here with a microVM: the stand-in ${trouble}`);

describe.skipIf(trouble !== undefined)("with the stand-in's machines, a bottle", () => {
  const id = uniqueId('vm-ready');
  let world: World;

  beforeAll(async () => {
    const images = await imageTags();
    [world, it] = await Promise.all([startWorld({ docker, image: images.guest }), installation()]);
    it.env['PATH'] = `${path.dirname(standIn)}${path.delimiter}${it.env['PATH']}`;
    smolvm = { program: { path: standIn }, state: machineStateDirectory(it.settings) };
    const key = path.join(it.settings.home, 'model-key');
    writeFileSync(key, `${world.modelKey}\n`, { mode: 0o600 });
    it.writeConfig(`network: {uplink: ${world.network.name}, ca: ${world.ca.file}}\n`);
    it.writeBottle(
      'work',
      `
driver: smolvm
image: minimal
agent_provider: {api_key: "file:${key}", base_url: https://model.test, private: true}
allow: [pkg.test private]
supervise: true
`,
    );
    it.writeAgent('worker', 'bottle: work\nskills: [greeting]', 'PROMPT-MARKER: you are careful.');
    it.writeSkill('greeting', '---\nname: greeting\ndescription: SKILL-MARKER how to greet\n---\nSay hello.\n');
    await it.startWorker();
  });
  afterAll(async () => {
    await dispose();
    await world?.dispose();
  });

  const inMachine = (...argv: string[]) => bottle(['exec', id, '--', ...argv]);
  const claude = (prompt: string, ...more: string[]) => bottle(['claude', id, '--', '-p', prompt, ...more]);

  test('becomes ready', async () => {
    const { code, stdout } = await bottle(['up', 'worker', '--name', id]);
    expect([code, stdout]).toEqual([0, expect.stringContaining(`${id} is ready`)]);
    const { driver, machine, phase, steps } = await statusOf(id);
    expect({ driver, machine, phase }).toEqual({
      driver: 'smolvm',
      machine: { name: bottleName(id), state: 'running' },
      phase: 'ready',
    });
    expect(steps.map(({ state }) => state)).toEqual(steps.map(() => 'done'));
    expect(await bootProcesses(smolvm.state, machineName(id))).toHaveLength(1);
    // Of Docker there is the bundle only: the machine is no container of ours.
    expect(await it.objects(id)).toEqual([`/bottle-${id}-bundle`, `bottle-${id}`]);
  });

  test('runs a command with its input, output and exit code', async () => {
    const input = 'one line\nand another, not ended';
    expect(await bottle(['exec', id, '-i', '--', 'cat'], input)).toEqual({ code: 0, stdout: input, stderr: '' });
    const failing = await inMachine('sh', '-c', 'echo out; echo err >&2; exit 7');
    expect(failing).toEqual({ code: 7, stdout: 'out\n', stderr: 'err\n' });
    const as = await bottle(['exec', id, '--user', 'root', '--workdir', '/etc', '--', 'sh', '-c', 'id -un; pwd']);
    expect(as.stdout).toBe('root\n/etc\n');
    expect((await inMachine('id', '-un')).stdout).toBe('agent\n');
  });

  test('has the real agent talk to its model through the bundle, with prompt, skill and a tool', async () => {
    const ran = await claude(world.script({ run: 'echo tool-$((20 + 22))' }), '--dangerously-skip-permissions');
    expect(ran).toEqual({ code: 0, stdout: expect.stringContaining('The command said: tool-42'), stderr: '' });
    const turns = (await world.requests()).filter(({ host, model }) => host === 'model.test' && model !== null);
    const [first] = turns.filter(({ model }) => model?.lastUserText.includes('tool-'));
    expect(first?.model?.system).toContain('PROMPT-MARKER');
    expect(first?.body).toContain('SKILL-MARKER');
    expect(turns.map(({ headers }) => headers['x-api-key'])).toEqual(turns.map(() => world.modelKey));
  });

  test('never holds the credential', async () => {
    const places = '/home /root /tmp /etc /var /opt /run';
    const search = [
      ...['sh', '-c'],
      `cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; env; grep -raF -e "$1" ${places} 2>/dev/null`,
    ];
    const seen = await Promise.all(
      ['agent', 'root'].map((user) =>
        bottle(['exec', id, '--user', user, '--', ...search, 'sh', world.modelKey.slice(0, -1)]),
      ),
    );
    for (const { stdout } of seen) {
      expect(stdout).toContain('ANTHROPIC');
      expect(stdout).not.toContain(world.modelKey);
    }
  });

  test('reaches what is listed, and nothing else', async () => {
    const told = async (...argv: string[]) =>
      (await inMachine('curl', '-ksS', '-o', '/dev/null', '-w', '%{http_code}', ...argv)).stdout;
    expect(await told(world.pkg.file.url)).toBe('200');
    expect(await told('http://example.org/')).toBe('403');
    expect(await told('https://big.test/')).toBe('000');
    const direct = await inMachine(
      'curl',
      '-sS',
      '--noproxy',
      '*',
      '--connect-timeout',
      '2',
      `http://${world.address}/`,
    );
    // Dropped, or without any way: a microVM has the one or the other.
    expect([28, 7]).toContain(direct.code);
  });

  test('is gone after a down, and nothing of it is left', async () => {
    const { code, stdout } = await bottle(['down', id]);
    expect([code, stdout]).toEqual([0, `${id} is gone\n`]);
    expect(await remains(id)).toEqual([]);
    expect(await machineNames(smolvm)).toEqual([]);
  });
});
