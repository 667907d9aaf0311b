/**
 * Lets launches in, in the order in which they were asked for, as long as this host has room for them. Nothing of it is kept:
 * what is there the Engine tells, who waits each launch's own waiting activity, who launches the steps that run.
 */
import { type Capacity, defaultCapacity, shortage, turnOf, type WaitsFor } from '../core/capacity.ts';
import { someAtATime } from '../core/some-at-a-time.ts';
import { readPlan } from './bottle-state.ts';
import { readConfig } from './config-file.ts';
import type { DockerHost } from './docker.ts';
import { bottlesThere, engineSize, freeAt, freeDiskMiB, freeMemoryMiB } from './host-load.ts';
import type { Settings } from './settings.ts';

export type AdmissionHost = DockerHost & { readonly settings: Settings };

/** Who asks to be let in. */
export interface Asking {
  readonly id: string;
  /** When it was asked for, ISO 8601: who was asked for first goes first. */
  readonly askedAt: string;
  /** What its machine may use. */
  readonly cpus: number;
}

/** How old what the Engine said may be: a hundred launches that ask at once are answered by one look. */
const LOOK_MS = 1000;
/** Between two looks for those that wait. */
const PERIOD_MS = 1000;
/** So long after its last step a launch that is not ready is held, or gone: it works no more. */
const QUIET_MS = 3000;
/** Who was sent to wait comes within this, also after the death of a worker; else its launch has ended meanwhile. */
const COMES_WITHIN_MS = 30_000;
/** A launch that was let in and has nothing in the Engine after this has ended. */
const SHOWS_WITHIN_MS = 60_000;

interface Waiting extends Asking {
  /** When it is given up; undefined once it waits here. */
  expires: number | undefined;
  told: WaitsFor | undefined;
  tell: (what: WaitsFor) => void;
  letIn: () => void;
}

interface Admitted {
  /** Steps that run now. */
  running: number;
  /** When it was let in, or its last step ended. Milliseconds since the epoch. */
  since: number;
  ready: boolean;
}

export class Admission {
  readonly #host: AdmissionHost;
  readonly #line = new Map<string, Waiting>();
  readonly #admitted = new Map<string, Admitted>();
  #config: Partial<Capacity> = {};
  #looked: { at: number; there: Promise<string[]> } | undefined;
  /** One at a time: two that ask at once must not be let into the same room. */
  readonly #inTurn = someAtATime(1);
  #timer: NodeJS.Timeout | undefined;

  constructor(host: AdmissionHost) {
    this.#host = host;
  }

