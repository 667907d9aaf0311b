/** The command line: every command with its options and help. What a command does is loaded only when it runs. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError, type OptionValues } from 'commander';
import { BottleError } from '../core/errors.ts';
import { packageRoot } from '../host/package-root.ts';
import type { Context } from './context.ts';
import { separateCommand } from './exec-arguments.ts';
import type { Flags } from './output.ts';

/** Runs one command's act with its flags; the act resolves to the exit code. */
export type Runner = (flags: Flags, act: (context: Context) => Promise<number>) => Promise<void>;

export interface Program {
  parse(args: string[]): Promise<void>;
  /** The command's exit code is that of something it ran (`exec`, `claude`). */
  runsCommands(args: string[]): boolean;
}

const PRINTED = ['--help', '-h', '--version'];
/** What the scripts of `bottle completion` call. */
const COMPLETE = 'complete';
const EXEC_COMMANDS = ['exec', 'claude', 'agent'];

export function buildProgram(runner: Runner): Program {
  const program = new Command('bottle')
    .description('Isolated homes for unattended coding agents, launched by a durable workflow')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError(true)
    .configureHelp({ showGlobalOptions: false, sortSubcommands: false });
  withFlags(program);

  const add = (nameAndArguments: string, description: string): Command =>
    withFlags(program.command(nameAndArguments).description(description));
  const flagsOf = (command: Command): Flags => {
    const { json, quiet, debug } = command.optsWithGlobals<OptionValues>();
    return { json: json === true, quiet: quiet === true, debug: debug === true };
  };
  /** Connects a command with its file: `act` gets the loaded module's `run` already bound to the parsed arguments. */
  const acts = <Arguments extends unknown[]>(
    command: Command,
    act: (context: Context, ...args: Arguments) => Promise<number>,
  ): Command =>
    command.action((...given: unknown[]) => {
      const args = given.slice(0, -1) as Arguments;
      return runner(flagsOf(command), (context) => act(context, ...args));
    });

  acts(
    add('up', 'launch a bottle; returns when it is ready or held')
      .argument('<agent>', 'name of an agent file in BOTTLE_HOME/agents')
      .option('--name <id>', "the bottle's id (default: the agent's name, then -2, -3, ...)")
      .option('--host <host>', 'launch it on another host')
      .option('--driver <driver>', 'docker or smolvm')
      .option('--bottle <name>', "a bottle file in place of the agent's own; repeatable, later ones win", collect)
      .option('--cwd', "copy the working folder into the machine's workspace")
      .option('--gitignore', 'with --cwd: leave out what git ignores')
      .option('--prompt <text>', "the first message of the agent's first conversation")
      .option('--replace', 'take an open bottle of that id down first')
      .option('--no-wait', 'return as soon as the launch has begun')
      .option('--dry-run', 'print the merged manifest and the plan, and touch nothing'),
    async (context, agent: string, options: import('./commands/up.ts').UpOptions) =>
      (await import('./commands/up.ts')).run(context, agent, options),
  );
  acts(
    add('ls', 'bottles on all hosts').option('--all', 'closed ones too'),
    async (context, options: { all?: boolean }) => (await import('./commands/ls.ts')).run(context, options),
  );
  acts(
    add('status', 'every step of a bottle')
      .argument('<id>')
      .option('--watch', 'follow it until it is ready, held or gone'),
    async (context, id: string, options: { watch?: boolean }) =>
      (await import('./commands/status.ts')).run(context, id, options),
  );
  for (const [decision, description] of DECISIONS) {
    acts(
      add(decision, description).argument('<id>').argument('[step]', 'one held step (default: all of them)'),
      async (context, id: string, step: string | undefined) =>
        (await import('./commands/decide.ts')).run(context, decision, id, step),
    );
  }
  for (const [change, description] of CHANGES) {
    acts(add(change, description).argument('<id>'), async (context, id: string) =>
      (await import('./commands/change.ts')).run(context, change, id),
    );
  }
  acts(
    add('down', 'undo everything of a bottle; returns when it is gone')
      .argument('[id...]')
      .option('--all', 'every open bottle of this host'),
    async (context, ids: string[], options: { all?: boolean }) =>
      (await import('./commands/down.ts')).run(context, ids, options),
  );
  acts(
    add('adopt', 'take over a bottle whose Temporal database or server is gone, as it is, with the work in it')
      .argument('[id...]', 'which ones (default: those whose database is gone)')
      .option('--force', 'also where its launch is open on a server that answers')
      .option('--no-wait', 'return as soon as the launch has begun'),
    async (context, ids: string[], options: import('./commands/adopt.ts').AdoptOptions) =>
      (await import('./commands/adopt.ts')).run(context, ids, options),
  );
  const exec = acts(
    add('exec', "run a command in the machine; its exit code is the command's")
      .usage('<id> [options] -- <command...>')
      .argument('<id>')
      .argument('<command...>')
      .option('-i, --interactive', 'pass standard input on')
      .option('-t, --tty', 'give the command a terminal')
      .option('--user <user>', "user in the machine (default: the agent's)")
      .option('--workdir <directory>', 'directory in the machine (default: the workspace)')
      .option('-e, --env <name=value>', 'environment variable, repeatable', collect),
    async (context, id: string, argv: string[], options: import('./commands/exec.ts').ExecFlags) =>
      (await import('./commands/exec.ts')).run(context, id, argv, options),
  );
  acts(
    add('claude', 'the agent itself, in the machine')
      .alias('agent')
      .usage('<id> [-- arguments...]')
      .argument('<id>')
      .argument('[arguments...]', 'for claude'),
    async (context, id: string, args: string[]) => (await import('./commands/claude.ts')).run(context, id, args),
  );
  acts(
    add('logs', "the bundle's logs")
      .argument('<id>')
      .argument('[daemon]', 'only what this daemon prints')
      .option('-f, --follow', 'go on as it prints more; with --json a document a line')
      .option('-n, --tail <lines>', 'only so many lines from the end (default: all)')
      .option('--since <time>', 'only what is newer: 10m, 1h30m, 2026-11-23T10:00:00Z')
      .option('-t, --timestamps', 'each line with its time'),
    async (context, id: string, daemon: string | undefined, options: import('./commands/logs.ts').LogsOptions) =>
      (await import('./commands/logs.ts')).run(context, id, daemon, options),
  );
  acts(
    add('requests', 'what agents ask of you')
      .argument('[id]', 'one bottle (default: every open one)')
      .option('--all', 'answered ones too'),
    async (context, id: string | undefined, options: { all?: boolean }) =>
      (await import('./commands/requests.ts')).run(context, id, options),
  );
  for (const [decision, description] of ANSWERS) {
    const answer = add(decision, description).argument('<id>').argument('<request>');
    if (decision === 'approve') {
      answer.option('--for <time>', 'how long a granted route lasts: 30s, 10m, 2h, 1d');
      answer.option('--private', 'the host may be at a private address');
    }
    acts(
      answer.option('--note <text>', 'what the agent is told'),
      async (context, id: string, request: string, options: import('./commands/answer.ts').AnswerOptions) =>
        (await import('./commands/answer.ts')).run(context, decision, id, request, answerOptions(options)),
    );
  }
  acts(
    add('serve', "the embedded Temporal server and this host's worker")
      .option('--detach', 'in the background; returns when the worker is ready')
      .option(
        '--restart',
        'start the worker anew in the background, with the Engine, files and environment of this shell',
      )
      .option('--stop', 'stop what --detach started; bottles stay as they are'),
    async (context, options: import('./commands/serve.ts').ServeOptions) =>
      (await import('./commands/serve.ts')).run(context, options),
  );
  acts(add('ui', 'the Temporal UI at the open bottles').argument('[id]'), async (context, id: string | undefined) =>
    (await import('./commands/ui.ts')).run(context, id),
  );
  acts(add('setup', 'get what bottle needs: Temporal CLI, gitleaks, pipelock, smolvm, images'), async (context) =>
    (await import('./commands/setup.ts')).run(context),
  );
  acts(
    add('service', 'server and worker that start with the computer: install, remove or status')
      .argument('<action>', 'install, remove or status')
      .option('--dry-run', 'print the file of the service, and touch nothing'),
    async (context, action: string, options: { dryRun?: boolean }) =>
      (await import('./commands/service.ts')).run(context, action, options),
  );
  acts(
    add('doctor', 'what is there, what is missing, what to do').option(
      '--boot',
      'try as well whether a smolvm machine boots on this host',
    ),
    async (context, options: import('./commands/doctor.ts').DoctorOptions) =>
      (await import('./commands/doctor.ts')).run(context, options),
  );
  acts(add('hosts', 'hosts of open bottles, and whether a worker serves each'), async (context) =>
    (await import('./commands/hosts.ts')).run(context),
  );
  acts(
    add('check', 'what you have written, looked at without touching anything; all of it, or one agent whole')
      .argument('[agent]')
      .option('--bottle <name>', "a bottle file in place of the agent's own; repeatable", collect),
    async (context, agent: string | undefined, options: { bottle?: string[] }) =>
      (await import('./commands/check.ts')).run(context, agent, options),
  );
  acts(
    add('init', 'write a first agent and its bottle').argument('[name]', 'what both are called (default: assistant)'),
    async (context, name: string | undefined) => (await import('./commands/init.ts')).run(context, name),
  );
  acts(
    add('schema', 'JSON Schema of what you write, for editors').argument('[kind]', 'agent, bottle or config'),
    async (context, kind: string | undefined) => (await import('./commands/schema.ts')).run(context, kind),
  );
  acts(
    add('completion', 'the script with which your shell completes bottle').argument(
      '<shell>',
      'bash, zsh, fish, powershell',
    ),
    async (context, shell: string) => (await import('./commands/completion.ts')).run(context, program, shell),
  );
  acts(
    add('gc', 'remove what terminated launches left behind, and archives of images that nobody needs')
      .option('--dry-run', 'say what it would remove')
      .option(
        '--lost [id...]',
        'remove bottles of a Temporal server that is not there any more (default: those whose database is gone)',
      ),
    async (context, options: import('./commands/gc.ts').GcOptions) =>
      (await import('./commands/gc.ts')).run(context, options),
  );
  const image = add('image', 'the images bottles are made from');
  acts(
    withFlags(image.command('build').description('build what is missing'))
      .argument('[agent]', "just what this agent needs, with its own Dockerfile's image")
      .option('--force', 'build anew'),
    async (context, agent: string | undefined, options: { force?: boolean }) =>
      (await import('./commands/image.ts')).build(context, agent, options),
  );
  acts(withFlags(image.command('ls').description('images on this host')), async (context) =>
    (await import('./commands/image.ts')).ls(context),
  );

  return {
    parse: async (args) => {
      const at = commandIndex(args);
      if (args[at] === COMPLETE) await (await import('./completion.ts')).withCompletions(program);
      // Who reads JSON gets no help text; for all others Commander shows it when no command is named.
      if (at === -1 && args.includes('--json') && !args.some((word) => PRINTED.includes(word))) {
        throw new BottleError('USAGE', 'no command was named', { hint: 'see: bottle help' });
      }
      const separated =
        args[at] === 'exec' ? [...args.slice(0, at + 1), ...separateCommand(args.slice(at + 1), exec.options)] : args;
      const command = args[at];
      const isKnown = program.commands.some((each) => each.name() === command);
      await program.parseAsync(separated, { from: 'user' }).catch((error: unknown) => {
        // Its own help says more of what is missing than the list of all commands.
        throw isKnown && error instanceof CommanderError ? Object.assign(error, { command }) : error;
      });
    },
    runsCommands: (args) => EXEC_COMMANDS.includes(args[commandIndex(args)] ?? ''),
  };
}

