/**
 * What is wrong with this host's own server and worker, in words, and how it is mended. A command that begins has them
 * started (`ensureServer`, `ensureWorker`); one that follows a launch has them looked at, and what died started again.
 */
import { BottleError } from '../core/errors.ts';
import { serverStatus, startServer, stopServer } from '../host/embedded-server.ts';
import { strandedHost } from '../host/host-pin.ts';
import type { Settings } from '../host/settings.ts';
import { wereStopped } from '../host/stopped-mark.ts';
import type { TemporalTarget } from '../host/temporal-target.ts';
import type { Output } from './output.ts';
import { sayIfSlow } from './say-if-slow.ts';
import { isSupervised } from './supervisor-lock.ts';
import { assertSamePlace, inTurn, lostVariables } from './worker-match.ts';
import { localWorkerServes, readLastWorker } from './worker-presence.ts';

export type Who = 'temporal' | 'worker';

export interface Trouble {
  /** One line: what is wrong, and what happens now. */
  text: string;
  /** Absent: it is not for us to mend. Gives a line that says what was done. */
  cure?: () => Promise<string>;
}

/** Many who follow launches in one process look at the same server and worker. */
const FRESH_MS = 250;
const SERVE = 'bottle serve --detach starts it';
export const BACK = { temporal: 'the Temporal server is back', worker: "the host's worker is back" } as const;

export class Keeper {
  readonly #settings: Settings;
  readonly #target: TemporalTarget;
  readonly #looks = new Map<Who, { at: number; found: Promise<Trouble | undefined> }>();
  readonly #cures = new Map<Who, Promise<string>>();
  #worker: Promise<void> | undefined;

  constructor(settings: Settings, target: TemporalTarget) {
    this.#settings = settings;
    this.#target = target;
  }

  /** Something is being started just now. */
  get isCuring(): boolean {
    return this.#cures.size > 0;
  }

  /** Undefined: well, or not ours to know. */
  look(who: Who): Promise<Trouble | undefined> {
    const last = this.#looks.get(who);
    if (last !== undefined && Date.now() - last.at < FRESH_MS) return last.found;
    const found = who === 'worker' ? this.#lookAtWorker() : this.#lookAtServer();
    this.#looks.set(who, { at: Date.now(), found });
    return found;
  }

