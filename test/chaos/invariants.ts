/** What must hold when nothing is broken any more, whatever was. Each that does not is a violation in the journal. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { DefaultLogger, type ReplayWorkerOptions, Runtime, Worker } from '@temporalio/worker';
import { LABEL, machineName, taskQueueOf } from '../../src/core/names.ts';
import { eventsOf, type HistoryEvent } from '../support/events.ts';
import { runIn } from '../support/run-in-container.ts';
import type { Hands } from './hands.ts';
import type { Journal } from './journal.ts';
import type { Life } from './lives.ts';
import { type Settled, skipsMakings } from './settle.ts';
import { containersOf, networksOf, root, type Site, volumesOf } from './site.ts';
import { commandOf, processesOf } from './sweep.ts';
import { failedTasks, lastPhase, unexplainedReruns } from './told-by-history.ts';

/** A container as it was when the last round ended. */
interface Seen {
  id: string;
  startedAt: string;
  at: number;
}

export class Invariants {
  readonly #site: Site;
  readonly #hands: Hands;
  readonly #journal: Journal;
  readonly #seen = new Map<string, Seen>();
  /** What was looked at and is to be replayed, by bottle. */
  readonly #histories = new Map<string, HistoryEvent[]>();

  constructor(site: Site, hands: Hands, journal: Journal) {
    this.#site = site;
    this.#hands = hands;
    this.#journal = journal;
    // What does not replay is a violation here, not something to log.
    const logger = new DefaultLogger('ERROR', () => undefined);
    Runtime.install({ logger, telemetryOptions: { logging: { forward: {} } } });
  }

