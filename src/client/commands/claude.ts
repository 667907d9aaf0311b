/** `bottle claude`: the agent itself, in the machine's workspace. */
import process from 'node:process';

import { agentCommand, trustVariables } from '../agent-command.ts';
import type { Context } from '../context.ts';
import { localMachine } from '../local-machine.ts';
import { type ExecOptions, execAttached, execCaptured } from '../machine-exec.ts';

export async function run(context: Context, id: string, args: string[]): Promise<number> {
  const { output } = context;
  const { plan, driver } = await localMachine(context, id);
  const terminal = process.stdin.isTTY === true && process.stdout.isTTY === true && !output.flags.json;
  const options: ExecOptions = {
    argv: agentCommand(plan, args),
    interactive: terminal || process.stdin.isTTY !== true,
    terminal,
    env: trustVariables(plan),
  };
  if (!output.flags.json) return execAttached(driver, id, options);
  const captured = await execCaptured(driver, id, options);
  output.result({ id, ...captured }, '');
  return captured.exitCode;
}
