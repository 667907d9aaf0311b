import { expect, test } from 'vitest';
import { type CarriedLaunch, readCarried } from '../../../src/core/carried-launch.ts';
import { GraphRunner } from '../../../src/core/graph-runner.ts';
import { Observation } from '../../../src/core/observation.ts';
import { launchSteps } from '../../../src/core/steps.ts';

const ports = {
  run: () => new Promise<never>(() => undefined),
  undo: () => new Promise<never>(() => undefined),
  cancelRunning: () => undefined,
  publish: () => undefined,
  now: () => 0,
};
const carried = (change: Partial<Record<keyof CarriedLaunch, unknown>> = {}): unknown =>
  JSON.parse(
    JSON.stringify({
      form: 1,
      startedAt: '2026-11-24T10:00:00.000Z',
      graphVersion: 1,
      graph: new GraphRunner(launchSteps({}), ports).snapshot(),
      observed: new Observation().snapshot(),
      delivery: { given: 0, known: 0 },
      ...change,
    }),
  );

test('what a run carries over is taken in as it is', () => {
  expect(readCarried(carried())).toEqual(carried());
});

test.each([
  [undefined, 'carried: expected an object'],
  [carried({ form: 2 }), 'form: expected 1, and not 2'],
  [carried({ startedAt: 7 }), 'startedAt: expected a text'],
  [carried({ graphVersion: 'new' }), 'graphVersion: expected a number'],
  [carried({ graph: { steps: {} } }), 'graph.steps: expected a list'],
  [carried({ graph: { steps: [{ id: 'network', state: 'running' }] } }), 'graph.steps[0].state: expected pending'],
  [carried({ graph: { steps: [], readyAt: -1 } }), 'graph.readyAt: expected a number'],
  [carried({ observed: {} }), 'observed.refused: expected a list'],
  [carried({ delivery: { given: 0 } }), 'delivery.known: expected a number'],
])('what is of another version is refused by name (%#)', (value, words) => {
  expect(() => readCarried(value)).toThrow(words);
});

test('a graph of a newer version is refused', () => {
  expect(() => launchSteps({}, 1000)).toThrow('graph 1000 is of a newer version of bottle');
});
