/**
 * The lives of bottles: each slot has one at a time, which its hand brings up, uses, changes, answers, mends and takes
 * down as the dice fall, by the real client.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusDocument, StepStatus } from '../../src/core/status.ts';
import { statusQuery } from '../../src/workflows/messages.ts';
import { callTool } from '../support/call-tool.ts';
import type { Hands, Outcome } from './hands.ts';
import type { Journal } from './journal.ts';
import type { Act } from './plan.ts';
import type { Site } from './site.ts';

/** One bottle, from its `up` to its end, and what its hand has asked of it. */
export interface Life {
  readonly id: string;
  /** What its launch lacks on purpose, until it is mended. */
  lacks: 'skill' | 'secret' | undefined;
  /** Somebody said `down`, so it may end as stopped; `abort`, so it may end as failed. */
  asked: Set<'down' | 'abort' | 'skip'>;
  /** The last `up` has told that it is there: it must be known from now on. */
  known: boolean;
  /** A `down` has told that it is gone. */
  gone: boolean;
  /** A person has skipped an undo of it, and so taken on what that leaves: it goes by `gc`. */
  leaves: boolean;
  /** How many hosts it may reach: each `apply` brings one more. */
  hosts: number;
}

const STATUS_MS = 3000;
const isUndoHeld = ({ state }: StepStatus): boolean => state === 'undo-held';

export class Lives {
  readonly #site: Site;
  readonly #hands: Hands;
  readonly #journal: Journal;
  readonly #slots: (Life | undefined)[];
  /** Every life there was, by id. */
  readonly all = new Map<string, Life>();

  constructor(site: Site, hands: Hands, journal: Journal, bottles: number) {
    this.#site = site;
    this.#hands = hands;
    this.#journal = journal;
    this.#slots = Array.from({ length: bottles }, () => undefined);
    this.#writeSkill('greet');
  }

