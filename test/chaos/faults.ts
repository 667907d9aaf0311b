/** Breaks things, each as it was planned, and makes whole again what it broke. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { bottleName, LABEL } from '../../src/core/names.ts';
import type { Hands } from './hands.ts';
import type { Journal } from './journal.ts';
import { FAULTS, type Fault, type FaultKind } from './plan.ts';
import { containersOf, networksOf, type Site } from './site.ts';
import { commandOf, processesOf, serversOf } from './sweep.ts';
import { thaw } from './thaw.ts';

/** What was broken and how to tell of it; undefined when there was nothing to break. */
type Broken = { text: string; bottle?: string | undefined } | undefined;
type Role = 'bundle' | 'machine';

/** How long a fault waits for something that it can break. */
const NOTHING_THERE_MS = 5000;
const AGAIN_MS = 100;

export class Faults {
  readonly #site: Site;
  readonly #hands: Hands;
  readonly #journal: Journal;
  /** What still has to be made whole, to be done at once when the round ends. */
  readonly #mending = new Set<() => Promise<unknown>>();
  readonly #later = new Set<Promise<unknown>>();
  #engineIsBroken = false;
  readonly done = new Map<FaultKind, number>();

  constructor(site: Site, hands: Hands, journal: Journal) {
    this.#site = site;
    this.#hands = hands;
    this.#journal = journal;
  }

  /** How many things were killed or removed so far. */
  get kills(): number {
    return [...this.done].reduce((sum, [kind, count]) => sum + (FAULTS[kind].kill ? count : 0), 0);
  }

