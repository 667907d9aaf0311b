/**
 * What a Node that is too old for bottle does: it finds a newer one and has that run the same command, in its own place.
 * All of this runs on Node 20, and at every call: it asks no program for its version that it has asked before.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import process from 'node:process';
import { isatty } from 'node:tty';
import { BottleError } from '../core/errors.ts';
import { findNode } from '../host/node-program.ts';

const SETUP = 'setup';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
/** What a terminal sends to everybody who runs in it: passed on as well, it would come twice. */
const OF_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGHUP', 'SIGQUIT'];

/** Ends this process as the newer Node ends. @param needed the oldest major version that will do */
export async function runOnNewerNode(needed: number): Promise<void> {
  try {
    const node = (await findNode(needed)) ?? (await obtainForSetup());
    if (node !== undefined) return replaceWith(node);
    const words = process.argv.slice(2);
    if (asksForHelp(words)) return await (await import('./run.ts')).main(words);
    fail(
      new BottleError('TOOL_MISSING', `bottle needs Node ${needed}, this is ${process.version}`, {
        hint: 'run: bottle setup (it gets one of its own, once, and leaves yours as it is)',
      }),
    );
  } catch (error) {
    fail(error);
  }
}

/**
 * Help and version run on this Node too, before anything was set up: the command line alone is loaded for them.
 * What follows a command of `exec` or `claude` is not ours.
 */
export function asksForHelp(words: readonly string[]): boolean {
  const [command, next] = words.filter((word) => !OUR_FLAGS.includes(word));
  if (command === undefined) return !words.includes('--json');
  if (PRINTED.includes(command) || command === 'help') return true;
  if (RUN_OTHERS.includes(command)) return next !== undefined && PRINTED.includes(next);
  const end = words.indexOf('--');
  return (end === -1 ? words : words.slice(0, end)).some((word) => word === '--help' || word === '-h');
}

const PRINTED = ['--help', '-h', '--version'];
const OUR_FLAGS = ['--json', '--quiet', '--debug'];
const RUN_OTHERS = ['exec', 'claude', 'agent'];

/** Nothing is downloaded unasked: only `bottle setup` does that. */
async function obtainForSetup(): Promise<string | undefined> {
  const [command] = process.argv.slice(2).filter((word) => !word.startsWith('-'));
  if (command !== SETUP) return undefined;
  const { obtainNode } = await import('../host/obtain-node.ts');
  return obtainNode((line) => process.stderr.write(`install Node: ${line}\n`));
}

function replaceWith(node: string): void {
  const args = process.argv.slice(1);
  // From 22.15 on. A warning that it is new would be printed later than it ever gets.
  (process as { execve?: (file: string, args: string[], env: NodeJS.ProcessEnv) => void }).execve?.(
    node,
    [node, ...args],
    process.env,
  );
  const inTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
  // Before it is started: a signal in between would end this process alone.
  for (const signal of SIGNALS) {
    process.on(signal, () => (inTerminal && OF_TERMINAL.includes(signal)) || child.kill(signal));
  }
  const child = spawn(node, args, { stdio: 'inherit' });
  child.on('error', fail);
  child.on('exit', (code, signal) => {
    if (signal === null) return process.exit(code ?? 1);
    for (const each of SIGNALS) process.removeAllListeners(each);
    process.kill(process.pid, signal);
    // Where the signal does not end this process by itself.
    setTimeout(() => process.exit(128 + constants.signals[signal]), 1000);
  });
}

function fail(error: unknown): void {
  const { code, message, hint } = BottleError.is(error)
    ? error.view()
    : { code: 'TOOL_MISSING', message: error instanceof Error ? error.message : String(error), hint: undefined };
  if (process.argv.includes('--json')) {
    const view = { code, message, ...(hint === undefined ? {} : { hint }) };
    process.stdout.write(`${JSON.stringify({ error: view })}\n`);
  } else {
    process.stderr.write(`error[${code}]: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`);
  }
  process.exitCode = 1;
}
