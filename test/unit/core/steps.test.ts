import { describe, expect, test } from 'vitest';
import { GraphRunner } from '../../../src/core/graph-runner.ts';
import { LAUNCH_STEPS, type LaunchStep, launchSteps } from '../../../src/core/steps.ts';

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

  test('never share a name between a step and a compensation, so that a decision names one thing', () => {
    const steps = launchSteps({ copyCwd: 'all' });
    const names = steps.flatMap((spec) => (spec.undo === undefined ? [spec.id] : [spec.id, spec.undo]));
    expect(new Set(names).size).toBe(names.length);
  });

  test('say in a few words each what they do', () => {
    for (const { summary } of launchSteps({ copyCwd: 'all' })) expect(summary).toMatch(/^[A-Z][^\n]{5,80}[^.]$/);
  });
});
