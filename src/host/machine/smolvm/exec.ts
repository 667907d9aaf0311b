/** One command in a machine: streams, terminal, exit code, and a way to end it. */
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { GUEST } from '../../../core/plan.ts';
import { DEBIAN_PATH, isRoot } from '../administer.ts';
import type { ExecRequest, TerminalSize } from '../driver.ts';
import { killMarkedArgv, killUntilEnded, newMark } from '../kill-marked.ts';
import { SETTLE_TERMINAL, sizeWords } from '../on-terminal.ts';
import { callSmolvm, failureOf, type Running, type Smolvm, spawnSmolvm } from './cli.ts';
import { programFailed } from './failures.ts';
import { afterMark, END_OF_PRELUDE, type Prelude, pour } from './guest-output.ts';

const VERB = ['machine', 'exec'] as const;
/** For what this driver itself runs in a machine beside a command. */
const BESIDE_MS = 15_000;
const POLL_MS = 50;
const FAILED = 1;

/** A command under way. */
interface Command extends Running {
  readonly smolvm: Smolvm;
  readonly machine: string;
  readonly request: ExecRequest;
  /** In the environment of the command and of all it starts. */
  readonly mark: string;
  readonly prelude: Prelude;
  hasEnded: boolean;
}

/**
 * Runs it to its end.
 * @param assertRunning throws `MACHINE_NOT_RUNNING` when the machine does not run (any more): an end with 1 may be smolvm's
 *   own word for a connection that broke
 * @throws BottleError `DRIVER_FAILED` with smolvm's reason when the command did not even begin; what `assertRunning`
 *   throws; the signal's reason when aborted
 */
export async function smolvmExec(
  smolvm: Smolvm,
  machine: string,
  request: ExecRequest,
  assertRunning: () => Promise<void>,
): Promise<{ exitCode: number }> {
  const { signal } = request;
  signal?.throwIfAborted();
  const command = begin(smolvm, machine, request);
  let killing: Promise<void> | undefined;
  const kill = (): void => {
    const inMachine = () => runBeside(command, killMarkedArgv(command.mark));
    killing = killUntilEnded(inMachine, () => command.hasEnded).finally(() => command.kill());
  };
  signal?.addEventListener('abort', kill, { once: true });
  if (signal?.aborted) kill();
  try {
    await pump(command);
    await command.ended;
  } catch (error) {
    command.kill();
    throw error;
  } finally {
    signal?.removeEventListener('abort', kill);
    // The command's own end closes the streams; what it started may take a moment longer.
    await killing;
  }
  signal?.throwIfAborted();
  return verdict(command, assertRunning);
}

function begin(smolvm: Smolvm, machine: string, request: ExecRequest): Command {
  const mark = newMark();
  const given = givenVariables(request.env);
  const terminal = request.terminal === undefined ? [] : ['-t'];
  const args = [...placeArgs(machine, request), ...given.args, ...terminal, '-e', mark];
  const words = [...args, '--', ...argvOf(request, mark)];
  const call = spawnSmolvm(smolvm, VERB, words, request.stdin !== undefined, given.secrets);
  const prelude = { begun: false, told: '', before: '' };
  const command: Command = { ...call, smolvm, machine, request, mark, prelude, hasEnded: false };
  const noteEnd = (): void => {
    command.hasEnded = true;
  };
  call.ended.then(noteEnd, noteEnd);
  if (request.terminal !== undefined) request.terminal.onResize?.(resizer(command));
  return command;
}

async function verdict(
  { ended, machine, prelude }: Command,
  assertRunning: () => Promise<void>,
): Promise<{ exitCode: number }> {
  const end = await ended;
  const what = `run a command in the machine ${machine}`;
  if ('killedBy' in end) {
    throw programFailed(what, { code: 'INTERRUPTED', message: `it was ended by ${end.killedBy}` });
  }
  if (prelude.begun && end.exitCode !== FAILED) return end;
  await assertRunning();
  if (prelude.begun) return end;
  const failure = failureOf(prelude.before) ?? { code: 'UNKNOWN', message: `it ended with ${end.exitCode}` };
  throw programFailed(what, failure);
}

/** Without `-i`, what a command says is held back until its end, and no more than 11 MiB of it. */
function placeArgs(
  machine: string,
  { user = GUEST.user, workdir = GUEST.workspace }: Pick<ExecRequest, 'user' | 'workdir'>,
): string[] {
  const home = HOMES[user];
  const path = isRoot(user) ? { PATH: DEBIAN_PATH } : {};
  const variables = { ...(home === undefined ? {} : { HOME: home }), ...path };
  const place = ['--name', machine, '-i', '--user', user, '--workdir', workdir];
  return [...place, ...Object.entries(variables).flatMap(([name, value]) => ['-e', `${name}=${value}`])];
}

