/** The real client, many at a time, as people and scripts have it: each command is a process that may be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import type { Journal } from './journal.ts';
import { root, type Site } from './site.ts';

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
  ms: number;
  /** By a fault, not by itself. */
  killed: boolean;
}

interface Running {
  child: ChildProcess;
  args: readonly string[];
  bottle: string | undefined;
  killed: boolean;
}

/** What it breaks is whole again after seconds, so whoever still waits then waits for ever. */
const LONGEST_MS = 240_000;
/** contract.md: 0 done, 1 failed, 2 wrong usage, 3 held, 4 no such, 5 unreachable; exec's 125. */
const CODES = [0, 1, 2, 3, 4, 5, 125];

export class Hands {
  readonly #site: Site;
  readonly #journal: Journal;
  readonly #running = new Set<Running>();
  commands = 0;
  #resting = false;

  constructor(site: Site, journal: Journal) {
    this.#site = site;
    this.#journal = journal;
  }

  /** Processes of the clients that run now. */
  get pids(): number[] {
    return [...this.#running].flatMap(({ child }) => child.pid ?? []);
  }

  /** Does nothing any more: what would still be begun, never is. What runs is for others to end. */
  rest(): void {
    this.#resting = true;
  }

  /** Runs one command to its end. Whatever comes of it is an outcome; what no outcome should be is a violation. */
  async run(args: readonly string[], bottle?: string): Promise<Outcome> {
    if (this.#resting) return new Promise(() => undefined);
    const start = performance.now();
    this.commands += 1;
    this.#journal.note({ kind: 'act', ...(bottle === undefined ? {} : { bottle }), text: `bottle ${args.join(' ')}` });
    const child = spawn(process.execPath, [path.join(root, 'dist/client/main.js'), ...args], {
      env: this.#site.env,
      cwd: this.#site.directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const running: Running = { child, args, bottle, killed: false };
    this.#running.add(running);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    let tooLong = false;
    const timer = setTimeout(() => {
      tooLong = true;
      child.kill('SIGKILL');
    }, LONGEST_MS);
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    child.once('error', reject);
    // With all its output: what it starts and leaves must not keep that open.
    child.once('close', resolve);
    const code = await promise;
    clearTimeout(timer);
    this.#running.delete(running);
    const outcome: Outcome = { code, stdout, stderr, ms: performance.now() - start, killed: running.killed };
    this.#judge(args, bottle, outcome, tooLong);
    return outcome;
  }

  /** kill -9 of one of them. @returns what it did; undefined when there was none */
  kill(pick: number): { text: string; bottle: string | undefined } | undefined {
    const all = [...this.#running].filter(({ killed }) => !killed);
    const victim = all[Math.floor(pick * all.length)];
    if (victim === undefined) return undefined;
    victim.killed = true;
    victim.child.kill('SIGKILL');
    return { text: `bottle ${victim.args.join(' ')}`, bottle: victim.bottle };
  }

  /** When none runs any more. */
  async idle(): Promise<void> {
    await Promise.all([...this.#running].map(({ child }) => new Promise((resolve) => child.once('close', resolve))));
  }

  #judge(args: readonly string[], bottle: string | undefined, outcome: Outcome, tooLong: boolean): void {
    const { code, stderr, killed, ms } = outcome;
    const said = stderr.trim().split('\n').slice(-4).join(' | ').slice(0, 600);
    const about = bottle === undefined ? {} : { bottle };
    const how = killed ? 'killed' : `code ${code}`;
    this.#journal.note({ kind: 'outcome', ...about, text: `${how} after ${Math.round(ms)} ms: ${args[0]}: ${said}` });
    if (killed || this.#resting) return;
    const command = `bottle ${args.join(' ')}`;
    if (tooLong) this.#journal.violation(`${args[0]} never ends`, bottle, `${command}: ${said}`);
    else if (code === null || (args[0] !== 'exec' && !CODES.includes(code)))
      this.#journal.violation('a client dies', bottle, `${command}: ${how}: ${said}`);
    else if (code === 2) this.#journal.violation('the hands themselves are wrong', bottle, `${command}: ${said}`);
    else if (/error\[INTERNAL\]|^\s+at .+:\d+:\d+\)?$/m.test(stderr))
      this.#journal.violation(`${args[0]} says INTERNAL or shows a stack`, bottle, `${command}: ${said}`);
    else if (code !== 0 && code !== 3 && args[0] !== 'exec' && said === '')
      this.#journal.violation(`${args[0]} fails without a word`, bottle, `${command}: ${how}`);
  }
}
