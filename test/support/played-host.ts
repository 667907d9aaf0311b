/**
 * A host whose activities are played: the real workflow on a real Temporal server, with bottles that are nothing but numbers.
 * For what only many launches' worth of history shows; what a step does to a real Engine is shown elsewhere.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ApplicationFailure, cancellationSignal, heartbeat } from '@temporalio/activity';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Loss } from '../../src/core/healing.ts';
import { taskQueueOf, waitingQueueOf } from '../../src/core/names.ts';
import { type BookChanges, NOTHING_ASKED, withChanges } from '../../src/core/request-book.ts';
import type { Ask, RequestView } from '../../src/core/requests.ts';
import type { BundleStepInput, MachineInput, StepReturn, WatchInput, WatchNews } from '../../src/core/step-io.ts';
import { temporalTarget } from '../../src/host/temporal-connection.ts';
import { FULL, plan } from '../unit/core/plan-fixture.ts';
import type { Installation } from './installation.ts';

/** What stands where a bottle would. */
export class PlayedBottle {
  /** What its bundle has said. */
  readonly #asked: WatchNews['asked'] = [];
  readonly #dead = new Set<'bundle' | 'machine.start'>();
  #wake = Promise.withResolvers<void>();
  /** What its bundle was given last. */
  requests: readonly RequestView[] = [];
  /** The version of the book that its host knows. */
  known = 0;
  /** Steps that fail as often. */
  readonly fails = new Map<string, number>();
  /** How often each step has run. */
  readonly runs = new Map<string, number>();

  ask(id: string, ask: Ask): void {
    this.#asked.push({ id, ask, askedAt: new Date().toISOString() });
    this.#tell();
  }

  kill(what: 'bundle' | 'machine.start'): void {
    this.#dead.add(what);
    this.#tell();
  }

  ran(step: string): void {
    this.runs.set(step, (this.runs.get(step) ?? 0) + 1);
    this.#dead.delete(step as 'bundle');
    const left = this.fails.get(step) ?? 0;
    if (left === 0) return;
    this.fails.set(step, left - 1);
    throw new Error(`${step} is played to fail`);
  }

  /** As the real one: what is gone, whatever a step that failed may say. */
  lost(): Loss {
    return { steps: [...this.#dead], why: {} };
  }

  takeRequests(book: BookChanges): void {
    // As src/host/kept-requests.ts.
    if (book.since > 0 && book.since !== this.known) {
      throw ApplicationFailure.create({ type: 'STATE_MISSING', message: 'played to be lost', nonRetryable: true });
    }
    this.requests = withChanges(book.since === 0 ? [] : this.requests, book);
    this.known = book.version;
  }

  /** As the real one: from where the last one ended, and what is dead now. */
  async watch({ cursor }: WatchInput, cancelled: AbortSignal): Promise<WatchNews> {
    const nothing: WatchNews = { steps: [], daemons: null, asked: [], refused: [], cursor };
    const over = Promise.withResolvers<never>();
    cancelled.addEventListener('abort', () => over.reject(cancelled.reason), { once: true });
    for (;;) {
      cancelled.throwIfAborted();
      if (this.#dead.size > 0) return { ...nothing, steps: [...this.#dead, 'check'] };
      const from = Number(cursor ?? 0);
      if (from < this.#asked.length) {
        return { ...nothing, asked: this.#asked.slice(from), cursor: String(this.#asked.length) };
      }
      await Promise.race([this.#wake.promise, over.promise, sleep(5000)]);
      heartbeat();
    }
  }

  #tell(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }
}

export interface PlayedHost {
  bottle(id: string): PlayedBottle;
  stop(): Promise<void>;
}

const at = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const PLAN = plan({ ...FULL, supervise: { maxPending: 10 } });
const NETWORK = {
  name: 'bottle-played',
  subnet: '10.214.0.0/28',
  gateway: '10.214.0.1',
  bundleIp: '10.214.0.2',
  machineIp: '10.214.0.3',
};
const RESULTS: Record<string, unknown> = {
  prepare: { plan: PLAN, uiUrl: null },
  network: NETWORK,
  bundle: { container: 'bottle-played-bundle', daemons: { pipelock: 'ready', supervise: 'ready' } },
};
const STEPS = [
  ...['prepare', 'network', 'bundle', 'machine.create', 'machine.start', 'provision.ca', 'provision.prompt'],
  ...['provision.skills', 'provision.git', 'provision.supervise', 'provision.agent', 'check'],
  ...['machine.stop', 'machine.delete', 'bundle.remove', 'network.remove', 'state.remove'],
];

/** A worker for an installation's host, in this process, from the sources. */
export async function playedHost(it: Installation): Promise<PlayedHost> {
  const quiet = new DefaultLogger('ERROR');
  Runtime.install({ logger: quiet, telemetryOptions: { logging: { forward: {} } } });
  const { address, namespace } = await temporalTarget(it.settings, it.env);
  const connection = await NativeConnection.connect({ address });
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: at('../../src/workflows/index.ts'),
    payloadConverterPath: at('../../src/workflows/payload-converter.ts'),
    logger: quiet,
  });
  const bottles = new Map<string, PlayedBottle>();
  const bottle = (id: string): PlayedBottle => {
    const known = bottles.get(id) ?? new PlayedBottle();
    bottles.set(id, known);
    return known;
  };
  const played = (step: string) => async (input: BundleStepInput) => {
    const which = bottle(input.bottle.id);
    which.ran(step);
    if (step === 'bundle') which.takeRequests(input.book ?? NOTHING_ASKED);
    return { attempt: 1, value: RESULTS[step] ?? null } satisfies StepReturn<unknown>;
  };
  const activities = {
    ...Object.fromEntries(STEPS.map((step) => [step, played(step)])),
    survey: async ({ bottle: { id } }: MachineInput) => ({ attempt: 1, value: bottle(id).lost() }),
    reread: async () => ({ attempt: 1, value: { plan: null, again: ['provision.prompt'] } }),
  };
  const watch = async (input: WatchInput) => ({
    attempt: 1,
    value: await bottle(input.bottle.id).watch(input, cancellationSignal()),
  });
  const taskQueue = taskQueueOf(it.settings.host);
  const common = { connection, namespace, shutdownForceTime: '2 seconds' } as const;
  const workers = await Promise.all([
    Worker.create({ ...common, taskQueue, workflowBundle, activities }),
    Worker.create({ ...common, taskQueue: waitingQueueOf(taskQueue), activities: { watch } }),
  ]);
  const running = workers.map((worker) => worker.run());
  return {
    bottle,
    stop: async () => {
      for (const worker of workers) worker.shutdown();
      await Promise.allSettled(running);
      await connection.close();
    },
  };
}
