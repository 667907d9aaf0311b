/** A person's way through the command, from nothing: what it prints, what it gives back, what is left. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uniqueId } from '../support/installation.ts';
import { type CommandLine, commandLine } from './command.ts';

const agent = uniqueId('cli');
let it: CommandLine;

beforeAll(async () => {
  it = await commandLine('cli-test');
  it.write(`agents/${agent}.md`, '---\nskills: [notes]\n---\nBe kind.\n');
  it.write(`agents/${agent}-quiet.md`, '---\n---\n');
});
afterAll(() => it.dispose());

const pidOf = (name: string): number => Number(readFileSync(path.join(it.state, 'run', `${name}.pid`), 'utf8'));
const interrupt = (child: ChildProcess): boolean => child.kill('SIGINT');

/** The tests of this file are one story: each goes on where the one before it ended. */
describe('from nothing', () => {
  test('a dry run shows the plan and starts and makes nothing', async () => {
    const { code, document } = await it.json(['up', agent, '--dry-run']);
    expect({ code, document }).toMatchObject({ code: 0, document: { agent, skills: ['notes'], driver: 'docker' } });
    expect(existsSync(it.state)).toBe(false);
  });

  test('up starts Temporal and the worker, says so, and tells a hold with the commands that decide it', async () => {
    const { code, stdout, stderr } = await it.bottle(['up', agent]);
    expect({ code, stdout }, stderr).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain(
      `started Temporal (embedded) on 127.0.0.1:${it.port}, UI http://127.0.0.1:${it.port + 1000}\n`,
    );
    expect(stderr).toMatch(/^started the worker of cli-test \(process \d+\)$/m);
    expect(stderr).toMatch(/^network +done +\d[\d.]* m?s$/m);
    expect(stderr).toMatch(/^error\[SKILL_NOT_FOUND\]: .*\nhint: /m);
    for (const command of [`retry ${agent} provision.skills`, `skip ${agent} provision.skills`, `abort ${agent}`]) {
      expect(stderr).toContain(`\n  bottle ${command}\n`);
    }
  });

  test('a held bottle is listed with its step, from visibility alone', async () => {
    // Visibility follows the history within a moment.
    await expect
      .poll(async () => (await it.json(['ls'])).document)
      .toEqual([
        {
          id: agent,
          agent,
          phase: 'held',
          host: 'cli-test',
          driver: 'docker',
          heldSteps: ['provision.skills'],
          startedAt: expect.stringMatching(/^\d{4}-.*Z$/),
        },
      ]);
  });

  test('a decision on what is not held, or on no bottle, is refused', async () => {
    expect(await it.json(['skip', agent, 'check'])).toMatchObject({
      code: 1,
      document: { error: { code: 'NOT_HELD' } },
    });
    expect(await it.json(['retry', 'nobody'])).toMatchObject({
      code: 4,
      document: { error: { code: 'NO_SUCH_BOTTLE' } },
    });
  });

  test('retry of the one step, once the skill is there, makes it ready', async () => {
    it.write('skills/notes/SKILL.md', '# notes\n');
    const { code, stdout, stderr } = await it.bottle(['retry', agent]);
    expect({ code }, stderr).toEqual({ code: 0 });
    expect(stdout).toMatch(new RegExp(`^${agent} is ready after .*\n$`));
    const { document } = await it.json(['status', agent]);
    const steps = (document as { steps: { id: string; state: string; attempts: number }[] }).steps;
    expect(steps.map(({ id, attempts }) => [id, attempts])).toEqual(
      steps.map(({ id }) => [id, id === 'provision.skills' ? 2 : 1]),
    );
  });
});

