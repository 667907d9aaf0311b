/** `bottle serve`: the embedded Temporal server (unless another one is configured) and this host's worker. */
import { existsSync } from 'node:fs';
import { BottleError } from '../../core/errors.ts';
import { assertRoom } from '../../host/disk.ts';
import { startServer, stopServer } from '../../host/embedded-server.ts';
import { strandedHost } from '../../host/host-pin.ts';
import type { Settings } from '../../host/settings.ts';
import { markStopped } from '../../host/stopped-mark.ts';
import { type TemporalTarget, temporalTarget } from '../../host/temporal-target.ts';
import type { Context } from '../context.ts';
import { overDeaths } from '../engine.ts';
import { strandedText } from '../keeper.ts';
import { sayIfSlow } from '../say-if-slow.ts';
import { assertTakenOver, differenceText, inTurn, RESTART_HINT, variablesOfBottles } from '../worker-match.ts';
import { startWorker, stopWorker } from '../worker-process.ts';

const ENDING = 'waiting for the worker to end; the steps that it runs may end first, for a minute at most';

export interface ServeOptions {
  detach?: boolean;
  stop?: boolean;
  restart?: boolean;
}

/** One part of what is served, as told to people and in --json. */
interface Part {
  pid: number;
  alreadyRunning: boolean;
  log: string;
}

export async function run(context: Context, options: ServeOptions): Promise<number> {
  if (options.detach === true && options.stop === true) {
    throw new BottleError('USAGE', '--detach and --stop exclude each other');
  }
  if (options.restart === true && options.stop === true)
    throw new BottleError('USAGE', '--restart and --stop exclude each other');
  if (options.stop === true) return stop(context);
  const target = await temporalTarget(context.settings);
  if (options.restart === true) return restart(context, target);
  if (options.detach === true) return detach(context, target);
  if (context.output.flags.json) throw new BottleError('USAGE', '--json needs --detach, --restart or --stop');
  const { serveInForeground } = await import('../foreground.ts');
  return serveInForeground(context, target);
}

/** The worker alone: the server has nothing of the environment that matters, and every launch rides this out. */
async function restart(context: Context, target: TemporalTarget): Promise<number> {
  const { settings } = context;
  return inTurn(settings, async () => {
    await sayIfSlow(context.output, ENDING, () => stopWorker(settings));
    const code = await detach(context, target);
    await assertTakenOver(settings, await variablesOfBottles(settings));
    return code;
  });
}

async function detach({ output, settings }: Context, target: TemporalTarget): Promise<number> {
  assertRoom({ state: settings.state });
  const stranded = strandedHost(settings);
  if (stranded !== undefined) output.say(strandedText(settings, stranded));
  const { server, worker } = await overDeaths(target, async () => {
    const running = target.kind === 'embedded' ? await detachedServer(settings, target, output.say) : null;
    const serving: Part = await sayIfSlow(output, `starting the worker of ${settings.host}`, () =>
      startWorker(settings, target, { detached: true }),
    );
    return { server: running, worker: serving };
  });
  const differs = worker.alreadyRunning ? await differenceText(settings) : undefined;
  const document = {
    address: target.address,
    namespace: target.namespace,
    uiUrl: target.uiBase,
    host: settings.host,
    server,
    worker: {
      pid: worker.pid,
      alreadyRunning: worker.alreadyRunning,
      log: worker.log,
      ...(differs === undefined ? {} : { differs }),
    },
  };
  if (differs !== undefined) output.say(`note: the worker that runs is not as you are: ${differs}; ${RESTART_HINT}`);
  output.result(document, () =>
    [
      server === null
        ? `Temporal   ${target.address} (external, left alone)`
        : `Temporal   ${target.address} (embedded), process ${server.pid}${already(server)}, log ${server.log}`,
      ...(target.uiBase === null ? [] : [`UI         ${target.uiBase}`]),
      `worker     ${settings.host}, process ${worker.pid}${already(worker)}, log ${worker.log}`,
    ].join('\n'),
  );
  return 0;
}

const already = ({ alreadyRunning }: Part): string => (alreadyRunning ? ' (was running already)' : '');

async function detachedServer(settings: Settings, target: TemporalTarget, say: (line: string) => void): Promise<Part> {
  const { pid, alreadyRunning, notice } = await startServer(settings, { detached: true, namespace: target.namespace });
  if (notice !== undefined) say(notice);
  return { pid, alreadyRunning, log: `${settings.state}/log/server.log` };
}

/** The worker first: it tells the server that it goes. */
async function stop({ output, settings }: Context): Promise<number> {
  if (existsSync(settings.state)) markStopped(settings);
  const worker = await sayIfSlow(output, ENDING, () => stopWorker(settings));
  const server = await sayIfSlow(output, 'waiting for the Temporal server to end', () => stopServer(settings));
  output.result({ worker, server }, () =>
    worker === 'not-running' && server === 'not-running'
      ? 'nothing was running'
      : [`worker     ${words(worker)}`, `Temporal   ${words(server)}`].join('\n'),
  );
  if (worker !== 'not-running' || server !== 'not-running') {
    output.note('bottles stay as they are; their launches go on with the next bottle serve');
  }
  return 0;
}

const words = (how: string): string => (how === 'not-running' ? 'was not running' : how);
