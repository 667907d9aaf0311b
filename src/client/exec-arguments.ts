/**
 * `bottle exec demo ls -la` means what `bottle exec demo -- ls -la` says: from the first word of the command on,
 * nothing is an option of ours. Commander can only stop at the first word of all, which is the bottle's id.
 */

/** What is needed of one option: its flags, and whether the next word is its value. */
export interface OptionShape {
  short?: string | undefined;
  long?: string | undefined;
  /** It takes a value. */
  required: boolean;
}

/** `args` with `--` put before the first word after the id, unless there is one already. */
export function separateCommand(args: readonly string[], options: readonly OptionShape[]): string[] {
  let operands = 0;
  for (let index = 0; index < args.length; index += 1) {
    const word = args[index] as string;
    if (word === '--') return [...args];
    if (!word.startsWith('-') || word === '-') {
      operands += 1;
      if (operands === 2) return [...args.slice(0, index), '--', ...args.slice(index)];
    } else if (takesNextWord(word, options)) {
      index += 1;
    }
  }
  return [...args];
}

function takesNextWord(word: string, options: readonly OptionShape[]): boolean {
  if (word.startsWith('--')) return options.some(({ long, required }) => required && long === word);
  const valued = new Set(options.flatMap(({ short, required }) => (required && short !== undefined ? [short[1]] : [])));
  const letters = [...word.slice(1)];
  // `-eK=V` and `-ite K=V`: the value is the rest of the word, or the next word when nothing is left.
  const first = letters.findIndex((letter) => valued.has(letter));
  return first !== -1 && first === letters.length - 1;
}
