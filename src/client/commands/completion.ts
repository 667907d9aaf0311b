/** `bottle completion`: the script with which a shell completes `bottle`. */
import type { Command } from 'commander';
import { BottleError } from '../../core/errors.ts';
import { SHELLS, withCompletions } from '../completion.ts';
import type { Context } from '../context.ts';

export async function run({ output }: Context, program: Command, shell: string): Promise<number> {
  const known = SHELLS.find((each) => each === shell);
  if (known === undefined)
    throw new BottleError('USAGE', `there is no completion for "${shell.slice(0, 40)}"`, {
      hint: `one of: ${SHELLS.join(', ')}`,
    });
  const completions = await withCompletions(program);
  const script = printed(() => completions.setup('bottle', 'bottle', known));
  output.result({ shell: known, script }, script.trimEnd());
  return 0;
}

/** The library prints it, and only that. */
function printed(act: () => void): string {
  const lines: string[] = [];
  const { log } = console;
  console.log = (...words: unknown[]) => void lines.push(words.join(' '));
  try {
    act();
  } finally {
    console.log = log;
  }
  return `${lines.join('\n')}\n`;
}