/**
 * Variables whose values somebody gave, and which may be secrets: every user of the host reads the arguments of a process, so
 * these name variables of smolvm's own environment instead. Those have names of ours, since one called PATH or LD_PRELOAD
 * would be taken by smolvm for its own.
 */
export function givenVariables(env: Readonly<Record<string, string>> = {}): {
  args: string[];
  secrets: Record<string, string>;
} {
  const args: string[] = [];
  const secrets: Record<string, string> = {};
  for (const [at, [name, value]] of Object.entries(env).entries()) {
    // Nothing to hide, and an empty variable may count as none.
    if (value === '') args.push('-e', `${name}=`);
    else {
      args.push('--secret-env', `${name}=BOTTLE_GIVEN_${at}`);
      secrets[`BOTTLE_GIVEN_${at}`] = value;
    }
  }
  return { args, secrets };
}

const HOMES: Readonly<Record<string, string>> = { [GUEST.user]: GUEST.home, root: '/root' };

function argvOf({ argv, terminal }: ExecRequest, mark: string): string[] {
  if (terminal === undefined) return ['sh', '-c', BEGIN, 'sh', mark, ...argv];
  return ['sh', '-c', BEGIN_ON_TERMINAL, 'sh', ...sizeWords(terminal), mark, ...argv];
}

/**
 * The first thing said in the machine is the mark: what comes before it is smolvm's own, and where it never comes, the
 * command has not begun. A shell also gives the codes for what cannot be run, 126 and 127, whatever smolvm would say.
 */
const BEGIN = `printf '%s${END_OF_PRELUDE}' "$1" >&2; shift; exec "$@"`;
/**
 * smolvm takes the size of its own terminal, and there is none: to make one takes a native module. But it gives the command
 * one all the same, whose size can be set from within: here, and by {@link resizer}.
 */
const BEGIN_ON_TERMINAL = `${SETTLE_TERMINAL}
printf '%s%s${END_OF_PRELUDE}' "$1" "$(tty)"; shift; exec "$@"`;

/** Sets the size of a command's terminal, one size after the other; the kernel tells the command. */
function resizer(command: Command): (size: TerminalSize) => void {
  let wanted: TerminalSize | undefined;
  let isBusy = false;
  const work = async (): Promise<void> => {
    isBusy = true;
    while (wanted !== undefined && !command.hasEnded) {
      if (!command.prelude.begun) await sleep(POLL_MS);
      else {
        const size = wanted;
        wanted = undefined;
        const [rows = '', columns = ''] = sizeWords(size);
        await runBeside(command, ['stty', '-F', command.prelude.told, 'rows', rows, 'cols', columns]);
      }
    }
    isBusy = false;
  };
  return (size) => {
    wanted = size;
    if (!isBusy) void work();
  };
}

/** Runs what belongs to a command, as its user. Whether it worked shows in the command. */
async function runBeside({ smolvm, machine, request }: Command, argv: readonly string[]): Promise<void> {
  const { user = GUEST.user } = request;
  const args = [...placeArgs(machine, { user, workdir: '/' }), '--', ...argv];
  await callSmolvm(smolvm, VERB, args, { timeoutMs: BESIDE_MS }).catch(() => undefined);
}

/** Carries the command's streams until they are closed. */
async function pump(command: Command): Promise<void> {
  const { request, mark, prelude } = command;
  const { terminal, stdin, stdout, stderr } = request;
  const stopTyping = feed(command.stdin, stdin);
  try {
    if (terminal === undefined) {
      await Promise.all([pour(command.stdout, stdout), pour(afterMark(command.stderr, mark, prelude), stderr)]);
      return;
    }
    // The terminal is the one stream of the command; what is beside it is smolvm's.
    const own: Prelude = { begun: false, told: '', before: '' };
    await Promise.all([
      pour(afterMark(command.stdout, mark, prelude), stdout),
      drain(afterMark(command.stderr, mark, own)),
    ]);
    prelude.before += own.before;
  } finally {
    stopTyping();
  }
}

async function drain(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _chunk of source);
}

/** Gives the command its input. At its end smolvm ends the command's, or types Ctrl-D where that is a terminal. */
function feed(to: Writable | null, stdin: Readable | undefined): () => void {
  if (to === null || stdin === undefined) return () => undefined;
  // A command may end while its input goes on: what is written then has no reader, and that is no error.
  to.on('error', () => undefined);
  stdin.pipe(to);
  return () => {
    stdin.unpipe(to);
    to.destroy();
  };
}