describe('in a ready bottle', () => {
  test('exec gives output and exit code of the command', async () => {
    expect(await it.bottle(['exec', agent, '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'])).toEqual({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(await it.json(['exec', agent, '--json', 'sh', '-c', 'echo out; exit 3'])).toEqual({
      code: 3,
      document: { id: agent, exitCode: 3, stdout: 'out\n', stderr: '' },
    });
  });

  test('exec passes on standard input, user, directory and variables, and input only with -i', async () => {
    const command = ['sh', '-c', 'cat; pwd; id -un; echo $A'];
    const options = ['-i', '--user', 'root', '--workdir', '/tmp', '-e', 'A=b'];
    expect((await it.bottle(['exec', agent, ...options, '--', ...command], { input: 'in\n' })).stdout).toBe(
      'in\n/tmp\nroot\nb\n',
    );
    expect((await it.bottle(['exec', agent, '--', 'cat'], { input: 'in\n' })).stdout).toBe('');
  });

  test('Ctrl-C without a terminal ends the command in the machine too', async () => {
    const script = 'echo started >&2; sleep 300';
    const { code } = await it.bottle(['exec', agent, '--', 'sh', '-c', script], {
      reactions: [[/started/, interrupt]],
    });
    expect(code).toBe(130);
    const processes = 'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline; echo; done 2>/dev/null';
    const { stdout } = await it.bottle(['exec', agent, '--', 'sh', '-c', processes]);
    expect(stdout).toContain('sleep infinity');
    expect(stdout).not.toContain('sleep 300');
  });

  test('claude is the agent itself', async () => {
    const { code, stdout } = await it.bottle(['claude', agent, '--', '--version']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+ \(Claude Code\)\n$/) });
  });

  test('what it compiles is kept in the cache, and one that cannot be written is no fault', async () => {
    const BOTTLE_CACHE = path.join(it.directory, 'fresh-cache');
    expect((await it.bottle(['ls'], { env: { BOTTLE_CACHE } })).code).toBe(0);
    expect(readdirSync(path.join(BOTTLE_CACHE, 'compiled'))).not.toEqual([]);
    expect((await it.bottle(['ls'], { env: { BOTTLE_CACHE: '/dev/null/nowhere' } })).code).toBe(0);
  });

  test('logs are those of the bundle, or of one daemon', async () => {
    const all = (await it.json(['logs', agent])).document as { lines: string[] };
    const one = (await it.json(['logs', agent, 'pipelock'])).document as { lines: string[] };
    expect(all.lines.some((line) => line.startsWith('[init] '))).toBe(true);
    expect(one.lines.length).toBeGreaterThan(0);
    expect(one.lines.every((line) => line.startsWith('[pipelock] '))).toBe(true);
    expect(await it.json(['logs', agent, 'nothing'])).toMatchObject({
      code: 2,
      document: { error: { code: 'USAGE' } },
    });
  });

  test('the id is taken: up takes the next, --name refuses', async () => {
    const named = await it.json(['up', agent, '--name', agent]);
    expect(named).toMatchObject({ code: 1, document: { error: { code: 'BOTTLE_EXISTS' } } });
    const { code, stdout, stderr } = await it.bottle(['up', agent, '--json']);
    expect({ code, document: JSON.parse(stdout) }).toMatchObject({
      code: 0,
      document: { id: `${agent}-2`, phase: 'ready' },
    });
    expect(stderr).toContain(`note: there is an open bottle ${agent}, so this one is ${agent}-2 (`);
  });

  test('Ctrl-C in up stops the watching, not the launch', async () => {
    const id = `${agent}-i`;
    const { code, stderr } = await it.bottle(['up', `${agent}-quiet`, '--name', id], {
      reactions: [[/^network/m, interrupt]],
    });
    expect(code).toBe(130);
    expect(stderr).toContain(`bottle status ${id} --watch`);
    const watched = await it.json(['status', id, '--watch']);
    expect(watched).toMatchObject({ code: 0, document: { phase: 'ready' } });
  });

  test('up rides out the death of server and worker, starts both again, and says so', async () => {
    const id = `${agent}-k`;
    const kill = (): void => {
      for (const name of ['worker', 'server']) process.kill(pidOf(name), 'SIGKILL');
    };
    const { code, stdout, stderr } = await it.bottle(['up', `${agent}-quiet`, '--name', id], {
      reactions: [[/^machine.start +running/m, kill]],
    });
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: expect.stringMatching(`^${id} is ready after `) });
    for (const line of [
      `the Temporal server of this host (127.0.0.1:${it.port}) is gone; starting it again`,
      'the worker of this host (cli-test) is gone; starting a new one',
    ])
      expect(
        stderr.split('\n').filter((each) => each === line),
        stderr,
      ).toHaveLength(1);
  });

  test('an unknown bottle, another host and a host without a worker are told apart by exit code', async () => {
    expect(await it.json(['status', 'nobody'])).toMatchObject({
      code: 4,
      document: { error: { code: 'NO_SUCH_BOTTLE' } },
    });
    expect((await it.bottle(['exec', 'nobody', 'true'])).code).toBe(125);
    const elsewhere = await it.json(['up', agent, '--host', 'elsewhere']);
    expect(elsewhere).toMatchObject({ code: 5, document: { error: { code: 'WORKER_UNREACHABLE' } } });
  });

  test('the doctor finds what runs', async () => {
    const { code, document } = await it.json(['doctor']);
    const { checks } = document as { checks: { name: string; state: string }[] };
    expect(code, JSON.stringify(checks)).toBe(0);
    for (const name of ['Temporal server', 'worker', 'BOTTLE_STATE']) {
      expect(checks).toContainEqual(expect.objectContaining({ name, state: 'ok' }));
    }
  });

  test('the doctor says where the programs of the bundle come from, or what is missed without them', async () => {
    const programs = async (env: NodeJS.ProcessEnv): Promise<unknown> => {
      const { stdout } = await it.bottle(['doctor', '--json'], { env });
      const { checks } = JSON.parse(stdout) as { checks: { name: string }[] };
      return checks.filter(({ name }) => name === 'pipelock' || name === 'gitleaks');
    };
    const elf = path.join(it.state, 'tools');
    mkdirSync(elf);
    // The beginning of a Linux program, which is all that is looked at.
    const head = Buffer.alloc(64);
    head.writeUInt32BE(0x7f454c46, 0);
    head.writeUInt16LE(process.arch === 'arm64' ? 0xb7 : 0x3e, 18);
    for (const name of ['pipelock', 'gitleaks']) writeFileSync(path.join(elf, name), head);
    expect(await programs({ BOTTLE_TOOLS: elf })).toEqual([
      { name: 'pipelock', state: 'ok', found: `in the bundle, from ${elf}/pipelock (BOTTLE_TOOLS)` },
      { name: 'gitleaks', state: 'ok', found: `in the bundle, from ${elf}/gitleaks (BOTTLE_TOOLS)` },
    ]);
    expect(await programs({ BOTTLE_CACHE: '/nowhere', PATH: '/nowhere' })).toEqual([
      {
        name: 'pipelock',
        state: 'warn',
        found: expect.stringMatching(/^not found; /),
        hint: expect.stringContaining('BOTTLE_PIPELOCK_IMAGE'),
      },
      {
        name: 'gitleaks',
        state: 'warn',
        found: expect.stringMatching(/^not found; no push gate/),
        hint: expect.stringContaining('BOTTLE_TOOLS'),
      },
    ]);
  });
});

