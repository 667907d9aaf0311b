/** Figures of the bench document: a median with its spread. */

export interface Figure {
  name: string;
  /** Median of the runs. */
  value: number;
  unit: string;
  goal?: number;
  n: number;
  min: number;
  max: number;
}

export function figure(name: string, values: readonly number[], unit: string, goal?: number): Figure {
  const sorted = values.map(rounded).sort((a, b) => a - b);
  return {
    name,
    value: rounded(median(sorted)),
    unit,
    ...(goal === undefined ? {} : { goal }),
    n: sorted.length,
    min: sorted[0] as number,
    max: sorted.at(-1) as number,
  };
}

/** Of neighbours: the i-th of one over the i-th of the other. */
export function ratios(over: readonly number[], under: readonly number[]): number[] {
  return over.map((value, i) => value / (under[i] as number));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

const rounded = (value: number): number =>
  Math.abs(value) < 100 ? Math.round(value * 1000) / 1000 : Math.round(value);