  /** Of one bottle that has come to rest, or has not. */
  async ofBottle(life: Life, settled: Settled): Promise<void> {
    const { id } = life;
    const broken = (what: string, detail: string): void => this.#journal.violation(what, id, detail);
    if (settled.state === 'wedged') return broken('wedged', settled.why);
    if (settled.state === 'unknown') {
      if (life.known) broken('a launch is lost', settled.why);
      return;
    }
    if (life.gone && settled.state !== 'closed') broken('down said that it is gone', `and it is ${settled.state}`);
    const events = await this.#history(id);
    if (settled.state === 'closed') this.#explainEnd(life, settled.why);
    else if (lastPhase(events) !== settled.status?.phase)
      broken('its history tells another phase', `${lastPhase(events)}, and it says ${settled.status?.phase}`);
    const failed = failedTasks(events);
    if (failed.length > 0) broken('a workflow task failed', `${failed.length}: ${failed[0]}`);
    const again = unexplainedReruns(events, this.#journal.harmTo(id));
    for (const { step, againAt } of again)
      broken('a step that was done ran again', `${step} at ${new Date(againAt).toISOString()}`);
    this.#histories.set(id, events);
    const whole = settled.status !== undefined && !skipsMakings(settled.status);
    if (settled.state === 'ready' && whole) await this.#works(id);
    if (settled.state === 'held' && settled.status?.steps.every(({ state, error }) => !/held/.test(state) || !error))
      broken('held without a reason', JSON.stringify(settled.status.steps));
  }

  /** What was looked at since the last time replays; all in one worker, since each is work for the computer that is tried. */
  async ofReplays(): Promise<void> {
    const workflowBundle = { codePath: path.join(root, 'dist/workflow-bundle.js') };
    // By its own queue, since a launch shows the name of its host; the SDK takes it, though its type does not say so.
    const options: object = { workflowBundle, taskQueue: taskQueueOf(this.#site.settings.host) };
    const histories = [...this.#histories].map(([workflowId, events]) => ({ workflowId, history: { events } }));
    this.#histories.clear();
    if (histories.length === 0) return;
    for await (const { workflowId, error } of Worker.runReplayHistories(options as ReplayWorkerOptions, histories))
      if (error !== undefined)
        this.#journal.violation('its history does not replay', workflowId, String(error).slice(0, 300));
  }

  /** A ready bottle's containers are the same as a round ago, unless something was done to them or it was asked for. */
  async ofMakings(id: string): Promise<void> {
    for (const { Id, Names } of await containersOf(this.#site, `${LABEL.bottle}=${id}`)) {
      const name = Names[0] as string;
      const { State } = await this.#site.docker.getContainer(Id).inspect();
      const before = this.#seen.get(name);
      this.#seen.set(name, { id: Id, startedAt: State.StartedAt, at: Date.now() });
      if (before === undefined || (before.id === Id && before.startedAt === State.StartedAt)) continue;
      const harmed = this.#journal.harmTo(id).some((at) => at >= before.at);
      // A new machine or bundle is what some changes of a manifest need; ours do not.
      if (!harmed)
        this.#journal.violation(
          'what lived was made again',
          id,
          `${name} ${before.id.slice(0, 12)} -> ${Id.slice(0, 12)}`,
        );
    }
  }

  /** Nothing of ours is there without an open launch that owns it. @param open ids of the launches that are open */
  async ofLeftovers(open: ReadonlySet<string>): Promise<void> {
    const broken = (what: string, detail: string): void =>
      this.#journal.violation('left behind', undefined, `${what} ${detail}`);
    for (const { Labels, Names } of await containersOf(this.#site))
      if (!open.has(Labels[LABEL.bottle] ?? '')) broken('container', Names[0] ?? '?');
    for (const { Labels, Name } of await networksOf(this.#site))
      if (!open.has(Labels?.[LABEL.bottle] ?? '')) broken('network', Name);
    for (const { Name } of await volumesOf(this.#site)) broken('volume', Name);
    const { state } = this.#site.settings;
    for (const id of filesIn(path.join(state, 'bottles'))) if (!open.has(id)) broken('state directory of', id);
    for (const name of filesIn(path.join(state, 'answers'))) broken('answers', name);
    for (const file of everyFile(state)) {
      if (file.endsWith('.new')) broken('half a file', path.relative(state, file));
    }
    const expected = new Set([...this.#hands.pids, process.pid]);
    for (const pid of processesOf(state)) {
      const command = commandOf(pid);
      if (command === '' || expected.has(pid) || /worker\.js/.test(command)) continue;
      broken('process', `${pid} ${command.slice(0, 200)}`);
    }
  }

  /** No secret is where it should not be: not in histories, logs, state, containers' descriptions or command lines. */
  async ofSecrets(open: ReadonlySet<string>): Promise<void> {
    const needles = this.#site.secrets.flatMap(forms);
    const look = (where: string, text: string | Buffer, bottle?: string): void => {
      if (needles.some((needle) => text.includes(needle))) this.#journal.violation('a secret shows', bottle, where);
    };
    // The database too: every history there ever was is in it.
    for (const file of everyFile(this.#site.settings.state)) look(`file ${path.basename(file)}`, readQuietly(file));
    for (const { Id, Names, Labels } of await containersOf(this.#site)) {
      const bottle = Labels[LABEL.bottle];
      const container = this.#site.docker.getContainer(Id);
      look(`docker inspect ${Names[0]}`, JSON.stringify(await container.inspect()), bottle);
      look(`docker logs ${Names[0]}`, await container.logs({ stdout: true, stderr: true, follow: false }), bottle);
    }
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
      look(`the command line of ${pid}`, commandOf(Number(pid)));
    for (const id of open) look('its history', textOf(await this.#history(id)), id);
  }

  /** A launch's events, of all its runs. */
  async #history(id: string): Promise<HistoryEvent[]> {
    return eventsOf(this.#site.client, id);
  }

  #explainEnd({ id, asked }: Life, status: string): void {
    const explained =
      (status === 'COMPLETED' && asked.has('down')) ||
      (status === 'FAILED' && asked.has('abort')) ||
      (status === 'CANCELLED' && asked.has('down'));
    if (!explained) this.#journal.violation('it ended, and nobody asked for it', id, status);
  }

  /** The agent's way out answers with its verdict, and the operator gets in. */
  async #works(id: string): Promise<void> {
    const asks = ['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '20', 'http://egress:9099/'];
    const routes = await runIn(this.#site, machineName(id), asks, 'agent').catch((error: unknown) => ({
      stdout: '',
      stderr: String(error),
    }));
    if (routes.stdout !== '200')
      this.#journal.violation('ready, and the way out does not answer', id, `${routes.stdout} ${routes.stderr}`.trim());
    const { code, stderr } = await this.#hands.run(['exec', id, '--', 'true'], id);
    if (code !== 0)
      this.#journal.violation('ready, and exec fails', id, `code ${code}: ${stderr.trim().slice(0, 300)}`);
  }
}

/** As it is, and as it would be written in another way. */
function forms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [secret, bytes.toString('base64').replace(/=+$/, ''), bytes.toString('hex')];
}

/** All the text of an event, with what its payloads hold. */
function textOf(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.values(value).map(textOf).join('\n');
}

const filesIn = (directory: string): string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

function everyFile(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

function readQuietly(file: string): Buffer {
  try {
    return statSync(file).size > 0 ? readFileSync(file) : Buffer.alloc(0);
  } catch {
    // It went meanwhile.
    return Buffer.alloc(0);
  }
}
