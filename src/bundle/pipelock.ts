/** The real pipelock as a child of init: its configuration is a file, and its readiness its own answer to /health. */
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Listen, PipelockConfig } from '../core/bundle-config.ts';
import { PIPELOCK_DIRECTORY } from '../core/daemons.ts';
import { fixedPart } from '../core/pipelock-yaml.ts';
import type { Feed } from './feed.ts';
import { type PipelockUser, writePipelockFiles } from './pipelock-files.ts';

/** Beside its own directory, and only init's to write: pipelock itself may read it. */
const CONFIG_FILE = `${dirname(PIPELOCK_DIRECTORY)}/pipelock.yaml`;

/** It has its configuration checked, and becomes pipelock. */
export const PIPELOCK_ARGV = [
  'sh',
  '-c',
  'umask 077 && pipelock check --config "$1" >/dev/null && exec pipelock run --config "$1"',
  'sh',
  CONFIG_FILE,
] as const;

const POLL_MS = 10;
/** A process that was told to end closes its door at once, and then lets what it still does come to an end. */
const DOOR_MS = 3000;
/** It takes a changed file within a tenth of a second, or says why not. */
const RELOAD_MS = 2000;
/** It watches the file and hears the signal, a tenth of a second apart at most: the one may be told after the other. */
const SETTLED_MS = 300;
const LONGEST_LINE = 64 * 1024;

type Real = Extract<PipelockConfig, { kind: 'pipelock' }>;

const running = new WeakMap<ChildProcess, Real>();
/** Over when the last change that was asked of it is settled. */
const reloading = new WeakMap<ChildProcess, Promise<void>>();

/** @param file where its configuration is written */
export const pipelockFeed = (user: PipelockUser, file = CONFIG_FILE): Feed => ({
  async prepare(config) {
    const { yaml, listen, ...certificates } = config as Real;
    writeFileSync(file, yaml, { mode: 0o644 });
    await writePipelockFiles(user, certificates);
    const end = Date.now() + DOOR_MS;
    while ((await isOpen(listen)) && Date.now() < end) await sleep(POLL_MS);
  },
  first(child, config, taken) {
    const { listen } = config as Real;
    running.set(child, config as Real);
    void (async () => {
      while (child.exitCode === null && child.signalCode === null) {
        if (await isHealthy(listen)) {
          taken();
          return;
        }
        await sleep(POLL_MS);
      }
    })();
  },
  next(child, config, taken, refused) {
    const before = running.get(child);
    const after = config as Real;
    if (before === undefined || !isDeepStrictEqual(fixed(before), fixed(after))) return false;
    running.set(child, after);
    // In turn: it does not say which change it has taken, so there is never more than one on its way.
    const turn = (reloading.get(child) ?? Promise.resolve()).then(() => reload(child, file, after.yaml));
    reloading.set(
      child,
      turn.then(() => sleep(SETTLED_MS)),
    );
    void turn.then((isTaken) => (isTaken ? taken : refused)());
    return true;
  },
});

/** Writes the changed file and has it read. @returns whether it was taken in time */
async function reload(child: ChildProcess, file: string, yaml: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let said = '';
  const onOutput = (text: Buffer | string): void => {
    said = (said + text).slice(-LONGEST_LINE);
    if (said.includes('"event":"config_reload","status":"success"')) resolve(true);
  };
  const timer = setTimeout(() => resolve(false), RELOAD_MS);
  child.stdout?.on('data', onOutput);
  writeFileSync(file, yaml, { mode: 0o644 });
  child.kill('SIGHUP');
  return promise.finally(() => {
    clearTimeout(timer);
    child.stdout?.off('data', onOutput);
  });
}

/** What a process keeps until its end: it reads certificates once. */
const fixed = (config: Real) => ({ ...config, yaml: fixedPart(config.yaml) });

function isOpen({ host, port }: Listen): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

function isHealthy({ host, port }: Listen): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host, port, path: '/health', agent: false, timeout: 1000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(false));
  });
}
