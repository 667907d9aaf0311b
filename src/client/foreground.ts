/** `bottle serve` in the foreground: server and worker as children, their logs on stderr, restarted when they die. */
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { startServer, stopServer } from '../host/embedded-server.ts';
import { markStopped } from '../host/stopped-mark.ts';
import type { TemporalTarget } from '../host/temporal-target.ts';
import type { Context } from './context.ts';
import { followFile } from './follow-file.ts';
import { clean } from './render/text.ts';
import { viewOf } from './report-error.ts';
import { takeSupervisorLock } from './supervisor-lock.ts';
import { startWorker, stopWorker, workerLog } from './worker-process.ts';

const BACK_OFF_MS = { first: 500, most: 30_000 };
/** One that ran this long was well; its next end starts the back-off anew. */
const WELL_MS = 60_000;

interface Child {
  name: string;
  /** `exited` tells how it ended; absent when it was running before and is not ours to restart. */
  start(): Promise<{ exited?: Promise<string> }>;
}

/** Returns when Ctrl-C or SIGTERM has stopped what was started here. */
export async function serveInForeground({ output, settings }: Context, target: TemporalTarget): Promise<number> {
  const controller = new AbortController();
  const { signal } = controller;
  const interrupt = (): void => controller.abort();
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const say = (name: string, line: string): void => {
    if (line !== '') output.say(`${output.errColours.dim(`${name} |`)} ${line}`);
  };
  const started = new Set<string>();

  const children: Child[] = [
    ...(target.kind === 'embedded'
      ? [
          {
            name: 'temporal',
            start: async () => {
              const server = await startServer(settings, { detached: false, namespace: target.namespace });
              if (server.notice !== undefined) say('temporal', server.notice);
              const how = server.alreadyRunning ? 'was running already and is left alone' : 'started';
              say('temporal', `${how}: ${server.address}, UI ${server.uiUrl}, process ${server.pid}`);
              if (!server.alreadyRunning) started.add('temporal');
              return server;
            },
          },
        ]
      : []),
    {
      name: 'worker',
      start: async () => {
        const worker = await startWorker(settings, target, { detached: false });
        const how = worker.alreadyRunning ? 'was running already and is left alone' : 'started';
        say('worker', `${how}: serves ${settings.host}, process ${worker.pid}`);
        if (!worker.alreadyRunning) started.add('worker');
        return worker;
      },
    },
  ];
  const logs = [
    followFile(path.join(settings.state, 'log', 'server.log'), (line) => say('temporal', clean(line)), signal),
    followFile(workerLog(settings), (line) => say('worker', logLine(line)), signal),
  ];
  const running: Promise<void>[] = [];
  const lock = await takeSupervisorLock(settings);
  try {
    for (const child of children) {
      // The first start must work; what fails later is tried again.
      const { exited } = await child.start();
      running.push(keepRunning(child, exited, signal, say));
      if (signal.aborted) break;
    }
    if (!signal.aborted) say('bottle', 'ready; Ctrl-C stops it, and leaves all bottles as they are');
    await aborted(signal);
  } finally {
    controller.abort();
    if (started.size > 0) markStopped(settings);
    // The worker first: it tells the server that it goes.
    if (started.has('worker')) say('worker', await stopWorker(settings));
    if (started.has('temporal')) say('temporal', await stopServer(settings));
    lock?.release();
    await Promise.all([...running, ...logs]);
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
  say('bottle', 'bottles stay as they are; their launches go on with the next bottle serve');
  return 0;
}

async function keepRunning(
  child: Child,
  first: Promise<string> | undefined,
  signal: AbortSignal,
  say: (name: string, line: string) => void,
): Promise<void> {
  let exited = first;
  let delay = BACK_OFF_MS.first;
  let since = Date.now();
  while (exited !== undefined) {
    const how = await Promise.race([exited, aborted(signal)]);
    if (signal.aborted) return;
    if (Date.now() - since > WELL_MS) delay = BACK_OFF_MS.first;
    say(child.name, `${how}; starting it again`);
    exited = undefined;
    while (exited === undefined && !signal.aborted) {
      await sleep(delay, undefined, { signal }).catch(() => undefined);
      delay = Math.min(delay * 2, BACK_OFF_MS.most);
      if (signal.aborted) return;
      try {
        since = Date.now();
        ({ exited } = await child.start());
        if (exited === undefined) return;
      } catch (error) {
        const { code, message } = viewOf(error);
        say(child.name, `error[${code}]: ${clean(message)}`);
      }
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  else signal.addEventListener('abort', () => resolve(), { once: true });
  return promise;
}

const LEVELS: Record<number, string> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' };

/** A line of pino's JSON as a person reads it; any other line as it is. */
export function logLine(line: string): string {
  try {
    const { level, msg, time, ...rest } = JSON.parse(line) as Record<string, unknown>;
    if (typeof msg !== 'string') return clean(line);
    const facts = Object.entries(rest)
      .filter(([key, value]) => key !== 'pid' && key !== 'hostname' && typeof value !== 'object')
      .map(([key, value]) => ` ${key}=${String(value)}`)
      .join('');
    const at =
      typeof time === 'number' || typeof time === 'string' ? `${new Date(time).toISOString().slice(11, 19)} ` : '';
    return clean(`${at}${LEVELS[Number(level)] ?? String(level)} ${msg}${facts}`);
  } catch {
    return clean(line);
  }
}
