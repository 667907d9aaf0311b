/** A run, round by round: what is broken, what has to come to rest then, and what is kept of what should not have been. */
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventsOf } from '../support/events.ts';
import type { Faults } from './faults.ts';
import type { Hands } from './hands.ts';
import type { Invariants } from './invariants.ts';
import type { Journal } from './journal.ts';
import type { Life, Lives } from './lives.ts';
import type { RoundPlan } from './plan.ts';
import { isOutlier, reportLines, settleTimes, type Tally } from './report.ts';
import { type Settled, settled } from './settle.ts';
import type { Site } from './site.ts';

/** A round goes on for so long after its last fault, for its traces to be met by whatever runs. */
const AFTER_MS = 1500;
/** Every so many rounds all bottles go, and nothing may be left. */
const EMPTY_EVERY = 6;
const RETRIES = 3;

interface Parts {
  site: Site;
  journal: Journal;
  hands: Hands;
  lives: Lives;
  faults: Faults;
  invariants: Invariants;
}

export class Rounds {
  readonly #parts: Parts;
  readonly #say: (line: string) => void;
  readonly settled: Settled[] = [];
  rounds = 0;
  /** Histories that are to be kept, by file name. */
  readonly #kept = new Map<string, string>();
  readonly #over = new Set<string>();

  constructor(parts: Parts, say: (line: string) => void) {
    this.#parts = parts;
    this.#say = say;
  }

