/** Makes sure that Temporal and a worker are there before a launch, starting our own where that is what is meant. */
import { serverStatus, startServer } from '../host/embedded-server.ts';
import type { Settings } from '../host/settings.ts';
import type { TemporalTarget } from '../host/temporal-target.ts';
import type { Output } from './output.ts';
import { openSession, type Session } from './session.ts';
import { assertWorker, localWorkerServes } from './worker-presence.ts';

/**
 * A session with a worker behind it. On this host and with no other server configured, both are started if need be.
 * @throws BottleError `TEMPORAL_UNREACHABLE`, `WORKER_UNREACHABLE`, or why one of ours did not start
 */
export async function readyEngine(
  settings: Settings,
  target: TemporalTarget,
  host: string,
  output: Output,
): Promise<Session> {
  if (target.kind === 'embedded') await ensureServer(settings, target, output);
  const session = await openSession(target);
  try {
    if (host === settings.host && target.kind === 'embedded') await ensureWorker(settings, target, output);
    else await assertWorker(session, settings, host);
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
  const { startWorker } = await import('./worker-process.ts');
  const { pid, alreadyRunning } = await startWorker(settings, { detached: true });
  if (!alreadyRunning) output.note(`started the worker of ${settings.host} (process ${pid})`);
}
