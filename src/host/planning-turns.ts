import os from 'node:os';
import { someAtATime } from '../core/some-at-a-time.ts';

/**
 * Gives turns to the plans of launches. Making one is work for the worker's own thread. Of a hundred launches that are asked for
 * at once, those whose turn it is are done sooner, and the decisions about ready bottles, which that thread takes too, are not
 * behind all of them.
 */
export const inPlanningTurn = someAtATime(os.availableParallelism() + 2);
