/** Waits until a bottle has come to rest, with nothing broken any more: ready and whole, held with a reason, or gone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import { bottleName, bundleName, LABEL, machineName } from '../../src/core/names.ts';
import type { StatusDocument } from '../../src/core/status.ts';
import type { Lives } from './lives.ts';
import { containersOf, networksOf, type Site } from './site.ts';

export interface Settled {
  id: string;
  state: 'ready' | 'held' | 'closed' | 'unknown' | 'wedged';
  ms: number;
  /** The last that the launch said of itself. */
  status: StatusDocument | undefined;
  /** Why it is no rest; for one that is wedged. */
  why: string;
}

/** It is a failure, however busy this computer is. */
const LIMIT_MS = 180_000;
const POLL_MS = 400;

/** @returns `unknown` where Temporal knows no launch of that id; `wedged` after three minutes without rest */
export async function settled(site: Site, lives: Lives, id: string, since: number): Promise<Settled> {
  for (;;) {
    const { state, status, why } = await look(site, lives, id);
    const ms = Date.now() - since;
    if (state !== undefined) return { id, state, ms, status, why };
    if (ms > LIMIT_MS) return { id, state: 'wedged', ms, status, why };
    await sleep(POLL_MS);
  }
}

interface Look {
  state: Exclude<Settled['state'], 'wedged'> | undefined;
  status?: StatusDocument | undefined;
  why: string;
}

async function look(site: Site, lives: Lives, id: string): Promise<Look> {
  try {
    const { status } = await site.client.workflow.getHandle(id).describe();
    if (status.name !== 'RUNNING') return { state: 'closed', why: status.name };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { state: 'unknown', why: 'Temporal does not know it' };
    return { state: undefined, why: String(error) };
  }
  const status = await lives.status(id, 20_000);
  if (status === undefined) return { state: undefined, why: 'it does not tell its status' };
  const under = status.steps.filter(({ state }) => state === 'running' || state === 'undoing').map((step) => step.id);
  if (under.length > 0) return { state: undefined, status, why: `${status.phase}, under way: ${under.join(', ')}` };
  if (status.phase === 'held') return { state: 'held', status, why: '' };
  if (status.healings?.nextAt !== undefined) {
    await lives.hurry(id);
    return { state: undefined, status, why: `${status.phase}, made again at ${status.healings.nextAt}` };
  }
  if (status.phase !== 'ready') return { state: undefined, status, why: `${status.phase}, and nothing under way` };
  // Who skips what makes a thing wants to do without it.
  const lack = skipsMakings(status) ? undefined : await lacking(site, id);
  return lack === undefined
    ? { state: 'ready', status, why: '' }
    : { state: undefined, status, why: `says ready, and ${lack}` };
}

const MAKINGS: ReadonlySet<string> = new Set(['bundle', 'machine.create', 'machine.start', 'check']);

/** Whether a person has skipped a step without which a bottle cannot work. */
export const skipsMakings = ({ steps }: StatusDocument): boolean =>
  steps.some(({ id, state }) => state === 'skipped' && MAKINGS.has(id));

/** What a ready bottle must have and has not, by what the Engine says; undefined when it is whole. */
async function lacking(site: Site, id: string): Promise<string | undefined> {
  const [containers, networks] = await Promise.all([containersOf(site, `${LABEL.bottle}=${id}`), networksOf(site)]);
  if (!networks.some(({ Name }) => Name === bottleName(id))) return 'its network is not there';
  for (const name of [bundleName(id), machineName(id)]) {
    const found = containers.find(({ Names }) => Names[0] === `/${name}`);
    if (found === undefined) return `${name} is not there`;
    if (found.State !== 'running') return `${name} is ${found.State}`;
    if (found.NetworkSettings.Networks[bottleName(id)] === undefined) return `${name} is not on its network`;
  }
  return undefined;
}
