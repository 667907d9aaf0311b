/** The agent's command line, the shell around it run for real with programs that print what they were given. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { agentCommand, withPrivateEnv } from '../../../src/client/agent-command.ts';
import { GUEST } from '../../../src/core/plan.ts';

type PlanSlice = Parameters<typeof agentCommand>[0];
const plan = (change: Partial<PlanSlice> = {}): PlanSlice => ({
  prompt: { empty: true, digest: '' },
  provider: { template: 'claude', credential: null },
  privateEnv: {},
  message: null,
  ...change,
});
const CODEX = { template: 'codex', credential: null } as const;

test('the agent gets the prompt file when and only when the prompt is not empty', () => {
  expect(agentCommand(plan(), ['-p', 'hi'])).toEqual(['claude', '-p', 'hi']);
  expect(agentCommand(plan({ prompt: { empty: false, digest: 'x' } }), ['-p', 'hi'])).toEqual([
    'claude',
    '--append-system-prompt-file',
    '/home/agent/.bottle/prompt.md',
    '-p',
    'hi',
  ]);
});

test('each agent is started by its own program', () => {
  expect(agentCommand(plan(), [])).toEqual(['claude']);
  expect(agentCommand(plan({ provider: CODEX }), ['exec', 'hi'])[0]).toBe('codex');
});

test('variables from elsewhere come in by a program of ours, in front of all', () => {
  const privateEnv = { TOKEN: { from: 'host', variable: 'T' } } as const;
  expect(withPrivateEnv({ privateEnv }, ['env', '-0'])).toEqual(['/home/agent/.bottle/with-env', 'env', '-0']);
  expect(withPrivateEnv({ privateEnv: {} }, ['env'])).toEqual(['env']);
  expect(agentCommand(plan({ privateEnv }), ['-p', 'x'])).toEqual([GUEST.withEnvFile, 'claude', '-p', 'x']);
  expect(agentCommand(plan({ privateEnv, message: 'Begin.' }), []).slice(0, 3)).toEqual([
    GUEST.withEnvFile,
    'sh',
    '-c',
  ]);
});

describe('the first message', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-message-'));
    file = path.join(folder, "it's a file.md");
    writeFileSync(file, '');
    for (const name of ['claude', 'codex']) {
      writeFileSync(path.join(folder, name), `#!/bin/sh\nprintf '%s\\0' ${name} "$@"\nexit 7\n`, { mode: 0o755 });
    }
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** As if the machine were another. */
  function untold(): void {
    rmSync(`${file}.told`);
    writeFileSync(file, '');
  }

  /** What the program was given, when the machine's file is that of this test. */
  async function given(change: Partial<PlanSlice>, args: readonly string[] = []): Promise<string[]> {
    const argv = agentCommand(plan({ message: 'Begin.', ...change }), args);
    const [program = '', ...rest] = argv.map((word) => (word === GUEST.messageFile ? file : word));
    const env = { PATH: `${folder}:${process.env['PATH']}` };
    const { exitCode, stdout, stderr } = await execa(program, rest, { env, extendEnv: false, reject: false });
    expect({ exitCode, stderr }).toEqual({ exitCode: 7, stderr: '' });
    return stdout.split('\0').slice(0, -1);
  }

  test('is told once, and the agent’s own exit code is the command’s', async () => {
    expect(await given({})).toEqual(['claude', 'Begin.']);
    expect(existsSync(file)).toBe(false);
    expect(await given({})).toEqual(['claude']);
    expect(await given({}, ['-p'])).toEqual(['claude', '-p']);
  });

  test('is not told again when its file is written again, as by a step that runs once more', async () => {
    expect(await given({})).toEqual(['claude', 'Begin.']);
    writeFileSync(file, '');
    expect(await given({})).toEqual(['claude']);
  });

  test.each([['-p'], ['--print']])('is what the agent answers with %s alone', async (flag) => {
    expect(await given({ prompt: { empty: false, digest: 'x' } }, [flag])).toEqual([
      'claude',
      '--append-system-prompt-file',
      GUEST.promptFile,
      flag,
      'Begin.',
    ]);
  });

  test('is the last word for codex too, behind the dashes that make it a message', async () => {
    expect(await given({ provider: CODEX, message: 'review' })).toEqual(['codex', '--', 'review']);
    untold();
    const answered = await given({ provider: CODEX }, ['exec']);
    expect(answered[1]).toBe('exec');
    expect(answered.slice(-2)).toEqual(['--', 'Begin.']);
    expect(existsSync(file)).toBe(false);
  });

  test.each([[['-p', 'Something else.']], [['--continue']], [['exec', 'x']], [['--model', 'opus']], [['']]])(
    'waits where the person says something: %j',
    async (args) => {
      expect(await given({}, args)).toEqual(['claude', ...args]);
      expect(existsSync(file)).toBe(true);
    },
  );

  test.each(['two\nlines\n', `'"\`$HOME $(touch x) \\ \\n !`, ' leading', 'ü 李 🍾', 'a'.repeat(32 * 1024)])(
    'arrives as it was written: %j',
    async (message) => {
      expect(await given({ message })).toEqual(['claude', message]);
    },
  );

  test('is never taken for an option', async () => {
    expect(await given({ message: '--dangerous' })).toEqual(['claude', ' --dangerous']);
    untold();
    expect(await given({ message: '-' })).toEqual(['claude', ' -']);
  });

  test('is told to one of those who begin at the same time', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => given({})));
    expect(all.filter((words) => words.includes('Begin.'))).toHaveLength(1);
  });

  test('is told nowhere when there is none', () => {
    expect(agentCommand(plan(), [])).toEqual(['claude']);
    expect(agentCommand(plan(), ['-p'])).toEqual(['claude', '-p']);
  });
});
