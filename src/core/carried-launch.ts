/** What one run of a long-lived launch hands to the next: everything that counts, as plain data. */
import type { GraphSnapshot } from './graph-runner.ts';
import type { ObservationSnapshot } from './observation.ts';

export interface CarriedLaunch {
  /** Of this form; a field that is added later is optional, or this goes up. */
  readonly form: 1;
  /** When the launch began, ISO 8601. */
  readonly startedAt: string;
  /** The version of the graph the launch began with (steps.ts). */
  readonly graphVersion: number;
  readonly graph: GraphSnapshot;
  readonly observed: ObservationSnapshot;
  readonly delivery: DeliverySnapshot;
}

/** What the bundle and its host know of the agent's requests. */
export interface DeliverySnapshot {
  /** How many answers the bundle has been given. */
  readonly given: number;
  /** The version of the book that the host knows. */
  readonly known: number;
}

const STATES = ['pending', 'done', 'held', 'skipped', 'undone', 'undo-held'];

/**
 * Takes in what a run before this one carried over. Nobody but a workflow of ours can have made it, so what does not fit is
 * of another version of bottle: the caller must not end the launch over it, which would undo nothing.
 * @throws Error that names the first thing that does not fit
 */
export function readCarried(value: unknown): CarriedLaunch {
  const carried = object(value, 'carried');
  if (carried['form'] !== 1) throw misfit('form', `1, and not ${String(carried['form'])}`);
  text(carried['startedAt'], 'startedAt');
  count(carried['graphVersion'], 'graphVersion');
  const graph = object(carried['graph'], 'graph');
  for (const [at, each] of array(graph['steps'], 'graph.steps').entries()) {
    const name = `graph.steps[${at}]`;
    const step = object(each, name);
    text(step['id'], `${name}.id`);
    if (!STATES.includes(step['state'] as string)) throw misfit(`${name}.state`, STATES.join(', '));
    if (typeof step['touched'] !== 'boolean') throw misfit(`${name}.touched`, 'true or false');
    for (const field of ['attempts', 'lost', 'lastStart']) count(step[field], `${name}.${field}`);
  }
  if (graph['readyAt'] !== undefined) count(graph['readyAt'], 'graph.readyAt');
  if (graph['ending'] !== undefined) text(object(graph['ending'], 'graph.ending')['kind'], 'graph.ending.kind');
  const observed = object(carried['observed'], 'observed');
  for (const field of ['refused', 'killed']) array(observed[field], `observed.${field}`);
  object(observed['daemons'], 'observed.daemons');
  const book = object(observed['book'], 'observed.book');
  for (const [at, request] of array(book['requests'], 'observed.book.requests').entries())
    text(object(request, `observed.book.requests[${at}]`)['id'], `observed.book.requests[${at}].id`);
  for (const field of ['answers', 'forgotten', 'version']) count(book[field], `observed.book.${field}`);
  for (const field of ['changed', 'dropped']) object(book[field], `observed.book.${field}`);
  const delivery = object(carried['delivery'], 'delivery');
  for (const field of ['given', 'known']) count(delivery[field], `delivery.${field}`);
  return value as CarriedLaunch;
}

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw misfit(name, 'an object');
  return value as Record<string, unknown>;
}

function array(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw misfit(name, 'a list');
  return value;
}

function text(value: unknown, name: string): void {
  if (typeof value !== 'string') throw misfit(name, 'a text');
}

function count(value: unknown, name: string): void {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw misfit(name, 'a number from 0 on');
}

const misfit = (name: string, expected: string): Error =>
  new Error(`what the run before carried over is not of this version of bottle: ${name}: expected ${expected}`);
