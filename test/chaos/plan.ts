/**
 * What a run of chaos does, drawn from its seed before anything happens: what breaks and when, and what the hands of each
 * slot decide next. Pure, so the same seed is the same plan. A round is drawn for itself, so one can be played alone.
 */
import { seeded } from '../support/random.ts';

/** What can break. `weight`: how often, among the others; `kill`: something dies or is gone by it, rather than waits. */
export const FAULTS = {
  'worker-kill': { weight: 9, kill: true },
  'server-kill': { weight: 5, kill: true },
  'client-kill': { weight: 9, kill: true },
  'bundle-kill': { weight: 9, kill: true },
  'machine-kill': { weight: 8, kill: true },
  'bundle-remove': { weight: 5, kill: true },
  'machine-remove': { weight: 5, kill: true },
  'network-remove': { weight: 3, kill: true },
  'bundle-disconnect': { weight: 2, kill: false },
  'worker-freeze': { weight: 3, kill: false },
  'server-freeze': { weight: 3, kill: false },
  'bundle-freeze': { weight: 2, kill: false },
  'machine-freeze': { weight: 2, kill: false },
  'docker-refuse': { weight: 2, kill: false },
  'docker-hang': { weight: 2, kill: false },
  'docker-cut': { weight: 3, kill: false },
  'disk-full': { weight: 2, kill: false },
  // The Engine itself, where the run has one of its own: killed, stopped as a service manager does, or its computer gone.
  'engine-kill': { weight: 2, kill: true },
  'engine-stop': { weight: 2, kill: true },
  'engine-power': { weight: 1, kill: true },
} as const satisfies Record<string, { weight: number; kill: boolean }>;

export type FaultKind = keyof typeof FAULTS;

/** Just for a run that has an Engine of its own. */
export const ENGINE_KINDS: readonly FaultKind[] = ['engine-kill', 'engine-stop', 'engine-power'];

export const FAULTS_A_ROUND = 22;

export interface Fault {
  /** Milliseconds after the round's beginning. */
  readonly atMs: number;
  readonly kind: FaultKind;
  /** In [0, 1): which of those that are there then. */
  readonly pick: number;
  /** Milliseconds until what died is started again, or what stands still goes on. */
  readonly lastsMs: number;
}

/** What a hand does next is chosen by these from what can be done with its bottle at that moment. */
export interface Act {
  /** Milliseconds after the hand's last act. */
  readonly gapMs: number;
  /** Each in [0, 1). */
  readonly dice: readonly [number, number];
}

export interface RoundPlan {
  readonly round: number;
  /** In the order of their instants. */
  readonly faults: readonly Fault[];
  /** For each slot, what its hand does one after the other. */
  readonly acts: readonly (readonly Act[])[];
}

export interface PlanOptions {
  seed: number;
  /** From 1. */
  round: number;
  bottles: number;
  /** How many faults a round has. */
  faults: number;
  kinds: readonly FaultKind[];
}

/** On average; now and then two come at nearly the same instant. */
const FAULTS_APART_MS = 1600;
const AT_ONCE = { chance: 0.25, withinMs: 80 };
const ACTS_APART_MS = 1500;
/** More than a hand comes to in one round. */
const ACTS = 40;

/** One round of a seed. Of more bottles, the first ones do the same; the faults are the same for any number. */
export function planRound({ seed, round, bottles, faults, kinds }: PlanOptions): RoundPlan {
  const random = seeded(mixed(seed, round, 0));
  let atMs = 0;
  const drawn = Array.from({ length: faults }, (): Fault => {
    const close = random() < AT_ONCE.chance;
    atMs += close ? random() * AT_ONCE.withinMs : waiting(random, FAULTS_APART_MS);
    const kind = chosen(random(), kinds);
    return { atMs: Math.round(atMs), kind, pick: random(), lastsMs: Math.round(200 + random() ** 2 * 6000) };
  });
  const acts = Array.from({ length: bottles }, (_, slot) => {
    const hand = seeded(mixed(seed, round, slot + 1));
    return Array.from(
      { length: ACTS },
      (): Act => ({ gapMs: Math.round(waiting(hand, ACTS_APART_MS)), dice: [hand(), hand()] }),
    );
  });
  return { round, faults: drawn, acts };
}

/** Times between things that happen independently of each other. */
const waiting = (random: () => number, meanMs: number): number => -Math.log(1 - random()) * meanMs;

function chosen(dice: number, kinds: readonly FaultKind[]): FaultKind {
  const total = kinds.reduce((sum, kind) => sum + FAULTS[kind].weight, 0);
  let left = dice * total;
  for (const kind of kinds) {
    left -= FAULTS[kind].weight;
    if (left < 0) return kind;
  }
  return kinds[kinds.length - 1] as FaultKind;
}

/** Neighbouring seeds and rounds must not draw alike. */
function mixed(...parts: number[]): number {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((part >>> shift) & 0xff), 0x01000193);
  }
  return hash >>> 0;
}
