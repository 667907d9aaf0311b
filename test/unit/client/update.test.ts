import { ServiceError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { isUnheard } from '../../../src/client/update.ts';

const refused = (type: string): Error =>
  new WorkflowUpdateFailedError('Workflow Update failed', ApplicationFailure.nonRetryable('why', type));
const answered = (code: number): Error =>
  new ServiceError('Workflow Update failed', { cause: Object.assign(new Error('why'), { code }) });

describe('an update that no launch has seen may be sent again:', () => {
  test('the server refuses it when a worker died with it in hand', () => {
    expect(isUnheard(refused('UnprocessedUpdate'))).toBe(true);
  });

  test('the server answers so when the workflow task failed that brought it', () => {
    expect(isUnheard(answered(9))).toBe(true);
  });

  test.each(['NotHeld', 'Refused', 'AcceptedUpdateCompletedWorkflow'])('but not when a launch answered %s', (type) => {
    expect(isUnheard(refused(type))).toBe(false);
  });

  test.each([3, 5, 14])('nor for any other answer of the server (%i)', (code) => {
    expect(isUnheard(answered(code))).toBe(false);
  });
});
