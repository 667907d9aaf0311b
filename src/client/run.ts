/** From arguments to an exit code: parses, runs one command, and turns whatever is thrown into the contract's form. */
import process from 'node:process';
import { CommanderError } from 'commander';
import { endQuietlyOnBrokenPipe } from './broken-pipe.ts';
import { createContext } from './context.ts';
import { createOutput, type Flags, type Output } from './output.ts';
import { buildProgram } from './program.ts';
import { reportError } from './report-error.ts';

/** Contract: `exec` and `claude` give the command's own code, so ours must be one that stands apart. */
const EXEC_FAILED = 125;

export async function main(args: string[]): Promise<void> {
  endQuietlyOnBrokenPipe();
  // What a library of ours should do otherwise is for us to read, not for whoever uses bottle.
  process.noDeprecation = !args.includes('--debug');
  // Whatever escapes (a library's timer) still ends in the contract's form.
  process.on('uncaughtException', (error) => process.exit(reportError(error, createOutput(guessFlags(args)))));
  process.exitCode = await exitCodeOf(args);
  // What was left behind on a lost connection must not keep the process alive; all that was said is out by then.
  process.stdout.write('', () => process.stderr.write('', () => process.exit()));
}

async function exitCodeOf(args: string[]): Promise<number> {
  let output: Output = createOutput(guessFlags(args));
  let code = 0;
  const program = buildProgram(async (flags, act) => {
    output = createOutput(flags);
    code = await act(createContext(output));
  });
  try {
    await program.parse(args);
    return code;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (error instanceof CommanderError && error.code === 'commander.help') return 2;
    const failed = reportError(error, output);
    return program.runsCommands(args) ? EXEC_FAILED : failed;
  }
}

/** Before anything is parsed, or when that fails: the flags as far as they can be told. */
function guessFlags(args: string[]): Flags {
  const end = args.indexOf('--');
  const ours = end === -1 ? args : args.slice(0, end);
  return { json: ours.includes('--json'), quiet: ours.includes('--quiet'), debug: ours.includes('--debug') };
}