  async round(plan: RoundPlan): Promise<void> {
    const { journal, faults, lives, hands } = this.#parts;
    const start = performance.now();
    journal.round = plan.round;
    journal.note({ kind: 'note', text: `round ${plan.round}` });
    const over = new AbortController();
    const playing = plan.acts.map((acts, slot) => lives.play(slot, plan.round, acts, over.signal));
    const strikes: Promise<void>[] = [];
    for (const fault of plan.faults) {
      await sleep(Math.max(0, fault.atMs - (performance.now() - start)));
      strikes.push(faults.strike(fault));
    }
    await Promise.all(strikes);
    await sleep(AFTER_MS);
    over.abort();
    await faults.mendAll();
    const since = Date.now();
    // Who still acts must come to an end now that all is whole.
    const rested = this.#rest(since);
    await Promise.all([...playing, hands.idle()]);
    await rested;
    await this.#look(await this.#rest(since, true));
    this.rounds += 1;
    if (this.rounds % EMPTY_EVERY === 0) await this.empty();
    const rest = settleTimes(this.settled.slice(-plan.acts.length));
    this.#say(
      `round ${plan.round}: ${faults.kills} kills so far, ${Math.round((performance.now() - start) / 1000)} s, came to rest within ${Math.round((rest?.worstMs ?? 0) / 100) / 10} s, ${journal.violations.length} violations`,
    );
  }

  /** Takes everything down: nothing may be left. */
  async empty(): Promise<void> {
    const { lives, invariants, site, journal } = this.#parts;
    await Promise.all(
      this.#open().map(async (life) => {
        const { code, stderr } = await lives.down(life);
        if (code !== 0 && code !== 4)
          journal.violation('down fails', life.id, `code ${code}: ${stderr.trim().slice(-300)}`);
      }),
    );
    await this.#look(await this.#rest(Date.now(), true));
    await invariants.ofSecrets(new Set());
    for await (const { workflowId } of site.client.workflow.list({ query: "ExecutionStatus = 'Running'" }))
      journal.violation('open when all was taken down', workflowId, 'its launch runs');
  }

  #open(): Life[] {
    return [...this.#parts.lives.all.values()].filter(({ id }) => !this.#over.has(id));
  }

  /** How each life that is not over came to rest. @param counted the times of an earlier call are the ones that count */
  async #rest(since: number, again = false): Promise<Settled[]> {
    const { site, lives, journal } = this.#parts;
    const all = await Promise.all(this.#open().map(({ id }) => settled(site, lives, id, since)));
    for (const one of all) {
      const status = one.status?.steps.flatMap(({ id, error }) =>
        error === undefined ? [] : [`${id}: ${error.code}`],
      );
      const text = `${one.state} after ${one.ms} ms ${one.why} ${status?.join(', ') ?? ''}`;
      journal.note({ kind: 'settled', bottle: one.id, text });
    }
    if (!again) this.settled.push(...all.filter(({ state }) => state !== 'unknown'));
    return all;
  }

  /** Holds each life against the invariants; what is held is mended and must go on. */
  async #look(all: Settled[]): Promise<void> {
    const { lives, invariants, journal, site, hands } = this.#parts;
    const median = settleTimes(this.settled)?.medianMs ?? 0;
    const looked = await Promise.all(
      all.map(async (one) => {
        const life = lives.all.get(one.id) as Life;
        const last = one.state === 'held' ? await this.#mended(life, one) : one;
        await invariants.ofBottle(life, last);
        await invariants.ofMakings(life.id);
        if (last.state === 'closed' || (last.state === 'unknown' && !life.known)) {
          this.#over.add(life.id);
          lives.forget(life.id);
          lives.erase(life);
        }
        return { one, last };
      }),
    );
    await invariants.ofReplays();
    for (const { one, last } of looked) {
      const broken = journal.violations.some(({ bottle, round }) => bottle === one.id && round === journal.round);
      if (broken || isOutlier(one, median)) await this.#keep(one.id, last);
    }
    const open = new Set<string>();
    for await (const { workflowId } of site.client.workflow.list({ query: "ExecutionStatus = 'Running'" }))
      open.add(workflowId);
    for (const { id } of this.#open()) open.add(id);
    if (looked.some(({ one, last }) => last.state === 'closed' && lives.all.get(one.id)?.leaves === true)) {
      const { code, stderr } = await hands.run(['gc']);
      if (code !== 0) journal.violation('gc fails', undefined, `code ${code}: ${stderr.trim().slice(-300)}`);
    }
    await invariants.ofLeftovers(open);
  }

  /** A hold is mended by what it says and a retry, or it was none that a person could do anything about. */
  async #mended(life: Life, first: Settled): Promise<Settled> {
    const { lives, hands, site, journal } = this.#parts;
    let last = first;
    for (let tries = 0; tries < RETRIES && last.state === 'held'; tries += 1) {
      lives.mend(life);
      const { stderr } = await hands.run(['retry', life.id], life.id);
      // As its hint says: what is done was made from another manifest, which only `apply` takes over.
      if (stderr.includes('PLAN_CHANGED')) {
        await hands.run(['apply', life.id], life.id);
        await hands.run(['retry', life.id], life.id);
      }
      last = await settled(site, lives, life.id, Date.now());
    }
    if (last.state === 'held') {
      const held = last.status?.steps.filter(({ state }) => /held/.test(state)) ?? [];
      const text = held.map(({ id, error }) => `${id}: ${error?.code} ${error?.message}`).join('; ');
      journal.violation('held, and three retries change nothing', life.id, text);
    }
    return last;
  }

  async #keep(id: string, last: Settled): Promise<void> {
    const events = await eventsOf(this.#parts.site.client, id).catch(() => []);
    this.#kept.set(`${id}.history.json`, JSON.stringify({ events }, undefined, 1));
    this.#kept.set(`${id}.status.json`, JSON.stringify(last, undefined, 1));
  }

  /** Writes down what a violation is explained by. @returns the folder; undefined when there is nothing to explain */
  keepAll(tally: Tally, keep: string | undefined): string | undefined {
    const { journal, site } = this.#parts;
    if (keep === undefined && this.#kept.size === 0 && journal.violations.length === 0) return undefined;
    const folder = keep ?? mkdtempSync(path.join(os.tmpdir(), `bottle-chaos-kept-${tally.seed}-`));
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of this.#kept) writeFileSync(path.join(folder, name), text);
    writeFileSync(path.join(folder, 'journal.txt'), journal.text());
    writeFileSync(path.join(folder, 'report.txt'), `${reportLines(tally).join('\n')}\n`);
    const logs = path.join(site.settings.state, 'log');
    cpSync(logs, path.join(folder, 'log'), { recursive: true });
    return folder;
  }
}
