/** The built `bottle` command in an installation of its own that nobody has started anything in yet. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { freePort } from '../support/free-port.ts';
import { removeObjects, root } from '../support/installation.ts';

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string;
  env?: NodeJS.ProcessEnv;
  /** Default: this process's own. */
  cwd?: string;
  /** A program and arguments that run the command in their turn, such as `unshare`. */
  within?: readonly string[];
  /** What to do when stderr says something; in this order, each once. */
  reactions?: [says: RegExp, act: (child: ChildProcess) => unknown][];
}

export interface CommandLine {
  readonly directory: string;
  readonly home: string;
  readonly state: string;
  readonly port: number;
  bottle(args: string[], options?: RunOptions): Promise<Outcome>;
  /** The one JSON document on stdout; fails when there is anything else. */
  json(args: string[], options?: RunOptions): Promise<{ code: number | null; document: unknown }>;
  write(file: string, text: string): void;
  dispose(): Promise<void>;
}

export async function commandLine(host: string): Promise<CommandLine> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'bottle-cli-'));
  const port = await freePort();
  const home = path.join(directory, 'home');
  const state = path.join(directory, 'state');
  const env: NodeJS.ProcessEnv = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TEMPORAL|BOTTLE)_/.test(name))),
    BOTTLE_HOME: home,
    BOTTLE_STATE: state,
    BOTTLE_PORT: String(port),
    BOTTLE_HOST: host,
    BOTTLE_CACHE: process.env['BOTTLE_CACHE'] ?? path.join(os.homedir(), '.cache', 'bottle'),
    HOME: directory,
  };
  const run = (
    args: string[],
    { input = '', env: more = {}, cwd, within = [], reactions = [] }: RunOptions = {},
  ): Promise<Outcome> => {
    const [program = '', ...all] = [...within, process.execPath, path.join(root, 'dist/client/main.js'), ...args];
    const child = spawn(program, all, {
      env: { ...env, ...more },
      ...(cwd === undefined ? {} : { cwd }),
    });
    let stdout = '';
    let stderr = '';
    const waiting = [...reactions];
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
      while (waiting[0]?.[0].test(stderr) === true) waiting.shift()?.[1](child);
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve({ code, stdout, stderr }));
    });
  };
  return {
    directory,
    home,
    state,
    port,
    bottle: run,
    json: async (args, options) => {
      const { code, stdout } = await run([...args, '--json'], options);
      return { code, document: JSON.parse(stdout) };
    },
    write: (file, text) => {
      mkdirSync(path.dirname(path.join(home, file)), { recursive: true });
      writeFileSync(path.join(home, file), text);
    },
    dispose: async () => {
      const record = path.join(state, 'run', 'worker.json');
      const owner = existsSync(record)
        ? (JSON.parse(readFileSync(record, 'utf8')) as { owner: string }).owner
        : undefined;
      try {
        await run(['serve', '--stop']);
      } finally {
        if (owner !== undefined) await removeObjects(owner);
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
}
