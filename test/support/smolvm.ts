/** A place for smolvm's machines that no other test shares, and what removes all that was made there, also by killed calls. */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
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

export interface Turnstile {
  /** To be first on PATH. */
  readonly folder: string;
  /** From now on the next such call on that machine stands still, before it has done anything. */
  arm(verb: string, machine: string): void;
  /** Resolves when it stands. */
  caught(seconds?: number): Promise<CaughtCall>;
}

/**
 * A script in front of a smolvm program. Most calls last some milliseconds only, in which nobody can be killed for sure;
 * here one stands still until it is let on, and then is the program itself, in the same process.
 */
export function turnstile(folder: string, program: string): Turnstile {
  const [armed, standing] = ['armed', 'standing'].map((file) => path.join(folder, file)) as [string, string];
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'smolvm'), turnstileScript(armed, standing, program), { mode: 0o755 });
  return {
    folder,
    arm: (verb, machine) => {
      rmSync(standing, { force: true });
      writeFileSync(armed, `${verb} ${machine}\n`);
    },
    caught: async (seconds = 60) => {
      for (const until = Date.now() + seconds * 1000; Date.now() < until; await sleep(5)) {
        const pid = existsSync(standing) ? Number(readFileSync(standing, 'utf8')) : 0;
        if (pid > 0 && isStopped(pid)) return { pid, goOn: () => signal(pid, 'SIGCONT') };
      }
      throw new Error(`no such call within ${seconds} s: ${readFileSync(armed, 'utf8')}`);
    },
  };
}

const turnstileScript = (armed: string, standing: string, program: string): string => `#!/bin/sh
if [ -e '${armed}' ]; then
  read -r verb machine <'${armed}'
  case "$2 $* " in
  "$verb "*" --name $machine "*)
    rm '${armed}'
    echo $$ >'${standing}'
    kill -STOP $$
    ;;
  esac
fi
exec '${program}' "$@"
`;

/** By a signal, and not by anything else yet. */
const isStopped = (pid: number): boolean => {
  try {
    return /\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};

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
