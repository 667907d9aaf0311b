import { describe, expect, test } from 'vitest';
import { GraphRunner } from '../../../src/core/graph-runner.ts';
import { GRAPH_VERSION, LAUNCH_STEPS, type LaunchStep, launchSteps } from '../../../src/core/steps.ts';

const idsOf = (steps: readonly LaunchStep[]): string[] => steps.map(({ id }) => id);
const needsOf = (steps: readonly LaunchStep[], id: string) => steps.find((step) => step.id === id)?.needs;
const LAUNCHES = [{}, { copyCwd: 'all' as const }, { copyCwd: 'unignored' as const }];

describe('the steps of a launch', () => {
  test.each(LAUNCHES)('of %j come after all that they need, and after each other in one order', (launch) => {
    const ports = {
      run: () => Promise.resolve({ ok: true as const, attempts: 1 }),
      undo: () => Promise.resolve({ ok: true as const, attempts: 1 }),
      cancelRunning: () => undefined,
      publish: () => undefined,
      now: () => 0,
    };
    // It refuses a step that needs what does not come before it.
    expect(() => new GraphRunner(launchSteps(launch), ports)).not.toThrow();
    expect(new Set(idsOf(launchSteps(launch))).size).toBe(launchSteps(launch).length);
  });

  test('are the same for every launch, but for the folder that some copy in', () => {
    expect(launchSteps({})).toEqual(LAUNCH_STEPS);
    const copying = launchSteps({ copyCwd: 'all' });
    expect(idsOf(copying)).toEqual([...idsOf(LAUNCH_STEPS).slice(0, -1), 'provision.workspace', 'check']);
    expect(launchSteps({ copyCwd: 'unignored' })).toEqual(copying);
    // A history of another launch must not change with it.
    expect(needsOf(LAUNCH_STEPS, 'check')).not.toContain('provision.workspace');
  });

  test.each(LAUNCHES)('of %j end with a check of all that was written into the machine', (launch) => {
    const steps = launchSteps(launch);
    const provisioners = idsOf(steps).filter((id) => id.startsWith('provision.'));
    expect(needsOf(steps, 'check')).toEqual(provisioners);
    expect(provisioners).toContain('provision.ca');
    for (const id of provisioners) expect([id, needsOf(steps, id)]).toEqual([id, ['bundle', 'machine.start']]);
  });

  test('undo what the contract says, in this order', () => {
    expect(LAUNCH_STEPS.flatMap((spec) => ('undo' in spec ? [spec.undo] : [])).reverse()).toEqual([
      'machine.stop',
      'machine.delete',
      'bundle.remove',
      'network.remove',
      'state.remove',
    ]);
  });

  test('are of a graph with a version: one that is open goes on with the graph it began with', () => {
    // What is here is in the histories of open launches. A step that comes, goes or needs something else makes another
    // version, which joins these; none is changed (ARCHITECTURE, "A step that is added later").
    const machine = ['bundle', 'machine.start'];
    const provisioners = ['ca', 'prompt', 'skills', 'git', 'supervise', 'agent'].map((name) => `provision.${name}`);
    const graphs: Record<number, Record<string, string[]>> = {
      1: {
        prepare: [],
        network: ['prepare'],
        bundle: ['network'],
        'machine.create': ['network'],
        'machine.start': ['machine.create'],
        ...Object.fromEntries(provisioners.map((id) => [id, machine])),
        'provision.workspace': machine,
        check: [...provisioners, 'provision.workspace'],
      },
    };
    expect(Math.max(...Object.keys(graphs).map(Number))).toBe(GRAPH_VERSION);
    for (const [version, graph] of Object.entries(graphs)) {
      const steps = launchSteps({ copyCwd: 'all' }, Number(version));
      expect(Object.fromEntries(steps.map(({ id, needs }) => [id, needs]))).toEqual(graph);
    }
    expect(() => launchSteps({}, GRAPH_VERSION + 1)).toThrow('of a newer version of bottle');
  });

  test('never share a name between a step and a compensation, so that a decision names one thing', () => {
    const steps = launchSteps({ copyCwd: 'all' });
    const names = steps.flatMap((spec) => (spec.undo === undefined ? [spec.id] : [spec.id, spec.undo]));
    expect(new Set(names).size).toBe(names.length);
  });

  test('say in a few words each what they do', () => {
    for (const { summary } of launchSteps({ copyCwd: 'all' })) expect(summary).toMatch(/^[A-Z][^\n]{5,80}[^.]$/);
  });
});