  /** All but one have a bottle, so that what breaks first meets something, a launch too. */
  async begin(): Promise<void> {
    const slots = this.#slots.map((_life, slot) => slot).slice(1);
    await Promise.all(slots.map((slot) => this.#up(slot, `${this.#site.prefix}${slot}-first`, [1, 1])));
  }

  /** What one slot's hand does in a round, until `over`. */
  async play(slot: number, round: number, acts: readonly Act[], over: AbortSignal): Promise<void> {
    for (const [index, { gapMs, dice }] of acts.entries()) {
      await sleep(gapMs, undefined, { signal: over }).catch(() => undefined);
      if (over.aborted) return;
      await this.#act(slot, `${this.#site.prefix}${slot}-${round}-${index}`, dice);
    }
  }

  /** The status as the workflow tells it; undefined when nobody answers in time. */
  status(id: string, ms = STATUS_MS): Promise<StatusDocument | undefined> {
    const { client } = this.#site;
    return client
      .withDeadline(Date.now() + ms, () => client.workflow.getHandle(id).query(statusQuery))
      .catch(() => undefined);
  }

  /** Makes whole what a life lacks on purpose. */
  mend(life: Life): void {
    if (life.lacks === 'skill') this.#writeSkill(`missing-${life.id}`);
    if (life.lacks === 'secret') this.#writeSecret(life);
    life.lacks = undefined;
  }

  /** Takes a life down and notes it. */
  async down(life: Life): Promise<Outcome> {
    life.asked.add('down');
    const outcome = await this.#hands.run(['down', life.id], life.id);
    if (outcome.code === 0) life.gone = true;
    return outcome;
  }

  /** What was broken so often that it waits for minutes to be made again is made again now. */
  async hurry(id: string): Promise<void> {
    await this.#hands.run(['retry', id], id);
  }

  /** A life that is over leaves its slot. */
  forget(id: string): void {
    const slot = this.#slots.findIndex((life) => life?.id === id);
    if (slot >= 0) this.#slots[slot] = undefined;
  }

  async #act(slot: number, id: string, dice: Act['dice']): Promise<void> {
    const life = this.#slots[slot];
    if (life === undefined) return this.#up(slot, id, dice);
    const phase = (await this.status(life.id))?.phase;
    const acts = life.known ? this.#choices(life, phase, dice[1]) : [[1, () => this.#again(life)] as const];
    let left = dice[0] * acts.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, act] of acts) {
      left -= weight;
      if (left < 0) return act();
    }
  }

  #choices(life: Life, phase: string | undefined, second: number): (readonly [number, () => Promise<void>])[] {
    const { id } = life;
    const say =
      (...args: string[]) =>
      async (): Promise<void> =>
        void (await this.#hands.run(args, id));
    const down = async (): Promise<void> => {
      const { code } = await this.down(life);
      if (code === 0 || code === 4) this.forget(id);
    };
    const look = [
      [2, say('status', id)],
      [1, say('ls')],
      [1, say('logs', id, '--tail', '20')],
      [1, say('requests', id)],
    ] as const;
    if (phase === 'held') {
      const decide = (name: 'retry' | 'skip' | 'abort') => async (): Promise<void> => {
        if (name !== 'retry') life.asked.add(name);
        if (name === 'skip') life.leaves ||= (await this.status(id))?.steps.some(isUndoHeld) ?? false;
        await this.#hands.run([name, id], id);
      };
      const mended = async (): Promise<void> => {
        this.mend(life);
        await this.#hands.run(['retry', id], id);
      };
      return [[6, mended], [2, decide('retry')], [1, decide('skip')], [1, decide('abort')], [2, down], ...look];
    }
    if (phase === 'stopping' || phase === 'launching') return [[2, down], [3, say('status', id)], ...look];
    return [
      [4, say('exec', id, '--', 'sh', '-c', `sleep ${(second * 2).toFixed(1)}`)],
      [3, () => this.#apply(life)],
      [2, say('reload', id)],
      [4, () => this.#ask(life, second)],
      [4, () => this.#answer(life, second)],
      [3, down],
      ...look,
    ];
  }

  async #up(slot: number, id: string, [kind, how]: Act['dice']): Promise<void> {
    const lacks = kind < 0.2 ? 'skill' : kind < 0.3 ? 'secret' : undefined;
    const life: Life = { id, lacks, asked: new Set(), known: false, gone: false, leaves: false, hosts: 1 };
    this.#slots[slot] = life;
    this.all.set(id, life);
    if (lacks !== 'secret') this.#writeSecret(life);
    this.#writeManifest(life);
    this.#note(life, await this.#hands.run(['up', id, '--name', id, ...(how < 0.3 ? ['--no-wait'] : [])], id));
  }

  /** An `up` that told nothing may have begun or not: a person asks again. */
  async #again(life: Life): Promise<void> {
    const found = await this.#site.client.workflow
      .getHandle(life.id)
      .describe()
      .catch(() => undefined);
    if (found !== undefined) life.known = true;
    else this.#note(life, await this.#hands.run(['up', life.id, '--name', life.id], life.id));
  }

  #note(life: Life, { code, killed }: Outcome): void {
    if (!killed && (code === 0 || code === 3)) life.known = true;
  }

  async #apply(life: Life): Promise<void> {
    life.hosts += 1;
    this.#writeManifest(life);
    await this.#hands.run(['apply', life.id], life.id);
  }

  async #ask({ id }: Life, dice: number): Promise<void> {
    const host = `h${Math.floor(dice * 1e6)}.example.net`;
    const asked = await callTool(
      id,
      'request_egress_route',
      { host, methods: ['GET'], reason: 'chaos' },
      this.#site,
    ).catch((error: unknown) => ({ failed: String(error).slice(0, 200) }));
    this.#journal.note({ kind: 'act', bottle: id, text: `asks for ${host}: ${JSON.stringify(asked).slice(0, 200)}` });
  }

  async #answer({ id }: Life, dice: number): Promise<void> {
    const pending = (await this.status(id))?.requests.filter(({ state }) => state === 'pending') ?? [];
    const request = pending[Math.floor(dice * pending.length)];
    if (request === undefined) return this.#ask({ id } as Life, dice);
    const deny = (dice * 1000) % 1 < 0.3;
    await this.#hands.run(deny ? ['deny', id, request.id] : ['approve', id, request.id, '--for', '20s'], id);
  }

  #writeManifest({ id, lacks, hosts }: Life): void {
    const { home } = this.#site.settings;
    const secret = path.join(this.#site.directory, 'secrets', id);
    const allow = Array.from({ length: hosts }, (_, n) => `n${n}.example.com`).join(', ');
    const bottle = [
      '---',
      'image: minimal',
      'supervise: true',
      `allow: [${allow}]`,
      `agent_provider: {auth_token: CHAOS_TOKEN}`,
      'egress:',
      '  routes:',
      `    - {host: api.example.org, auth: {scheme: Bearer, token_ref: "file:${secret}"}}`,
      'resources: {cpus: 1, memoryMiB: 512}',
      '---',
      '',
    ];
    writeFileSync(path.join(home, 'bottles', `${id}.md`), bottle.join('\n'));
    const skills = lacks === 'skill' || this.all.get(id)?.lacks === 'skill' ? `greet, missing-${id}` : 'greet';
    const agent = ['---', `bottle: ${id}`, `skills: [${skills}]`, '---', 'Be kind.', ''];
    if (hosts === 1) writeFileSync(path.join(home, 'agents', `${id}.md`), agent.join('\n'));
  }

  #writeSecret({ id }: Life): void {
    writeFileSync(path.join(this.#site.directory, 'secrets', id), `${this.#site.secrets[1]}\n`, { mode: 0o600 });
  }

  #writeSkill(name: string): void {
    const folder = path.join(this.#site.settings.home, 'skills', name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'SKILL.md'), `# ${name}\n`);
  }

  /** What a life was written by; nobody needs it once that is over. */
  erase({ id }: Life): void {
    for (const file of [`agents/${id}.md`, `bottles/${id}.md`])
      rmSync(path.join(this.#site.settings.home, file), { force: true });
  }
}
