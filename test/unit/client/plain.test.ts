import { expect, test } from 'vitest';
import { plainLines, stepLine } from '../../../src/client/render/plain.ts';
import { held, launching, missingSkill, status, step } from './status-fixture.ts';

test('the first document tells what is past pending, one line a step', () => {
  expect(plainLines()(launching)).toEqual([
    'prepare              done     12 ms',
    'network              done     84 ms',
    'bundle               running  attempt 2  error[DOCKER_ERROR]: the Engine is busy',
    'machine.create       done     1.2 s',
  ]);
});

test('later documents tell only what changed', () => {
  const lines = plainLines();
  lines(status([step('network', 'running'), step('check', 'pending')]));
  expect(lines(status([step('network', 'running'), step('check', 'pending')]))).toEqual([]);
  expect(lines(status([step('network', 'done', { durationMs: 84 }), step('check', 'running')]))).toEqual([
    'network              done     84 ms',
    'check                running',
  ]);
});

test('another automatic attempt of a running step is a change', () => {
  const lines = plainLines();
  lines(status([step('network', 'running')]));
  const error = { code: 'DOCKER_ERROR', message: 'busy' };
  expect(lines(status([step('network', 'running', { attempts: 2, error })]))).toEqual([
    'network              running  attempt 2  error[DOCKER_ERROR]: busy',
  ]);
});

test('whoever joins a launch is not told again what was settled before', () => {
  expect(plainLines(true)(held)).toEqual([
    `provision.skills     held     46 ms  error[SKILL_NOT_FOUND]: ${missingSkill.message}`,
  ]);
});

test('an undone step does not repeat how long it ran or how it once failed', () => {
  expect(stepLine(step('network', 'undone', { durationMs: 84, attempts: 3, error: missingSkill }))).toBe(
    'network              undone',
  );
});
