/** The command from outside, as far as it needs neither Docker nor Temporal: exit codes, stdout, stderr. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../../../src/client/main.ts', import.meta.url));
/** The discard port: nothing of ours listens there. */
const CLOSED_PORT = '9';

let home: string;
beforeAll(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'bottle-cli-'));
  mkdirSync(path.join(home, 'agents'));
  writeFileSync(path.join(home, 'agents', 'broken.md'), '---\nskills: 7\n---\n');
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

function bottle(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const own = {
    BOTTLE_HOME: home,
    BOTTLE_STATE: path.join(home, 'state'),
    BOTTLE_PORT: CLOSED_PORT,
    BOTTLE_HOST: 'here',
  };
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env['PATH'], HOME: home, ...own, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

describe('wrong usage', () => {
  test.each([
    [['ls', '--nope'], "error[USAGE]: unknown option '--nope'\nhint: see: bottle help ls\n"],
    [['stauts', 'demo'], "error[USAGE]: unknown command 'stauts'\nhint: did you mean status?\n"],
    [['up'], "error[USAGE]: missing required argument 'agent'\nhint: see: bottle help up\n"],
    [['down'], 'error[USAGE]: which bottle? name one, or say --all\n'],
    [['down', 'demo', '--all'], 'error[USAGE]: name bottles or say --all, not both\n'],
    [['serve', '--detach', '--stop'], 'error[USAGE]: --detach and --stop exclude each other\n'],
    [['approve', 'demo'], "error[USAGE]: missing required argument 'request'\nhint: see: bottle help approve\n"],
    [['deny'], "error[USAGE]: missing required argument 'id'\nhint: see: bottle help deny\n"],
    [['deny', 'demo', 'r', '--for', '1h'], "error[USAGE]: unknown option '--for'\nhint: see: bottle help deny\n"],
    [['deny', 'demo', 'r', '--private'], "error[USAGE]: unknown option '--private'\nhint: see: bottle help deny\n"],
    [
      ['approve', 'demo', 'r', '--for', 'soon'],
      'error[USAGE]: --for is "soon", expected a time such as 30s, 10m, 2h or 1d\n',
    ],
    [['requests', 'demo', 'more'], expect.stringMatching(/^error\[USAGE\]: too many arguments/)],
    [['up', 'demo', '--driver', 'vm'], 'error[USAGE]: --driver is "vm", expected docker or smolvm\n'],
  ] as [string[], unknown][])('%j is told on stderr with exit code 2', async (args, stderr) => {
    expect(await bottle(args)).toEqual({ code: 2, stdout: '', stderr });
  });

  test('with --json the error is the one document on stdout, wherever the flag stands', async () => {
    const document = { error: { code: 'USAGE', message: "unknown command 'lss'", hint: 'did you mean ls?' } };
    for (const args of [
      ['lss', '--json'],
      ['--json', 'lss'],
    ]) {
      const { code, stdout, stderr } = await bottle(args);
      expect({ code, document: JSON.parse(stdout), stderr }).toEqual({ code: 2, document, stderr: '' });
    }
  });

  test('without a command, help goes to stderr', async () => {
    for (const [args, usage] of [
      [[], /^Usage: bottle \[options\]/],
      [['image'], /^Usage: bottle image /],
    ] as const) {
      const { code, stdout, stderr } = await bottle([...args]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(usage);
    }
    const { code, stdout } = await bottle(['--json']);
    expect({ code, document: JSON.parse(stdout) }).toMatchObject({ code: 2, document: { error: { code: 'USAGE' } } });
  });

  test('a BOTTLE_ variable that makes no sense is wrong usage', async () => {
    const { code, stderr } = await bottle(['ls'], { BOTTLE_PORT: 'x' });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error\[USAGE\]: BOTTLE_PORT is "x"/);
  });
});

describe('help and version', () => {
  test('go to stdout with exit code 0', async () => {
    const help = await bottle(['up', '--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('--dry-run');
    expect(await bottle(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  test('name every command of this version', async () => {
    const { stdout } = await bottle(['--help']);
    const commands = [
      ...'up ls status retry skip abort reload apply down exec claude logs requests approve deny'.split(' '),
      ...'serve ui doctor hosts check init schema gc image'.split(' '),
    ];
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}[ |]`, 'm'));
    expect(stdout).toContain('claude|agent');
  });
});

describe('exec and claude', () => {
  test.each([[['exec', 'no--bottle', 'true']], [['exec', 'demo']], [['claude', 'no--bottle']]])(
    'give 125 for a failure of their own: %j',
    async (args) => {
      const { code, stdout, stderr } = await bottle(args);
      expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
      expect(stderr).toMatch(/^error\[[A-Z_]+\]: /);
    },
  );

  test('leave what stands after the command to the command', async () => {
    // Were --json ours, the error would be a document.
    const { stderr } = await bottle(['exec', 'no--bottle', 'ls', '--json']);
    expect(stderr).toMatch(/^error\[INVALID_ID\]/);
  });
});

describe('before anything is started', () => {
  test.each([
    [['up', 'nobody'], 'AGENT_NOT_FOUND', 2],
    [['up', 'broken', '--dry-run'], 'MANIFEST_INVALID', 2],
    [['up', 'broken', '--name', 'No Name'], 'INVALID_ID', 2],
    [['status', 'no--bottle'], 'TEMPORAL_UNREACHABLE', 5],
    [['ls'], 'TEMPORAL_UNREACHABLE', 5],
    [['retry', 'demo'], 'TEMPORAL_UNREACHABLE', 5],
    [['requests'], 'TEMPORAL_UNREACHABLE', 5],
    [['requests', 'demo', '--all'], 'TEMPORAL_UNREACHABLE', 5],
    [['approve', 'demo', 'deadbeef', '--for', '10m', '--note', 'x', '--private'], 'TEMPORAL_UNREACHABLE', 5],
    [['deny', 'demo', 'deadbeef', '--note', 'no'], 'TEMPORAL_UNREACHABLE', 5],
  ])('%j ends with %s and exit code %i, and leaves no trace', async (args, error, exitCode) => {
    const { code, stdout, stderr } = await bottle([...args, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: error, message: expect.any(String) } });
    expect({ code, stderr }).toEqual({ code: exitCode, stderr: '' });
    expect(existsSync(path.join(home, 'state'))).toBe(false);
  });

  test('a failure shows its stack only with --debug', async () => {
    const plain = await bottle(['ls']);
    const debug = await bottle(['ls', '--debug']);
    expect(plain.stderr).not.toMatch(/^\s+at /m);
    expect(debug.stderr).toMatch(/^\s+at /m);
  });

  test('the UI of the embedded server is told without asking it', async () => {
    const { code, stdout } = await bottle(['ui', 'demo', '--json'], { BOTTLE_PORT: '7333' });
    expect(JSON.parse(stdout)).toEqual({ url: 'http://127.0.0.1:8333/namespaces/default/workflows/demo' });
    expect(code).toBe(0);
  });
});