describe('the end', () => {
  test('down takes down what it can, and says what it could not', async () => {
    const { code, document } = await it.json(['down', agent, 'nobody']);
    expect({ code, document }).toMatchObject({
      code: 4,
      document: [
        { id: agent, phase: 'stopped' },
        { id: 'nobody', error: { code: 'NO_SUCH_BOTTLE' } },
      ],
    });
    expect((await it.bottle(['down', '--all'])).code).toBe(0);
    await expect.poll(async () => (await it.json(['ls'])).document).toEqual([]);
  });

  test('a closed bottle can still be asked', async () => {
    expect(await it.json(['status', agent])).toMatchObject({ code: 0, document: { phase: 'stopped' } });
    expect(await it.json(['down', agent])).toMatchObject({ code: 4, document: { error: { code: 'NO_SUCH_BOTTLE' } } });
    expect(await it.json(['requests', agent, '--all'])).toEqual({ code: 0, document: [] });
    const { code, stdout, stderr } = await it.bottle(['logs', agent, 'pipelock', '--tail', '1']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^\[pipelock\] .*\n$/) });
    expect(stderr).toContain(`note: ${agent} has no bundle now; this is what the last one said until `);
  });

  test('an abort undoes everything, and is what was asked for', async () => {
    const id = `${agent}-a`;
    it.write(`agents/${agent}-broken.md`, '---\nskills: [missing]\n---\n');
    expect(await it.json(['up', `${agent}-broken`, '--name', id])).toMatchObject({
      code: 3,
      document: { phase: 'held' },
    });
    expect(await it.json(['abort', id])).toMatchObject({ code: 0, document: { phase: 'failed' } });
  });

  test('serve leaves alone what runs, stops it, and says when nothing does', async () => {
    const running = (await it.json(['serve', '--detach'])).document as Record<'server' | 'worker', { pid: number }>;
    expect(running).toMatchObject({ server: { alreadyRunning: true }, worker: { alreadyRunning: true } });
    expect([pidOf('server'), pidOf('worker')]).toEqual([running.server.pid, running.worker.pid]);
    expect(await it.json(['serve', '--stop'])).toEqual({ code: 0, document: { worker: 'stopped', server: 'stopped' } });
    expect(await it.bottle(['serve', '--stop'])).toEqual({ code: 0, stdout: 'nothing was running\n', stderr: '' });
    expect(await it.json(['status', agent])).toMatchObject({
      code: 5,
      document: { error: { code: 'TEMPORAL_UNREACHABLE' } },
    });
  });
});
