/**
 * What happens to this owner's containers, and to the bridges they stand on, as the Engine tells of it: one stream of events for a whole process, however many
 * bottles are watched in it. Each stream costs the Engine a look at every event of every container.
 */
import readline from 'node:readline';
import { Readable } from 'node:stream';
import type Dockerode from 'dockerode';
import { bottleOfNetwork, LABEL } from '../core/names.ts';
import { type DockerHost, engine } from './docker.ts';

export interface BottleEvent {
  /** It has ended, it is removed, a process of it was killed for memory, or the bridge has lost a container. */
  readonly action: 'die' | 'destroy' | 'oom' | 'disconnect';
  readonly bottle: string;
  /** The step that made it: of the bridge, `network`. */
  readonly step: string;
  /** Nanoseconds since the epoch, by the Engine's clock. */
  readonly timeNano: number;
}

/** The Engine remembers as many, whatever they are of; it is asked for all of them. */
const REMEMBERED = 256;
const LONG_AGO = 1;

/**
 * Yields nothing but that it is subscribed, once; then each event of a bottle's containers and bridge, beginning with what the Engine
 * still remembers. Ends, without an error, when `signal` aborts or the Engine closes the stream.
 * @throws BottleError `DOCKER_UNREACHABLE`
 */
export async function* bottleEvents(
  host: DockerHost,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<BottleEvent | undefined> {
  const stream = streamOf(host);
  const heard = new Readable({ objectMode: true, read: () => undefined });
  const subscriber: Subscriber = {
    bottle: id,
    tell: (event) => void heard.push(event),
    end: () => void heard.push(null),
  };
  const stop = (): void => {
    stream.remove(subscriber);
    subscriber.end();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    await stream.add(subscriber);
    yield undefined;
    if (!signal.aborted) yield* heard as AsyncIterable<BottleEvent>;
  } finally {
    signal.removeEventListener('abort', stop);
    stream.remove(subscriber);
    heard.destroy();
  }
}

interface Subscriber {
  readonly bottle: string;
  tell(event: BottleEvent): void;
  end(): void;
}

const streams = new WeakMap<Dockerode, Map<string, EventStream>>();

/** The stream that is open, or a new one. */
function streamOf(host: DockerHost): EventStream {
  const ofEngine = streams.get(host.docker) ?? new Map<string, EventStream>();
  streams.set(host.docker, ofEngine);
  const known = ofEngine.get(host.owner);
  if (known?.isOver === false) return known;
  const stream = new EventStream(host);
  ofEngine.set(host.owner, stream);
  return stream;
}

/** Open from its making until nobody listens any more, or the Engine closes it. */
class EventStream {
  readonly #opening: Promise<Readable>;
  readonly #subscribers = new Set<Subscriber>();
  #known: BottleEvent[] = [];
  isOver = false;

  constructor(host: DockerHost) {
    this.#opening = this.#open(host);
    // Each subscriber hears of it by itself.
    this.#opening.catch(() => this.#end());
  }

  /** @throws BottleError `DOCKER_UNREACHABLE` */
  async add(subscriber: Subscriber): Promise<void> {
    this.#subscribers.add(subscriber);
    for (const event of this.#known) if (event.bottle === subscriber.bottle) subscriber.tell(event);
    await this.#opening;
  }

  remove(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    if (this.#subscribers.size === 0) this.#end();
  }

  async #open(host: DockerHost): Promise<Readable> {
    // Events of networks carry no labels, so the Engine cannot be asked for this owner's alone.
    const filters = {
      type: ['container' as const, 'network' as const],
      event: ['die', 'destroy', 'oom', 'disconnect'],
    };
    const opening = engine('follow events', () => host.docker.getEvents({ filters, since: LONG_AGO }));
    const stream = (await opening) as Readable;
    const lines = readline.createInterface({ input: stream });
    lines.on('line', (line) => this.#hear(eventOf(line, host.owner)));
    // Broken, it has no more lines; that it broke, the subscribers see by its ending. (The reader of lines passes on the error.)
    stream.on('error', () => stream.destroy());
    lines.on('error', () => undefined);
    stream.once('close', () => {
      lines.close();
      this.#end();
    });
    return stream;
  }

  #hear(event: BottleEvent | undefined): void {
    if (event === undefined) return;
    this.#known = [...this.#known.slice(1 - REMEMBERED), event];
    for (const each of this.#subscribers) if (each.bottle === event.bottle) each.tell(event);
  }

  #end(): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const each of this.#subscribers) each.end();
    this.#opening.then(
      (stream) => stream.destroy(),
      () => undefined,
    );
  }
}

interface EngineEvent {
  Type?: string;
  Action?: string;
  Actor?: { Attributes?: Record<string, string> };
  timeNano?: number;
}

function eventOf(line: string, owner: string): BottleEvent | undefined {
  const { Type, Action, Actor, timeNano } = parsed(line);
  if (Action === undefined || timeNano === undefined) return undefined;
  const attributes = Actor?.Attributes ?? {};
  const told = { action: Action as BottleEvent['action'], timeNano };
  if (Type === 'network') {
    // By its name, which may be another owner's: whoever hears of it looks, and finds that nothing of his is gone.
    const bottle = bottleOfNetwork(attributes['name'] ?? '');
    return bottle === undefined ? undefined : { ...told, bottle, step: 'network' };
  }
  const { [LABEL.bottle]: bottle, [LABEL.step]: step, [LABEL.owner]: whose } = attributes;
  return bottle === undefined || step === undefined || whose !== owner ? undefined : { ...told, bottle, step };
}

/** Of a line that is no event, nothing: a stream that ends in the midst of one leaves half of it. */
function parsed(line: string): EngineEvent {
  try {
    return JSON.parse(line) as EngineEvent;
  } catch {
    return {};
  }
}
