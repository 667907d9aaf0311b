/** How many bottles a host takes, and what a launch that has to wait waits for. Pure: what the host has comes in as numbers. */

/** What there is too little of; `turn`: others asked before. */
export type Shortage = 'launching' | 'bottles' | 'cpus' | 'memory' | 'disk' | 'turn';

export interface WaitsFor {
  what: Shortage;
  /** One line for people. */
  message: string;
}

/** Limits of a host. Null: there is none. */
export interface Capacity {
  /** Bottles that are there at a time. */
  bottles: number;
  /** Launches at a time. */
  launching: number;
  /** CPUs that all machines may use together, as their `resources.cpus` say. */
  cpus: number | null;
  /** What must stay free, in MiB. */
  freeMemoryMiB: number;
  freeDiskMiB: number;
}

/** What a host has, and what is promised to those that are there or on their way. Null: that cannot be told here. */
export interface HostLoad {
  bottles: number;
  launching: number;
  cpus: number;
  freeMemoryMiB: number | null;
  /** Where the Engine keeps containers. */
  freeDiskMiB: number | null;
  /** Where this program keeps its state. */
  freeStateMiB: number | null;
}

/** What a machine has to be shared out. */
export interface HostSize {
  cores: number;
  memoryMiB: number;
}

/** A bundle with all its daemons, and a machine whose agent has begun to work: what a launch takes before it can be measured. */
export const LAUNCH_MIB = 256;
/** The state of a bottle is some small files; below this, what all bottles write there begins to be at risk. */
const STATE_MIB = 64;
/** A bottle at rest, seen over days: bundle, machine, and what the Engine has for both. */
const REST_MIB = 192;

/** What a host takes where its config.yaml says nothing. */
export function defaultCapacity({ cores, memoryMiB }: HostSize): Capacity {
  return {
    bottles: Math.max(1, Math.floor((memoryMiB * 0.9) / REST_MIB)),
    // Each is mostly the Engine's work, which more at a time only makes slower.
    launching: Math.min(16, Math.max(2, cores * 2)),
    // Agents wait for their models most of the time, so machines may be promised more than there is.
    cpus: null,
    freeMemoryMiB: Math.min(2048, Math.max(128, Math.floor(memoryMiB / 20))),
    freeDiskMiB: 1024,
  };
}

/** Why one more launch has to wait; undefined when there is room for it. */
export function shortage(capacity: Capacity, load: HostLoad, wanted: { cpus: number }): WaitsFor | undefined {
  const { bottles, launching, cpus, freeMemoryMiB, freeDiskMiB } = capacity;
  if (load.bottles >= bottles)
    return { what: 'bottles', message: `there are ${load.bottles} bottles, and may be ${bottles} (capacity.bottles)` };
  const promised = load.launching * LAUNCH_MIB;
  const free = load.freeMemoryMiB === null ? null : Math.floor(load.freeMemoryMiB - promised);
  if (free !== null && free - LAUNCH_MIB < freeMemoryMiB) {
    const less = promised === 0 ? '' : ' when those that launch have theirs';
    const message = `${Math.max(0, free)} MiB of memory are free${less}; a launch takes ${LAUNCH_MIB}, and ${freeMemoryMiB} must stay free (capacity.freeMemoryMiB)`;
    return { what: 'memory', message };
  }
  if (load.freeDiskMiB !== null && load.freeDiskMiB < freeDiskMiB) {
    const message = `${Math.floor(load.freeDiskMiB)} MiB of disk are free, and ${freeDiskMiB} must stay so (capacity.freeDiskMiB)`;
    return { what: 'disk', message };
  }
  const state = Math.min(STATE_MIB, freeDiskMiB);
  if (load.freeStateMiB !== null && load.freeStateMiB < state) {
    const message = `${Math.floor(load.freeStateMiB)} MiB are free on the disk of BOTTLE_STATE, and ${state} must stay so`;
    return { what: 'disk', message };
  }
  if (cpus !== null && load.cpus > 0 && load.cpus + wanted.cpus > cpus) {
    const message = `machines have ${load.cpus} CPUs, this one wants ${wanted.cpus}, and all may have ${cpus} (capacity.cpus)`;
    return { what: 'cpus', message };
  }
  if (load.launching >= launching)
    return {
      what: 'launching',
      message: `${load.launching} launch already, and ${launching} may (capacity.launching)`,
    };
  return undefined;
}

/** What those behind the first in the line wait for. @param ahead how many asked before */
export const turnOf = (ahead: number, first: WaitsFor): WaitsFor => ({
  what: 'turn',
  message: `${ahead === 1 ? 'one launch is' : `${ahead} launches are`} before it${first.what === 'turn' ? '' : `; the first waits for ${waitsForText(first)}`}`,
});

/** `memory: 300 MiB ...`; others' turn needs no more words. */
export const waitsForText = ({ what, message }: WaitsFor): string =>
  what === 'turn' ? `its turn: ${message}` : `${NAMES[what]}: ${message}`;

const NAMES: Record<Exclude<Shortage, 'turn'>, string> = {
  launching: 'other launches',
  bottles: 'other bottles to go',
  cpus: 'CPUs',
  memory: 'memory',
  disk: 'disk',
};
