/** A place for smolvm's machines that no other test shares, and what removes all that was made there, also by killed calls. */
import { accessSync, constants, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setImmediate as immediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectDocker } from '../../src/host/docker.ts';
import { LABEL } from '../fixtures/smolvm/containers.ts';
import { injectionFile } from '../fixtures/smolvm/injection.ts';
import { end, signal } from '../fixtures/smolvm/process.ts';

/** The stand-in's program, test/fixtures/smolvm. */
export const standIn: string = fileURLToPath(new URL('../fixtures/smolvm/smolvm', import.meta.url));

export interface SmolvmSite {
  /** Absolute and short: a state directory in it leaves room for smolvm's sockets. */
  readonly directory: string;
  /** Failures and delays on purpose from now on, such as `start:exit delete:slow=500`; see the stand-in's injection.ts. */
  wish(state: string, words: string): void;
  /** Whatever has been left running below the directory: booted machines, and calls that nobody waits for. */
  processes(): { pid: number; argv: string[] }[];
  /** Names of the stand-in's containers for machines below the directory, running or not. */
  containers(): Promise<string[]>;
  /** Ends and removes all of it. */
  dispose(): Promise<void>;
}

export function smolvmSite(): SmolvmSite {
  const directory = mkdtempSync('/tmp/bsv-');
  return {
    directory,
    wish: (state, words) => writeFileSync(injectionFile(state), words),
    processes: () => processesOf(directory),
    containers: () => guestsOf(directory),
    dispose: async () => {
      await endMachines(directory);
      rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** Ends what runs in or below a state directory, whichever smolvm has begun it, and removes the stand-in's containers. */
export async function endMachines(directory: string): Promise<void> {
  await Promise.all(processesOf(directory).map(({ pid }) => end(pid, 0)));
  const docker = connectDocker();
  for (const { Id } of await containersOf(directory)) await docker.getContainer(Id).remove({ force: true, v: true });
}

/** Names of the stand-in's containers for machines of a state directory, or of those below, running or not. */
export async function guestsOf(directory: string): Promise<string[]> {
  return (await containersOf(directory)).map(({ Labels }) => Labels[LABEL.machine] ?? '');
}

export interface CaughtCall {
  pid: number;
  /** Lets it go on, if it still is there. */
  goOn(): void;
}

/**
 * Waits for a call of smolvm that is yet to come, and stops it where it stands: most last some milliseconds only, and
 * this way whoever waits for it can be killed in it.
 */
export async function catchCall(state: string, machine: string, verb: string, seconds = 60): Promise<CaughtCall> {
  const before = new Set(pids());
  for (const until = Date.now() + seconds * 1000; Date.now() < until; await immediate()) {
    for (const pid of pids()) {
      if (before.has(pid) || !isCall(readArgv(pid), state, machine, verb)) continue;
      signal(pid, 'SIGSTOP');
      if (isCall(readArgv(pid), state, machine, verb)) return { pid, goOn: () => signal(pid, 'SIGCONT') };
    }
  }
  throw new Error(`no machine ${verb} of ${machine} within ${seconds} s`);
}

function isCall(argv: readonly string[], state: string, machine: string, verb: string): boolean {
  const at = argv.indexOf('machine');
  return at !== -1 && argv[at + 1] === verb && argv.includes(state) && argv.includes(machine);
}

/** Why the stand-in can have no guests on this host; undefined when it can. */
export function standInTrouble(): string | undefined {
  if (process.platform !== 'linux') return "needs Linux, for the network namespaces of the stand-in's guests";
  if (process.getuid?.() !== 0) return "needs root, for the network rules of the stand-in's guests";
  const missing = ['nsenter', 'iptables-restore'].filter((program) => !isOnPath(program));
  return missing.length === 0 ? undefined : `needs ${missing.join(' and ')} on PATH`;
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(path.delimiter).some((folder) => {
    try {
      accessSync(path.join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** By what stands in their command lines, as nobody else has these. */
function processesOf(directory: string): { pid: number; argv: string[] }[] {
  return pids().flatMap((pid) => {
    if (pid === process.pid) return [];
    const argv = readArgv(pid);
    return argv.some((word) => isWithin(word, directory)) ? [{ pid, argv }] : [];
  });
}

const pids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

const isWithin = (file: string, directory: string): boolean => file === directory || file.startsWith(`${directory}/`);

function readArgv(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0$/, '').split('\0');
  } catch {
    return [];
  }
}

async function containersOf(directory: string) {
  const all = await connectDocker().listContainers({ all: true, filters: { label: [LABEL.state] } });
  return all.filter(({ Labels }) => isWithin(Labels[LABEL.state] ?? '', directory));
}
