/** What a test of healing says of a bottle: how often each step has run, and what is in its machine. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { StatusDocument } from '../../src/core/status.ts';
import { docker, type Installation, isReady, uniqueId } from './installation.ts';

export const attempts = ({ steps }: StatusDocument): Record<string, number> =>
  Object.fromEntries(steps.map((step) => [step.id, step.attempts]));

/** Steps that have run since: how often each was tried depends on how busy the computer is. */
export function ranAgain(before: StatusDocument, after: StatusDocument): string[] {
  const then = attempts(before);
  return after.steps.filter(({ id, attempts: now }) => now > (then[id] ?? 0)).map(({ id }) => id);
}

/** Of a launch in which nothing has failed. */
export const ONCE = {
  prepare: 1,
  network: 1,
  bundle: 1,
  'machine.create': 1,
  'machine.start': 1,
  'provision.ca': 1,
  'provision.prompt': 1,
  'provision.skills': 1,
  'provision.git': 1,
  'provision.supervise': 1,
  'provision.agent': 1,
  check: 1,
};

/** What runs again when a machine is gone with all that was in it. */
export const ALL_OF_THE_MACHINE = [
  'machine.create',
  'machine.start',
  'provision.ca',
  'provision.prompt',
  'provision.skills',
  'provision.git',
  'provision.supervise',
  'provision.agent',
];

export const bundleOf = (id: string) => docker.getContainer(`bottle-${id}-bundle`);
export const machineOf = (id: string) => docker.getContainer(`bottle-${id}-machine`);

/** @returns the exit code of a command in the machine */
export async function inMachine(id: string, ...Cmd: string[]): Promise<number | null> {
  const exec = await machineOf(id).exec({ Cmd });
  await exec.start({ Detach: true });
  // Not by Vitest's poll, which knows no test beside which others run.
  for (;;) {
    const { Running, ExitCode } = await exec.inspect();
    if (!Running) return ExitCode;
    await sleep(50);
  }
}

/**
 * A ready bottle; `harm` does its worst to it; then it is ready again, having run just `again` once more.
 * @returns its id
 */
export async function heals(
  it: Installation,
  harm: (id: string) => Promise<unknown>,
  again: readonly string[],
): Promise<string> {
  const id = uniqueId('heal');
  await it.launch(id, { agent: 'demo' });
  const before = await it.waitFor(id, isReady);
  await harm(id);
  const after = await it.waitFor(id, (status) => isReady(status) && (status.healings?.count ?? 0) > 0);
  expect(ranAgain(before, after)).toEqual([...again, 'check']);
  expect(after.network).toEqual(before.network);
  expect(after.readyAt).toBe(before.readyAt);
  return id;
}

/** Takes it down; nothing of it is left. */
export async function goesDown(it: Installation, id: string): Promise<void> {
  expect(await it.down(id)).toEqual([]);
}