const DECISIONS = [
  ['retry', 'run a held step again, in place, then wait as up does'],
  ['skip', 'treat a held step as done, then wait as up does'],
  ['abort', 'give a held launch up: undo everything'],
] as const;

const CHANGES = [
  ['reload', 'read the secrets again and hand them to the daemons; the machine is not touched'],
  ['apply', 'take over what has changed in the manifest: just the steps whose part changed run again'],
] as const;

const ANSWERS = [
  ['approve', 'grant what an agent asks; returns when it counts'],
  ['deny', 'refuse what an agent asks, or take back what was granted'],
] as const;

/** Commander hands on the flags of every command as well. */
const answerOptions = ({
  note,
  for: lasting,
  private: mayBePrivate,
}: import('./commands/answer.ts').AnswerOptions) => ({
  ...(note === undefined ? {} : { note }),
  ...(lasting === undefined ? {} : { for: lasting }),
  ...(mayBePrivate === undefined ? {} : { private: mayBePrivate }),
});

/** The first word that is not a flag; all flags before a command are without values. */
const commandIndex = (args: readonly string[]): number => args.findIndex((word) => !word.startsWith('-'));

function withFlags(command: Command): Command {
  return command
    .option('--json', 'one JSON document on stdout')
    .option('--quiet', 'no progress')
    .option('--debug', 'stack traces with errors');
}

const collect = (value: string, earlier: string[] = []): string[] => [...earlier, value];

function version(): string {
  return (JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as { version: string }).version;
}
