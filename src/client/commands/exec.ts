/** `bottle exec`: run a command in the machine; its exit code is the command's. */
import process from 'node:process';
import { BottleError } from '../../core/errors.ts';
import { GUEST } from '../../core/plan.ts';
import { trustVariables, withPrivateEnv } from '../agent-command.ts';
import type { Context } from '../context.ts';
import { limitsMet } from '../limits-note.ts';
import { localMachine } from '../local-machine.ts';
import { type ExecOptions, execAttached, execCaptured } from '../machine-exec.ts';

export interface ExecFlags {
  interactive?: boolean;
  tty?: boolean;
  user?: string;
  workdir?: string;
  env?: string[];
}

export async function run(context: Context, id: string, argv: string[], flags: ExecFlags): Promise<number> {
  const { output } = context;
  const options: Omit<ExecOptions, 'argv'> = {
    interactive: flags.interactive === true,
    terminal: flags.tty === true,
    user: flags.user,
    workdir: flags.workdir,
    env: environment(flags.env ?? []),
  };
  if (options.terminal && output.flags.json) throw new BottleError('USAGE', '--json and -t exclude each other');
  if (options.terminal && process.stdin.isTTY !== true && options.interactive) {
    throw new BottleError('USAGE', 'standard input is not a terminal', { hint: 'leave -t out' });
  }
  const { plan, driver, host } = await localMachine(context, id);
  const env = { ...trustVariables(plan), ...options.env };
  // What sets those variables is a file of the agent's own, which nobody else should run.
  const isAgent = options.user === undefined || options.user === GUEST.user;
  const request = { ...options, env, argv: isAgent ? withPrivateEnv(plan, argv) : argv };
  const since = new Date().toISOString();
  if (!output.flags.json) {
    const exitCode = await execAttached(driver, id, request);
    for (const line of await limitsMet(host, id, plan, { exitCode, since })) output.note(line);
    return exitCode;
  }
  const captured = await execCaptured(driver, id, request);
  output.result({ id, ...captured }, '');
  return captured.exitCode;
}

/** @throws BottleError `USAGE` for what is not `NAME=VALUE` */
export function environment(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      // Only the name is repeated: the rest may be a secret.
      if (at < 1) throw new BottleError('USAGE', '-e expects NAME=VALUE');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}
