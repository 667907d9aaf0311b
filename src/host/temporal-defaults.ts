/**
 * What bottle needs a Temporal server to be like, wherever it runs: the embedded server gets these as flags,
 * the compose file as files (a test holds the two equal).
 */

/** Contract: search attributes, all of type Keyword. SQL visibility has room for ten of them a namespace. */
export const SEARCH_ATTRIBUTES = ['BottlePhase', 'BottleAgent', 'BottleHost', 'BottleStep'] as const;

/** How long closed launches stay listed (`bottle ls --all`) and their histories readable. */
export const RETENTION_DAYS = 7;

/**
 * Dynamic configuration (names: temporalio/temporal, common/dynamicconfig/constants.go).
 * - The queue processors poll at most 20 times a second by default, which makes every hop cost 50 ms.
 * - A timer that is due sooner than the largest shift, 1 s by default, fires late by up to that: the next attempt
 *   after a back-off of 0.2 s, and the attempt handed over from a dead worker (measured: 0.8 s instead of 0.1 s).
 * - A workflow task that a killed worker had in hand is given to the next one after its timeout, 10 s by default.
 *   Ours take some 10 ms.
 * - Eager execution hands an activity to the worker in the answer to its workflow task; off by default before 1.32.
 * - One worker with few pollers a queue: partitions would only forward tasks to each other.
 */
export const DYNAMIC_CONFIG: Readonly<Record<string, number | boolean | string>> = {
  'history.transferProcessorMaxPollRPS': 2000,
  'history.timerProcessorMaxPollRPS': 2000,
  'history.timerProcessorMaxTimeShift': '10ms',
  'history.defaultWorkflowTaskTimeout': '3s',
  'history.visibilityProcessorMaxPollRPS': 2000,
  'system.enableActivityEagerExecution': true,
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
};
