/** `bottle claude`: the agent itself, in the machine's workspace. */
import process from 'node:process';

import { agentCommand, trustVariables } from '../agent-command.ts';
import type { Context } from '../context.ts';
import { limitsMet } from '../limits-note.ts';
import { localMachine } from '../local-machine.ts';
import { type ExecOptions, execAttached, execCaptured } from '../machine-exec.ts';

export async function run(context: Context, id: string, args: string[]): Promise<number> {
  const { output } = context;
  const { plan, driver, host } = await localMachine(context, id);
  const terminal = process.stdin.isTTY === true && process.stdout.isTTY === true && !output.flags.json;
  const options: ExecOptions = {
    argv: agentCommand(plan, args),
    interactive: terminal || process.stdin.isTTY !== true,
    terminal,
    env: trustVariables(plan),
  };
  const since = new Date().toISOString();
  if (!output.flags.json) {
    const exitCode = await execAttached(driver, id, options);
    for (const line of await limitsMet(host, id, plan, { exitCode, since })) output.note(line);
    return exitCode;
  }
  const captured = await execCaptured(driver, id, options);
  output.result({ id, ...captured }, '');
  return captured.exitCode;
}
