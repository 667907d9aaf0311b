/** How a command begins on a terminal, whatever driver gave it one. */
import type { TerminalSize } from './driver.ts';

/**
 * Shell text, for `sh` with the rows and columns as its first two arguments after `$0`: the size is set from within, so it
 * is there before the command looks, however busy the computer is. A terminal that the machine has never heard of
 * (`xterm-ghostty`, `xterm-kitty`) is said to be the one that they all descend from.
 */
export const SETTLE_TERMINAL = `stty rows "$1" cols "$2" 2>/dev/null
tput -T "\${TERM:-}" longname >/dev/null 2>&1 || export TERM=xterm-256color
shift 2`;

/** The command that settles its terminal, and becomes `argv`. */
export const onTerminal = (size: TerminalSize, argv: readonly string[]): string[] => [
  'sh',
  '-c',
  `${SETTLE_TERMINAL}; exec "$@"`,
  'sh',
  ...sizeWords(size),
  ...argv,
];

/** As `stty` wants them. */
export const sizeWords = ({ rows, columns }: TerminalSize): string[] => [String(rows), String(columns)];
