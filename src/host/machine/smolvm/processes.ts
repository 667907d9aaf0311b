/** Processes of this host: those in which machines run, and calls of smolvm that nobody waits for any more. */
import { readdir, readFile } from 'node:fs/promises';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { callName } from './platform.ts';
import { machineDirectory, machinesDirectory } from './state-directory.ts';

export interface HostProcess {
  pid: number;
  /** When it started, in whatever form the host has it: with the pid, it is this process and no later one. */
  started: string;
  argv: readonly string[];
}

/** Calls after which a machine is not what it was. */
export type LifeVerb = 'create' | 'start' | 'stop' | 'delete';

const GONE_MS = 5000;
const POLL_MS = 20;
/** Of a process that is expected to live for days. */
const WATCH_MS = 500;

/** What runs the machine of that name, if anything does: also when its record and its folder are gone already. */
export async function bootProcesses(state: string, name: string): Promise<HostProcess[]> {
  return (await hostProcesses()).filter((each) => bootsFrom(each, machineDirectory(state, name)));
}

/** What runs any machine of that state directory. */
export async function allBootProcesses(state: string): Promise<HostProcess[]> {
  return (await hostProcesses()).filter((each) => bootsFrom(each, machinesDirectory(state)));
}

/** Calls of the program that change the machine of that name, or without a name any of that state directory. */
export async function lifeCalls(state: string, name?: string): Promise<(HostProcess & { verb: LifeVerb })[]> {
  return (await hostProcesses()).flatMap((each) => {
    const verb = lifeVerb(each.argv);
    const ours =
      verb !== undefined && isCallOn(each.argv, state) && (name === undefined || has(each.argv, '--name', name));
    return ours ? [{ ...each, verb }] : [];
  });
}

/** Processes among whose arguments this one follows one that fits. */
export async function processesWith(fits: RegExp, next: string): Promise<HostProcess[]> {
  return (await hostProcesses()).filter(({ argv }) =>
    argv.some((word, index) => word === next && fits.test(argv[index - 1] ?? '')),
  );
}

/** @returns whether it was still that process; it is gone then. False as well when it would not go. */
export async function killProcess(one: HostProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<boolean> {
  if (!(await isAlive(one))) return false;
  try {
    process.kill(one.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
    throw error;
  }
  return isGone(one, GONE_MS);
}

/** Waits for its end. */
export async function isGone(one: HostProcess, withinMs: number): Promise<boolean> {
  for (const end = Date.now() + withinMs; await isAlive(one); await sleep(POLL_MS)) {
    if (Date.now() > end) return false;
  }
  return true;
}

/**
 * Waits, however long that is, until of one of the groups none is left.
 * @throws the signal's reason when it aborts before
 */
export async function untilOneIsGone(groups: readonly (readonly HostProcess[])[], signal: AbortSignal): Promise<void> {
  const lives = async (group: readonly HostProcess[]): Promise<boolean> =>
    (await Promise.all(group.map(isAlive))).some((alive) => alive);
  while ((await Promise.all(groups.map(lives))).every((alive) => alive)) {
    await sleep(WATCH_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Whether that very process still runs: a pid alone is soon another's. */
async function isAlive({ pid, started }: HostProcess): Promise<boolean> {
  const now = process.platform === 'linux' ? await fromProc(pid) : (await fromPs([pid]))[0];
  return now?.started === started;
}

/** Its third argument is the file it was booted with, which is gone by then; the first one is `/proc/self/exe`. */
function bootsFrom({ argv }: HostProcess, directory: string): boolean {
  const at = argv.indexOf('_boot-vm');
  return at !== -1 && argv[at + 1]?.startsWith(`${directory}/`) === true;
}

const LIFE_VERBS: readonly string[] = ['create', 'start', 'stop', 'delete'] satisfies LifeVerb[];

/** The program itself is the first word, or the second where an interpreter runs it. */
function lifeVerb(argv: readonly string[]): LifeVerb | undefined {
  const at = argv.indexOf('machine');
  const verb = argv[at + 1];
  return (at === 1 || at === 2) && verb !== undefined && LIFE_VERBS.includes(verb) ? (verb as LifeVerb) : undefined;
}

/** Where a script stands in for the program, its own name is the interpreter's. */
const isCallOn = (argv: readonly string[], state: string): boolean =>
  argv[0] === callName(state) || has(argv, '--state-dir', state);

const has = (argv: readonly string[], option: string, value: string): boolean =>
  argv.some((word, index) => word === option && argv[index + 1] === value);

async function hostProcesses(): Promise<HostProcess[]> {
  if (process.platform !== 'linux') return fromPs([]);
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  return (await Promise.all(pids.map(fromProc))).filter((each) => each !== undefined);
}

/** @returns undefined when there is none, also for one that has ended and waits to be told of */
async function fromProc(pid: number): Promise<HostProcess | undefined> {
  try {
    const [stat, line] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ]);
    // What follows the name, which may hold blanks and brackets: state, parent, ..., start in clock ticks since boot.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (line === '' || fields[0] === 'Z') return undefined;
    return { pid, started: fields[19] ?? '', argv: line.replace(/\0$/, '').split('\0') };
  } catch {
    return undefined;
  }
}

/** @param pids none: all */
async function fromPs(pids: readonly number[]): Promise<HostProcess[]> {
  const which = pids.length === 0 ? ['-A'] : ['-p', pids.join(',')];
  const { stdout } = await execa('ps', [...which, '-ww', '-o', 'pid=,lstart=,command='], {
    reject: false,
    stdin: 'ignore',
    env: { LC_ALL: 'C' },
  });
  return parsePs(stdout);
}

/** Arguments with blanks in them come apart, so a state directory must have none for `ps` to show its processes. */
export function parsePs(stdout: string): HostProcess[] {
  return stdout.split('\n').flatMap((line) => {
    const match = /^\s*(\d+)\s+(\w{3}\s+\w{3}\s+\d+ [\d:]{8} \d{4})\s+(.+)$/.exec(line);
    if (match === null) return [];
    const [, pid = '', started = '', command = ''] = match;
    return [{ pid: Number(pid), started, argv: command.trim().split(/ +/) }];
  });
}
