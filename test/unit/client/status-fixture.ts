/** Status documents for tests, from a list of steps. */
import type { StatusDocument, StepStatus } from '../../../src/core/status.ts';

export const STARTED = Date.parse('2026-11-23T10:00:00.000Z');

export function status(steps: StepStatus[], over: Partial<StatusDocument> = {}): StatusDocument {
  return {
    id: 'demo',
    agent: 'researcher',
    phase: 'launching',
    host: 'mac-1',
    driver: 'docker',
    runId: 'run-1',
    uiUrl: 'http://127.0.0.1:8233/namespaces/default/workflows/demo/run-1/history',
    startedAt: new Date(STARTED).toISOString(),
    readyAt: null,
    stoppedBy: null,
    network: null,
    bundle: null,
    machine: null,
    steps,
    requests: [],
    ...over,
  };
}

export function step(id: string, state: StepStatus['state'], over: Partial<StepStatus> = {}): StepStatus {
  const started = state === 'pending' ? {} : { startedAt: new Date(STARTED + 100).toISOString() };
  return { id, state, attempts: state === 'pending' ? 0 : 1, ...started, ...over };
}

export const missingSkill = {
  code: 'SKILL_NOT_FOUND',
  message: 'there is no skill "notes": looked at /home/me/.bottle/skills/notes',
  hint: 'put it there, then retry',
};

export const launching: StatusDocument = status([
  step('prepare', 'done', { durationMs: 12 }),
  step('network', 'done', { durationMs: 84 }),
  step('bundle', 'running', { attempts: 2, error: { code: 'DOCKER_ERROR', message: 'the Engine is busy' } }),
  step('machine.create', 'done', { durationMs: 1234 }),
  step('check', 'pending'),
]);

export const held: StatusDocument = status(
  [
    step('network', 'done', { durationMs: 84 }),
    step('provision.prompt', 'skipped', { durationMs: 3 }),
    step('provision.skills', 'held', { durationMs: 46, error: missingSkill }),
    step('check', 'pending'),
  ],
  { phase: 'held' },
);

export const undoHeld: StatusDocument = status(
  [
    step('network', 'undo-held', { durationMs: 84, error: { code: 'DOCKER_ERROR', message: 'has active endpoints' } }),
    step('bundle', 'undone', { durationMs: 900 }),
    step('check', 'undone'),
  ],
  { phase: 'held' },
);