  /** Breaks what the fault says, as soon as that is there, or not at all when it is not for a while. */
  async strike(fault: Fault): Promise<void> {
    const end = Date.now() + NOTHING_THERE_MS;
    let broken: Broken;
    for (;;) {
      // What was to be broken may go by itself meanwhile.
      broken = await this.#break(fault).catch(() => undefined);
      if (broken !== undefined || Date.now() > end) break;
      await sleep(AGAIN_MS);
    }
    if (broken === undefined) return this.#journal.note({ kind: 'note', text: `${fault.kind} found nothing` });
    this.done.set(fault.kind, (this.done.get(fault.kind) ?? 0) + 1);
    this.#journal.note({
      kind: 'fault',
      fault: fault.kind,
      ...(broken.bottle === undefined ? {} : { bottle: broken.bottle }),
      text: `${fault.kind} ${broken.text}`,
    });
  }

  /** Makes everything whole that a fault broke for some time, and has server and worker run, by the real client. */
  async mendAll(): Promise<void> {
    await Promise.all([...this.#mending].map((mend) => mend()));
    await Promise.all(this.#later);
    for (let tries = 1; ; tries += 1) {
      const { code, stderr } = await this.#hands.run(['serve', '--detach']);
      if (code === 0) return;
      if (tries === 3) {
        this.#journal.violation('serve does not start what died', undefined, stderr.trim().slice(0, 500));
        return;
      }
    }
  }

  async #break(fault: Fault): Promise<Broken> {
    switch (fault.kind) {
      case 'worker-kill':
        return this.#killProcess(this.#worker(), 'worker', fault.lastsMs);
      case 'server-kill':
        return this.#killProcess(serversOf(this.#site.settings.state)[0], 'server', fault.lastsMs);
      case 'client-kill':
        return this.#hands.kill(fault.pick);
      case 'worker-freeze':
        return this.#freezeProcess(this.#worker(), 'worker', fault.lastsMs);
      case 'server-freeze':
        return this.#freezeProcess(serversOf(this.#site.settings.state)[0], 'server', fault.lastsMs);
      case 'bundle-kill':
      case 'machine-kill':
        return this.#container(fault, (container) => container.kill());
      case 'bundle-remove':
      case 'machine-remove':
        return this.#container(fault, (container) => container.remove({ force: true, v: true }));
      case 'bundle-freeze':
      case 'machine-freeze':
        return this.#container(fault, (container) => this.#pause(container, fault));
      case 'network-remove':
        return this.#removeNetwork(fault);
      case 'bundle-disconnect':
        return this.#container(fault, async (_container, bottle, id) => {
          const network = this.#site.docker.getNetwork(bottleName(bottle));
          await network.disconnect({ Container: id, Force: true });
        });
      case 'docker-cut':
        this.#site.relay.cut();
        return { text: 'every connection to the Engine' };
      case 'docker-refuse':
        this.#site.relay.refuse();
        this.#mendAfter(fault.lastsMs, () => this.#site.relay.open());
        return { text: `the Engine, for ${fault.lastsMs} ms` };
      case 'docker-hang':
        this.#site.relay.hang();
        this.#mendAfter(fault.lastsMs, async () => {
          await this.#site.relay.open();
          this.#site.relay.cut();
        });
        return { text: `the Engine, for ${fault.lastsMs} ms` };
      case 'disk-full':
        if (!this.#site.ownDisk) return undefined;
        this.#site.fillDisk();
        this.#mendAfter(fault.lastsMs, async () => this.#site.freeDisk());
        return { text: `the state's disk, for ${fault.lastsMs} ms` };
      case 'engine-kill':
      case 'engine-stop':
      case 'engine-power':
        return this.#breakEngine(fault);
    }
  }

  /** The worker's process, as it says itself; undefined when that one is dead. */
  #worker(): number | undefined {
    try {
      const pid = Number(readFileSync(path.join(this.#site.settings.state, 'run', 'worker.pid'), 'utf8'));
      const own = processesOf(this.#site.settings.state).includes(pid);
      return own && commandOf(pid).includes('worker.js') ? pid : undefined;
    } catch {
      return undefined;
    }
  }

  #killProcess(pid: number | undefined, what: string, downMs: number): Broken {
    if (pid === undefined) return undefined;
    process.kill(pid, 'SIGKILL');
    // As a service manager would have it; a client may be quicker.
    this.#mendAfter(downMs, () => this.#hands.run(['serve', '--detach']));
    return { text: `${what} ${pid}, started again after ${downMs} ms` };
  }

  /** What it takes with it, it may take as late as it comes back: so long, every bottle's own is harmed. */
  async #breakEngine({ kind, lastsMs }: Fault): Promise<Broken> {
    const { engine } = this.#site;
    // One that is gone already, or on its way, is another fault's.
    if (engine?.pid === undefined || this.#engineIsBroken) return undefined;
    this.#engineIsBroken = true;
    if (kind === 'engine-kill') engine.kill();
    else if (kind === 'engine-stop') engine.stop();
    else await engine.powerOff();
    this.#mendAfter(lastsMs, async () => {
      try {
        await engine.goOn();
      } catch (error) {
        this.#journal.violation('the Engine of the run does not come back', undefined, String(error).slice(0, 500));
      }
      this.#engineIsBroken = false;
      this.#journal.note({ kind: 'note', fault: kind, text: 'the Engine is back' });
    });
    return { text: `the Engine, started again after ${lastsMs} ms` };
  }

  #freezeProcess(pid: number | undefined, what: string, ms: number): Broken {
    if (pid === undefined) return undefined;
    process.kill(pid, 'SIGSTOP');
    this.#mendAfter(ms, async () => process.kill(pid, 'SIGCONT'));
    return { text: `${what} ${pid}, for ${ms} ms` };
  }

  async #container(
    { kind, pick }: Fault,
    harm: (container: Dockerode.Container, bottle: string, id: string) => Promise<unknown>,
  ): Promise<Broken> {
    const role: Role = kind.startsWith('bundle') ? 'bundle' : 'machine';
    const all = (await containersOf(this.#site)).filter(
      ({ Names, State }) => Names[0]?.endsWith(`-${role}`) === true && (State === 'running' || kind.endsWith('remove')),
    );
    all.sort((a, b) => (a.Names[0] as string).localeCompare(b.Names[0] as string));
    const victim = all[Math.floor(pick * all.length)];
    if (victim === undefined) return undefined;
    const bottle = victim.Labels[LABEL.bottle] as string;
    await harm(this.#site.docker.getContainer(victim.Id), bottle, victim.Id);
    return { text: `${victim.Names[0]} ${victim.Id.slice(0, 12)}`, bottle };
  }

  async #pause(container: Dockerode.Container, { kind, lastsMs }: Fault): Promise<void> {
    const { State } = await container.inspect();
    this.#mendAfter(lastsMs, async () => {
      if (!(await thaw(container, State.Pid))) return;
      this.#journal.note({ kind: 'note', fault: kind, text: 'the Engine did not unpause it; the kernel was told' });
    });
    await container.pause();
  }

  async #removeNetwork({ pick }: Fault): Promise<Broken> {
    const all = (await networksOf(this.#site)).sort((a, b) => a.Name.localeCompare(b.Name));
    const victim = all[Math.floor(pick * all.length)];
    if (victim === undefined) return undefined;
    const network = this.#site.docker.getNetwork(victim.Id);
    const { Containers } = (await network.inspect()) as Dockerode.NetworkInspectInfo;
    for (const id of Object.keys(Containers ?? {})) await network.disconnect({ Container: id, Force: true });
    await network.remove();
    return { text: victim.Name, bottle: victim.Labels?.[LABEL.bottle] };
  }

  /** After `ms`, or at the round's end: never twice. */
  #mendAfter(ms: number, mend: () => Promise<unknown>): void {
    const waiting = new AbortController();
    const once = async (): Promise<unknown> => {
      if (!this.#mending.delete(once)) return undefined;
      waiting.abort();
      // What it would make whole may be gone.
      return mend().catch(() => undefined);
    };
    this.#mending.add(once);
    const later: Promise<unknown> = sleep(ms, undefined, { signal: waiting.signal })
      .then(once, () => undefined)
      .finally(() => this.#later.delete(later));
    this.#later.add(later);
  }
}
