import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ENGINE_KINDS, FAULTS, FAULTS_A_ROUND, type FaultKind, planRound } from '../../chaos/plan.ts';

const kinds = Object.keys(FAULTS) as FaultKind[];
const options = { seed: 7, round: 3, bottles: 4, faults: 200, kinds };

describe('the plan of a round', () => {
  test('is the same for the same seed', () => {
    expect(planRound(options)).toEqual(planRound(options));
  });

  test.each([
    ['seed', { seed: 8 }],
    ['round', { round: 4 }],
  ])('is another one for another %s', (_what, change) => {
    const [one, other] = [planRound(options), planRound({ ...options, ...change })];
    expect(one.faults).not.toEqual(other.faults);
    expect(one.acts).not.toEqual(other.acts);
  });

  test('is not changed by more bottles but for theirs', () => {
    const [few, many] = [planRound({ ...options, bottles: 2 }), planRound(options)];
    expect(many.faults).toEqual(few.faults);
    expect(many.acts.slice(0, 2)).toEqual(few.acts);
    expect(many.acts).toHaveLength(4);
  });

  test('has faults in order, of every kind that it may have and of no other', () => {
    const { faults } = planRound(options);
    expect(faults.map(({ atMs }) => atMs)).toEqual(faults.map(({ atMs }) => atMs).sort((a, b) => a - b));
    expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(kinds));
    const only = planRound({ ...options, kinds: ['worker-kill', 'disk-full'] }).faults;
    expect(new Set(only.map(({ kind }) => kind))).toEqual(new Set(['worker-kill', 'disk-full']));
  });

  test('of CI breaks everything at least once', () => {
    const command = /--seed (\d+) --round (\d+)/.exec(readFileSync('.ci/run', 'utf8'));
    const [seed, round] = [Number(command?.[1]), Number(command?.[2])];
    const all = kinds.filter((kind) => !ENGINE_KINDS.includes(kind));
    const { faults } = planRound({ seed, round, bottles: 3, faults: FAULTS_A_ROUND, kinds: all });
    expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(all));
  });
});
