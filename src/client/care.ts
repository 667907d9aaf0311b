/** Looks after server and worker while somebody waits for a launch, and tells them what is wrong, and what became of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BACK, type Trouble, type Who } from './keeper.ts';
import type { Output } from './output.ts';
import { clean } from './render/text.ts';
import { viewOf } from './report-error.ts';
import { isBroken, type Session } from './session.ts';

export type CareEvent =
  /** One line: who does not answer, and what happens; again when that changes. */
  { kind: 'silent'; who: Who; text: string } | { kind: 'recovered'; who: Who; text: string };

const LOOK_MS = 500;
const BACK_OFF_MS = { first: 250, most: 5000 };
export const SILENT_SERVER = 'the Temporal server does not answer; waiting for it (bottle doctor says more)';

/**
 * Looks at this host's worker until `signal` aborts: one that has died is started again. Of another host's nothing can be
 * known without asking it.
 */
export async function careForWorker(
  session: Session,
  host: string,
  tell: (event: CareEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  if (host !== session.settings.host) return;
  const teller = new Teller('worker', tell);
  let delay = BACK_OFF_MS.first;
  while (!signal.aborted) {
    const trouble = await session.keeper.look('worker');
    // Without a server a worker cannot begin; whoever waits hears of the server then.
    const waits = trouble !== undefined && (await session.keeper.look('temporal')) !== undefined;
    if (signal.aborted) return;
    if (trouble === undefined) teller.well();
    else if (waits) delay = LOOK_MS;
    else if (await teller.mend(trouble)) delay = BACK_OFF_MS.first;
    else delay = Math.min(delay * 2, BACK_OFF_MS.most);
    await sleep(trouble?.cure === undefined ? LOOK_MS : delay, undefined, { signal }).catch(() => undefined);
  }
}

/** Makes a lost connection anew, and starts this host's own server again where it has died; returns when there is one. */
export async function careForConnection(
  session: Session,
  tell: (event: CareEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const teller = new Teller('temporal', tell);
  for (let delay = BACK_OFF_MS.first; !signal.aborted; delay = Math.min(delay * 2, BACK_OFF_MS.most)) {
    await teller.mend((await session.keeper.look('temporal')) ?? { text: SILENT_SERVER });
    // A server that is there and does not want to answer just now is not asked without end.
    await sleep(BACK_OFF_MS.first, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      await session.reconnect();
      return teller.well();
    } catch {
      await sleep(delay, undefined, { signal }).catch(() => undefined);
    }
  }
}

/**
 * Runs one call of the server's, which the SDK repeats by itself until the connection is back: this host's own server is
 * started again when it dies meanwhile.
 */
export async function overAnOutage<T>(session: Session, output: Output, call: () => Promise<T>): Promise<T> {
  const done = new AbortController();
  const teller = new Teller('temporal', ({ text }) => output.note(text));
  const caring = (async () => {
    for (; !done.signal.aborted; await sleep(LOOK_MS, undefined, { signal: done.signal }).catch(() => undefined)) {
      const trouble = isBroken(session.client) ? await session.keeper.look('temporal') : undefined;
      if (done.signal.aborted) return;
      if (trouble === undefined) teller.well();
      else await teller.mend(trouble);
    }
  })();
  caring.catch(() => undefined);
  try {
    return await call();
  } finally {
    done.abort();
  }
}

/** Says a thing once, until it changes. */
class Teller {
  readonly #who: Who;
  readonly #tell: (event: CareEvent) => void;
  #trouble: string | undefined;
  #failure: string | undefined;
  #done: string | undefined;

  constructor(who: Who, tell: (event: CareEvent) => void) {
    this.#who = who;
    this.#tell = tell;
  }

  /** @returns whether it was mended */
  async mend({ text, cure }: Trouble): Promise<boolean> {
    if (text !== this.#trouble) this.#say(text);
    this.#trouble = text;
    if (cure === undefined) return false;
    try {
      this.#done = await cure();
      if (this.#who === 'worker') this.well();
      return true;
    } catch (error) {
      const { code, message, hint } = viewOf(error);
      const failure = `error[${code}]: ${message}${hint === undefined ? '' : ` (${hint})`}; trying again`;
      if (failure !== this.#failure) this.#say(failure);
      this.#failure = failure;
      return false;
    }
  }

  well(): void {
    if (this.#trouble === undefined) return;
    this.#tell({ kind: 'recovered', who: this.#who, text: this.#done ?? BACK[this.#who] });
    this.#trouble = undefined;
    this.#failure = undefined;
    this.#done = undefined;
  }

  #say(text: string): void {
    this.#tell({ kind: 'silent', who: this.#who, text: clean(text) });
  }
}