  /**
   * Asks whether a launch may go on now; if not, it has its place in the line from now on, and should {@link wait} soon.
   * @returns what it waits for; undefined when it is let in
   * @throws BottleError `DOCKER_UNREACHABLE`
   */
  ask(asking: Asking): Promise<WaitsFor | undefined> {
    return this.#inTurn(async () => {
      if (this.#admitted.has(asking.id)) return undefined;
      const ahead = this.#before(asking);
      const missing = ahead.length === 0 ? await this.#missing(asking) : undefined;
      if (ahead.length === 0 && missing === undefined) {
        this.#admit(asking.id);
        return undefined;
      }
      const first = missing ?? ahead[0]?.told ?? ON_ITS_WAY;
      this.expect([asking]);
      return ahead.length === 0 ? first : turnOf(ahead.length, first);
    });
  }

  /** Has them in the line before they come: those that waited when the last worker died keep their places. */
  expect(launches: readonly Asking[]): void {
    for (const each of launches) {
      if (this.#line.has(each.id)) continue;
      const nobody = { told: undefined, tell: () => undefined, letIn: () => undefined };
      this.#line.set(each.id, { ...each, ...nobody, expires: Date.now() + COMES_WITHIN_MS });
    }
    this.#soon(PERIOD_MS);
  }

  /**
   * Resolves when the launch is let in.
   * @param tell is called with what it waits for, whenever that has changed
   * @throws the signal's reason
   */
  async wait(asking: Asking, signal: AbortSignal, tell: (what: WaitsFor) => void): Promise<void> {
    signal.throwIfAborted();
    if (this.#admitted.has(asking.id)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { ...asking, expires: undefined, told: undefined, tell, letIn: resolve };
    const leave = (): void => {
      if (this.#line.get(asking.id) === waiting) this.#line.delete(asking.id);
      this.#soon(0);
      reject(signal.reason);
    };
    signal.addEventListener('abort', leave, { once: true });
    this.#line.set(asking.id, waiting);
    this.#soon(0);
    await promise.finally(() => signal.removeEventListener('abort', leave));
  }

  /** A step of a launch begins. */
  begin(id: string): void {
    const known = this.#admitted.get(id) ?? { running: 0, since: 0, ready: false };
    this.#admitted.set(id, { ...known, running: known.running + 1, ready: false });
  }

  /** A step of a launch has ended, in whatever way. */
  end(id: string): void {
    const known = this.#admitted.get(id);
    if (known === undefined) return;
    this.#admitted.set(id, { ...known, running: known.running - 1, since: Date.now() });
    if (this.#line.size > 0) this.#soon(QUIET_MS);
  }

  /** A bottle is ready: whatever it has, the Engine tells. */
  ready(id: string): void {
    const known = this.#admitted.get(id);
    if (known !== undefined) this.#admitted.set(id, { ...known, ready: true });
    this.#soon(0);
  }

  /** A launch is being undone, or was. */
  over(id: string): void {
    this.#admitted.delete(id);
    this.#line.delete(id);
    this.#looked = undefined;
    this.#soon(0);
  }

  #admit(id: string): void {
    this.#line.delete(id);
    this.#admitted.set(id, { running: 0, since: Date.now(), ready: false });
  }

  /** Those in the line that were asked for earlier, first first. */
  #before({ id, askedAt }: Pick<Asking, 'id' | 'askedAt'>): Waiting[] {
    return this.#inOrder().filter((each) => order(each, { id, askedAt }) < 0);
  }

  #inOrder(): Waiting[] {
    const now = Date.now();
    for (const { id, expires } of this.#line.values())
      if (expires !== undefined && expires < now) this.#line.delete(id);
    return [...this.#line.values()].sort(order);
  }

  /** Looks again for those that wait, if any, within `ms`. */
  #soon(ms: number): void {
    if (this.#line.size === 0) return;
    if (ms > 0 && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#inTurn(() => this.#letIn()).then(
        () => this.#soon(PERIOD_MS),
        () => this.#soon(PERIOD_MS),
      );
    }, ms).unref();
  }

  async #letIn(): Promise<void> {
    for (;;) {
      const [first, ...others] = this.#inOrder();
      if (first === undefined) return;
      const missing = await this.#missing(first);
      // One that has not come yet keeps its place.
      if (missing === undefined && first.expires === undefined) {
        this.#admit(first.id);
        first.letIn();
        continue;
      }
      const why = missing ?? ON_ITS_WAY;
      for (const [n, each] of [first, ...others].entries()) inform(each, n === 0 ? why : turnOf(n, why));
      return;
    }
  }

  /** What there is too little of for one more; undefined when there is room. */
  async #missing({ id, cpus }: Asking): Promise<WaitsFor | undefined> {
    const size = await engineSize(this.#host.docker);
    const { settings } = this.#host;
    const there = await this.#there();
    const [disk, state] = [freeDiskMiB(size), freeAt(settings.state)];
    const capacity = { ...defaultCapacity(size), ...this.#configured() };
    const now = Date.now();
    for (const [each, { running, since }] of this.#admitted)
      if (running === 0 && now - since > SHOWS_WITHIN_MS && !there.includes(each)) this.#admitted.delete(each);
    const ids = new Set([...there, ...this.#admitted.keys()]);
    ids.delete(id);
    const works = ({ ready, running, since }: Admitted): boolean => !ready && (running > 0 || now - since < QUIET_MS);
    const load = {
      bottles: ids.size,
      launching: [...this.#admitted.values()].filter(works).length,
      cpus: capacity.cpus === null ? 0 : await this.#cpusOf(ids),
      freeMemoryMiB: freeMemoryMiB(size),
      freeDiskMiB: disk,
      freeStateMiB: state,
    };
    return shortage(capacity, load, { cpus });
  }

  #there(): Promise<string[]> {
    if (this.#looked === undefined || Date.now() - this.#looked.at > LOOK_MS) {
      const there = bottlesThere(this.#host);
      this.#looked = { at: Date.now(), there };
      there.catch(() => {
        this.#looked = undefined;
      });
    }
    return this.#looked.there;
  }

  async #cpusOf(ids: Iterable<string>): Promise<number> {
    const plans = [...ids].map(async (id) => (await readPlan(this.#host.settings, id))?.resources.cpus ?? 0);
    return (await Promise.all(plans)).reduce((sum, cpus) => sum + cpus, 0);
  }

  /** As config.yaml says now: who makes it larger lets in those that wait. While it cannot be read, as it said before. */
  #configured(): Partial<Capacity> {
    try {
      this.#config = readConfig(this.#host.settings).capacity as Partial<Capacity>;
    } catch {
      // `prepare` tells of it.
    }
    return this.#config;
  }
}

/** There is room for the first, which was sent to wait and has not come yet. */
const ON_ITS_WAY: WaitsFor = { what: 'turn', message: 'it is let in as soon as it takes up its place' };

const order = (a: Pick<Asking, 'id' | 'askedAt'>, b: Pick<Asking, 'id' | 'askedAt'>): number =>
  a.askedAt.localeCompare(b.askedAt) || a.id.localeCompare(b.id);

function inform(waiting: Waiting, what: WaitsFor): void {
  if (waiting.told?.message === what.message && waiting.told.what === what.what) return;
  waiting.told = what;
  waiting.tell(what);
}

const admissions = new WeakMap<AdmissionHost, Admission>();

/** The admission of a host, one and the same each time. */
export function admissionOf(host: AdmissionHost): Admission {
  const known = admissions.get(host) ?? new Admission(host);
  admissions.set(host, known);
  return known;
}
