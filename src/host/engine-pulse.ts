/**
 * Whether an Engine answers at all. One that has died breaks its connections; one that stands still (a stopped process, a frozen
 * virtual machine, a lost network) breaks none, and whoever waits for it would wait without a word.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { errorView } from '../core/errors.ts';
import { noAnswer } from './docker-connection.ts';

/** Between two questions, however many ask whether it is there. */
const BETWEEN_MS = 10_000;
/** An Engine that is busy answers within milliseconds. */
const PATIENCE_MS = 5000;

const asking = new WeakMap<Dockerode, Promise<void>>();

/**
 * Asks the Engine for a sign of life, twice when there is none in time: whoever has stood still itself, as a computer that slept,
 * finds the first answer too late. All who ask at the same time share the answer.
 * @param patienceMs for each of the two
 * @throws BottleError `DOCKER_UNREACHABLE`, within some ten seconds
 */
export function assertAnswers(docker: Dockerode, patienceMs: number = PATIENCE_MS): Promise<void> {
  const asked = asking.get(docker) ?? ask(docker, patienceMs).finally(() => asking.delete(docker));
  asking.set(docker, asked);
  return asked;
}

async function ask(docker: Dockerode, patienceMs: number): Promise<void> {
  if (!(await answersInTime(docker, patienceMs)) && !(await answersInTime(docker, patienceMs))) throw noAnswer(docker);
}

/** @throws BottleError `DOCKER_UNREACHABLE` where the connection itself fails; any other refusal is an answer */
async function answersInTime(docker: Dockerode, patienceMs: number): Promise<boolean> {
  const over = new AbortController();
  const answer = ping(docker, over.signal).then(
    () => true,
    (error: unknown) => {
      if (errorView(error).code === 'DOCKER_UNREACHABLE') throw error;
      return true;
    },
  );
  try {
    return await Promise.race([answer, sleep(patienceMs, false, { signal: over.signal })]);
  } finally {
    // Whichever was later is of no interest, and fails by this.
    answer.catch(() => undefined);
    over.abort();
  }
}

/** Its types do not know that it can be ended. */
const ping = (docker: Dockerode, abortSignal: AbortSignal): Promise<unknown> =>
  (docker.ping as (this: Dockerode, options: object) => Promise<unknown>).call(docker, { abortSignal });

type Listener = (silence: unknown) => void;

const listening = new WeakMap<Dockerode, Set<Listener>>();

/**
 * Rejects once the Engine is silent: within half a minute. All who listen in a process share its questions.
 * @param ended ends the listening; it never settles then
 * @throws BottleError `DOCKER_UNREACHABLE`
 */
export function untilSilent(docker: Dockerode, ended: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  if (ended.aborted) return promise;
  const known = listening.get(docker);
  const listeners = known ?? new Set<Listener>();
  listeners.add(reject);
  ended.addEventListener('abort', () => listeners.delete(reject), { once: true });
  if (known === undefined) {
    listening.set(docker, listeners);
    void askNowAndThen(docker, listeners);
  }
  return promise;
}

/** Until nobody listens any more. */
async function askNowAndThen(docker: Dockerode, listeners: Set<Listener>): Promise<void> {
  while (listeners.size > 0) {
    await sleep(BETWEEN_MS, undefined, { ref: false });
    if (listeners.size === 0) break;
    try {
      await assertAnswers(docker);
    } catch (error) {
      for (const tell of listeners) tell(error);
      listeners.clear();
    }
  }
  listening.delete(docker);
}
