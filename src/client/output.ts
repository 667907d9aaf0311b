/** Where a command's words go: its one result to stdout, everything else to stderr. */
import process from 'node:process';
import { type Colours, coloursFor } from './render/colours.ts';

export interface Flags {
  /** Exactly one JSON document on stdout. */
  json: boolean;
  /** No progress, only results and errors. */
  quiet: boolean;
  /** Stack traces with errors. */
  debug: boolean;
}

export interface Output {
  readonly flags: Flags;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Colours of stdout and of stderr. */
  readonly outColours: Colours;
  readonly errColours: Colours;
  /** The result: `human` as text, or with --json `document` as one JSON document. */
  result(document: unknown, human: string | (() => string)): void;
  /** One line of progress for people, on stderr; nothing with --quiet. */
  note(line: string): void;
  /** A line that must be seen whatever the flags, on stderr. */
  say(line: string): void;
}

export function createOutput(flags: Flags, env: NodeJS.ProcessEnv = process.env): Output {
  const { stdout, stderr } = process;
  const say = (line: string): void => {
    stderr.write(`${line}\n`);
  };
  return {
    flags,
    stdout,
    stderr,
    outColours: coloursFor(stdout, env),
    errColours: coloursFor(stderr, env),
    result: (document, human) => {
      const text = flags.json ? JSON.stringify(document) : typeof human === 'string' ? human : human();
      if (text !== '') stdout.write(`${text}\n`);
    },
    note: (line) => {
      if (!flags.quiet) say(line);
    },
    say,
  };
}
