/** A place for smolvm's machines that no other test shares, and what removes all that was made there, also by killed calls. */
import { accessSync, constants, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { connectDocker } from '../../src/host/docker.ts';
import { LABEL } from '../fixtures/smolvm/containers.ts';
import { injectionFile } from '../fixtures/smolvm/injection.ts';
import { end } from '../fixtures/smolvm/process.ts';

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
    containers: async () => (await containersOf(directory)).map(({ Labels }) => Labels[LABEL.machine] ?? ''),
    dispose: async () => {
      await Promise.all(processesOf(directory).map(({ pid }) => end(pid, 0)));
      const docker = connectDocker();
      for (const { Id } of await containersOf(directory))
        await docker.getContainer(Id).remove({ force: true, v: true });
      rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
    },
  };
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
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    const argv = readArgv(Number(name));
    return argv.some((word) => word.startsWith(`${directory}/`)) ? [{ pid: Number(name), argv }] : [];
  });
}

function readArgv(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0$/, '').split('\0');
  } catch {
    return [];
  }
}

async function containersOf(directory: string) {
  const all = await connectDocker().listContainers({ all: true, filters: { label: [LABEL.state] } });
  return all.filter(({ Labels }) => Labels[LABEL.state]?.startsWith(`${directory}/`));
}
