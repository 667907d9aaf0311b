/**
 * A machine without a network: sockets of the host that smolvm mounts into it, the process behind them, and what in the
 * machine makes ports of its loopback of them. (smolvm's `--mount-socket`; its sources carry half-closed connections too.)
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { BottleError } from '../../../core/errors.ts';
import { BUNDLE_PORTS, LOOPBACK } from '../../../core/machine-link.ts';
import { bundleName, machineName } from '../../../core/names.ts';
import { programFile } from '../../package-root.ts';
import { type Settings, stateDirectory } from '../../settings.ts';
import { type HostProcess, killProcess, processesWith } from './processes.ts';

const FOLDER = 'vm-links';
const ADDRESS = 'bundle-address';
const IN_MACHINE = '/run/bottle';
const PROGRAM = programFile('host/machine/smolvm/relay-process');
/** Of whichever version of bottle, from wherever. */
const RELAY = /\/relay-process\.[jt]s$/;
const LISTENS_MS = 10_000;
const POLL_MS = 20;

/** Short, since the paths of sockets must be. */
export function linkDirectory({ state }: Pick<Settings, 'state'>, machine: string): string {
  return path.join(state, FOLDER, createHash('sha256').update(machine).digest('hex').slice(0, 16));
}

/** Options of `machine create`. They come instead of every option for a network: without any, a machine has none. */
export const socketOptions = (directory: string): string[] =>
  BUNDLE_PORTS.flatMap((port) => ['--mount-socket', `${path.join(directory, String(port))}:${IN_MACHINE}/${port}`]);

/**
 * What the machine runs instead of nothing. An end that one side has said keeps the other open (`-t`, in seconds) as long
 * as an answer may take.
 */
export const LISTEN_IN_MACHINE = `for port in ${BUNDLE_PORTS.join(' ')}; do
  socat -t 86400 "TCP-LISTEN:$port,bind=${LOOPBACK},fork,reuseaddr,nodelay" "UNIX-CONNECT:${IN_MACHINE}/$port" &
done
exec sleep infinity`;

/** Succeeds, in the machine, when all of that listens. */
export const IS_LISTENING = BUNDLE_PORTS.map(
  (port) => `grep -q ":${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A" /proc/net/tcp`,
).join(' && ');

/** Whether the machine was made to have no network. */
export const hasLink = (settings: Pick<Settings, 'state'>, machine: string): boolean =>
  existsSync(linkDirectory(settings, machine));

/** @param address of the bundle, kept for every start */
export function makeLink(settings: Pick<Settings, 'state'>, machine: string, address: string): void {
  stateDirectory(settings, FOLDER);
  const directory = linkDirectory(settings, machine);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(path.join(directory, ADDRESS), address, { mode: 0o600 });
}

/** The processes behind a machine's sockets: one, or none. */
export const relays = (settings: Pick<Settings, 'state'>, machine: string): Promise<HostProcess[]> =>
  processesWith(RELAY, linkDirectory(settings, machine));

const socketsOf = (directory: string): string[] => BUNDLE_PORTS.map((port) => path.join(directory, String(port)));

/** Whether a machine's sockets are there and a process stands behind them. */
export async function isLinked(settings: Pick<Settings, 'state'>, machine: string): Promise<boolean> {
  const listens = socketsOf(linkDirectory(settings, machine)).every((socket) => existsSync(socket));
  return listens && (await relays(settings, machine)).length > 0;
}

/**
 * Ensures that somebody listens on the sockets of a bottle's machine, for as long as nobody ends it: it outlives this process.
 * To be called with the machine's lock held.
 * @throws BottleError `MACHINE_START_FAILED`
 */
export async function ensureRelay(settings: Pick<Settings, 'state'>, id: string): Promise<void> {
  const machine = machineName(id);
  if (await isLinked(settings, machine)) return;
  // One whose sockets are not there listens where nobody can dial: it was killed half-way into its start, or they were removed.
  await endRelay(settings, machine);
  const directory = linkDirectory(settings, machine);
  const sockets = socketsOf(directory);
  await Promise.all(sockets.map((socket) => rm(socket, { force: true })));
  const args = [PROGRAM, directory, bundleName(id), await readFile(path.join(directory, ADDRESS), 'utf8')];
  const child = spawn(process.execPath, args, { cwd: '/', env: relayEnvironment(), detached: true, stdio: 'ignore' });
  child.once('error', () => undefined);
  child.unref();
  const end = Date.now() + LISTENS_MS;
  while (!sockets.every((socket) => existsSync(socket))) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > end) {
      await endRelay(settings, machine);
      throw new BottleError('MACHINE_START_FAILED', `nobody listens on the sockets of ${machine} in ${directory}`, {
        hint: `bottle doctor; or try: ${process.execPath} ${args.join(' ')}`,
      });
    }
    await sleep(POLL_MS);
  }
}

/** What leads to the Engine, and nothing else of the worker's environment. */
const relayEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^(PATH|HOME|XDG_RUNTIME_DIR|SSH_AUTH_SOCK|DOCKER_\w+)$/.test(name)),
  );

/** Ensures that nobody listens. */
export async function endRelay(settings: Pick<Settings, 'state'>, machine: string): Promise<void> {
  for (const each of await relays(settings, machine)) await killProcess(each);
}

/** Ensures that there is neither the process nor its sockets. */
export async function removeLink(settings: Pick<Settings, 'state'>, machine: string): Promise<void> {
  await endRelay(settings, machine);
  await rm(linkDirectory(settings, machine), { recursive: true, force: true });
}
