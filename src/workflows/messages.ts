/**
 * Everything that crosses the border of a BottleLaunch: type, updates, query, search attributes, input.
 * Shared by the workflow and by clients, so it imports no activity and no Node API
 * (form: temporalio/samples-typescript, message-passing/safe-message-handlers).
 */
import { defineSearchAttributeKey } from '@temporalio/common';
import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { StatusDocument } from '../core/status.ts';

export type { LaunchInput } from '../core/launch-input.ts';

export const BOTTLE_LAUNCH = 'BottleLaunch';

/** Runs a held step again, in place; a held undo too. Argument: a step id; without one, every held step. */
export const retryUpdate = defineUpdate<string, [step?: string]>('retry');
/** Treats a held step (or undo) as done. */
export const skipUpdate = defineUpdate<string, [step?: string]>('skip');
/** Gives a held launch up: everything is undone, the workflow fails with type `Aborted`. */
export const abortUpdate = defineUpdate<string, [step?: string]>('abort');
/** Stops a bottle in any phase: everything is undone, the workflow completes. */
export const stopUpdate = defineUpdate<string, []>('stop');

/**
 * Answers what the agent asked. Argument: `{request, decision: "approve" | "deny", note?, for?, private?}`, or the same in that
 * order; `for` (`10m`) is how long a granted route lasts.
 */
export const decideUpdate = defineUpdate<string, unknown[]>('decide');
/** Resolves the secrets again and hands them to the daemons; the machine is not touched. */
export const reloadUpdate = defineUpdate<string, []>('reload');
/** Takes over what has changed in the manifest, in place: just the steps whose part of it changed run again. */
export const applyUpdate = defineUpdate<string, []>('apply');

export const statusQuery = defineQuery<StatusDocument>('status');

export const phaseAttribute = defineSearchAttributeKey('BottlePhase', 'KEYWORD');
export const agentAttribute = defineSearchAttributeKey('BottleAgent', 'KEYWORD');
export const hostAttribute = defineSearchAttributeKey('BottleHost', 'KEYWORD');
/** The held step; unset while none is. */
export const stepAttribute = defineSearchAttributeKey('BottleStep', 'KEYWORD');

/** `ApplicationFailure` types a BottleLaunch can end or answer with. */
export const FAILURE = {
  invalidInput: 'InvalidInput',
  aborted: 'Aborted',
  notHeld: 'NotHeld',
  noSuchRequest: 'NoSuchRequest',
  /** Its one detail is an error of the table, with code, message and hint. */
  refused: 'Refused',
} as const;