  /**
   * The worker of this host, started where it does not run; once, however many of this process ask.
   * @throws BottleError `WORKER_FAILED`, `WORKER_UNREACHABLE` when the one that runs serves another server,
   *   `WORKER_DIFFERS` when bottles depend on what the last one worked with
   */
  ensureWorker(output: Output): Promise<void> {
    this.#worker ??= this.#ensureWorker(output).catch((error: unknown) => {
      this.#worker = undefined;
      throw error;
    });
    return this.#worker;
  }

  async #ensureWorker(output: Output): Promise<void> {
    const settings = this.#settings;
    if (await localWorkerServes(settings, this.#target)) return;
    const stranded = strandedHost(settings);
    if (stranded !== undefined) output.say(strandedText(settings, stranded));
    const line = await sayIfSlow(output, `starting the worker of ${settings.host}`, () => this.#startWorker());
    if (line !== undefined) output.note(line);
  }

  async #lookAtServer(): Promise<Trouble | undefined> {
    const settings = this.#settings;
    if (this.#target.kind !== 'embedded') return undefined;
    const { pid, answers, address } = await serverStatus(settings);
    if (answers) return undefined;
    const what = `the Temporal server of this host (${address})`;
    if (wereStopped(settings)) return { text: `${what} was stopped; waiting for it (${SERVE})` };
    if (pid !== null) return { text: `${what} runs (process ${pid}) but does not answer; waiting for it` };
    if (isSupervised(settings)) return { text: `${what} is gone; waiting for the bottle serve that starts it again` };
    return {
      text: `${what} is gone; starting it again`,
      cure: () => this.#once('temporal', () => this.#startServer()),
    };
  }

  async #lookAtWorker(): Promise<Trouble | undefined> {
    const settings = this.#settings;
    if (await localWorkerServes(settings, this.#target).catch(() => false)) return undefined;
    const what = `the worker of this host (${settings.host})`;
    if (wereStopped(settings)) return { text: `${what} was stopped; waiting for it (${SERVE})` };
    if (this.#target.kind !== 'embedded') return { text: `${what} is gone; waiting for it (${SERVE})` };
    if (isSupervised(settings)) return { text: `${what} is gone; waiting for the bottle serve that starts it again` };
    return {
      text: `${what} is gone; starting a new one`,
      cure: () => this.#once('worker', async () => (await this.#startWorker(true)) ?? BACK.worker),
    };
  }

  #once(who: Who, cure: () => Promise<string>): Promise<string> {
    const running = this.#cures.get(who);
    if (running !== undefined) return running;
    const curing = cure().finally(() => this.#cures.delete(who));
    this.#cures.set(who, curing);
    return curing;
  }

  async #startServer(): Promise<string> {
    const settings = this.#settings;
    const { namespace } = this.#target;
    const started = await this.#unlessStopped(
      () => startServer(settings, { detached: true, namespace, revives: true }),
      () => stopServer(settings),
    );
    return started.alreadyRunning ? BACK.temporal : startedServerText(started);
  }

  /** A person may stop it between the look and the cure, or over the cure: then it stays stopped. */
  async #unlessStopped<Started extends { alreadyRunning: boolean }>(
    start: () => Promise<Started>,
    stop: () => Promise<unknown>,
  ): Promise<Started> {
    const wanted = (): void => {
      if (wereStopped(this.#settings))
        throw new BottleError('WORKER_UNREACHABLE', 'it was stopped meanwhile', { hint: SERVE });
    };
    wanted();
    const started = await start();
    if (wereStopped(this.#settings) && !started.alreadyRunning) await stop();
    wanted();
    return started;
  }

  /**
   * @param revives whether it has died, and is not asked for by a command that begins
   * @returns undefined when somebody else has started it
   */
  async #startWorker(revives = false): Promise<string | undefined> {
    const settings = this.#settings;
    // Nor while another command has stopped one to start it anew.
    return inTurn(settings, async () => {
      if (await localWorkerServes(settings, this.#target)) return undefined;
      const last = await readLastWorker(settings);
      if (last !== undefined) assertSamePlace(settings, last);
      const lost = last === undefined ? [] : await lostVariables(settings, last);
      const { startWorker, stopWorker } = await import('./worker-process.ts');
      const start = () => startWorker(settings, this.#target, { detached: true, revives });
      const { pid, alreadyRunning } = revives
        ? await this.#unlessStopped(start, () => stopWorker(settings))
        : await start();
      if (alreadyRunning) return undefined;
      const without = lost.length === 0 ? '' : `, without ${lost.join(', ')}, which the last one had (${RESTART_WITH})`;
      return `started the worker of ${settings.host} (process ${pid})${without}`;
    });
  }
}

const RESTART_WITH = 'bottle serve --restart gives it what your shell has then';

/** @throws BottleError `TOOL_MISSING`, `SERVER_FAILED` */
export async function ensureServer(settings: Settings, target: TemporalTarget, output: Output): Promise<void> {
  const { answers } = await serverStatus(settings);
  if (answers) return;
  const starting = `starting Temporal (embedded) on ${target.address}`;
  const started = await sayIfSlow(output, starting, () =>
    startServer(settings, { detached: true, namespace: target.namespace }),
  );
  if (started.notice !== undefined) output.say(started.notice);
  if (!started.alreadyRunning) output.note(startedServerText(started));
}

const startedServerText = ({ address, uiUrl }: { address: string; uiUrl: string }): string =>
  `started Temporal (embedded) on ${address}, UI ${uiUrl}`;

/** Bottles of a name that this host does not go by now. */
export const strandedText = ({ host }: Settings, pinned: string): string =>
  `note: this host was called ${pinned} so far, and the bottles it has are served under that name only, not as ${host}: unset BOTTLE_HOST (or hosts.name in config.yaml)`;
