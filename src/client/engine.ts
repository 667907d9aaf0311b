/** Makes sure that Temporal and a worker are there before a launch, starting our own where that is what is meant. */
import { serverStatus, startServer } from '../host/embedded-server.ts';
import { strandedHost } from '../host/host-pin.ts';
import type { Settings } from '../host/settings.ts';
import type { TemporalTarget } from '../host/temporal-target.ts';
import type { Output } from './output.ts';
import { openSession, type Session } from './session.ts';
import { matchWorker } from './worker-match.ts';
import { assertWorker, localWorkerServes } from './worker-presence.ts';

/**
 * A session with a worker behind it. On this host and with no other server configured, both are started if need be.
 * One that runs works with what this command has afterwards.
 * @param variables of the environment that matter to what is to be done
 * @throws BottleError `TEMPORAL_UNREACHABLE`, `WORKER_UNREACHABLE`, `WORKER_DIFFERS`, or why one of ours did not start
 */
export async function readyEngine(
  settings: Settings,
  target: TemporalTarget,
  host: string,
  output: Output,
  variables: readonly string[],
): Promise<Session> {
  if (target.kind === 'embedded') await ensureServer(settings, target, output);
  const session = await openSession(target);
  try {
    if (host === settings.host && target.kind === 'embedded') await ensureWorker(settings, target, output);
    else await assertWorker(session, settings, host);
    if (host === settings.host) await matchWorker(settings, output, variables);
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

async function ensureServer(settings: Settings, target: TemporalTarget, output: Output): Promise<void> {
  const { answers } = await serverStatus(settings);
  if (answers) return;
  const started = await startServer(settings, { detached: true, namespace: target.namespace });
  if (started.notice !== undefined) output.say(started.notice);
  if (!started.alreadyRunning) output.note(`started Temporal (embedded) on ${started.address}, UI ${started.uiUrl}`);
}

async function ensureWorker(settings: Settings, target: TemporalTarget, output: Output): Promise<void> {
  if (await localWorkerServes(settings, target)) return;
  const stranded = strandedHost(settings);
  if (stranded !== undefined) output.say(strandedText(settings, stranded));
  const { startWorker } = await import('./worker-process.ts');
  const { pid, alreadyRunning } = await startWorker(settings, { detached: true });
  if (!alreadyRunning) output.note(`started the worker of ${settings.host} (process ${pid})`);
}

/** Bottles of a name that this host does not go by now. */
export const strandedText = ({ host }: Settings, pinned: string): string =>
  `note: this host was called ${pinned} so far, and the bottles it has are served under that name only, not as ${host}: unset BOTTLE_HOST (or hosts.name in config.yaml)`;
