/** Looks for files in a running machine, as the agent sees them. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { BottleError } from '../../core/errors.ts';
import type { MachineDriver } from './driver.ts';

type Machine = Pick<MachineDriver, 'exec'>;

/** A link that leads nowhere is there. */
const MISSING = 'for at in "$@"; do [ -e "$at" ] || [ -L "$at" ] || printf "%s\\0" "$at"; done';

/**
 * @returns those of the absolute paths at which there is nothing
 * @throws BottleError `PROVISION_FAILED`; what the driver's `exec` throws
 */
export async function missingIn(machine: Machine, id: string, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  return (await printed(machine, id, ['sh', '-c', MISSING, 'sh', ...paths])).split('\0').filter((at) => at !== '');
}

/** Whether a directory has nothing in it, or is not there. @throws as {@link missingIn} */
export async function isEmptyIn(machine: Machine, id: string, directory: string): Promise<boolean> {
  const first = ['sh', '-c', '[ ! -d "$1" ] || find "$1" -mindepth 1 -maxdepth 1 -print -quit', 'sh', directory];
  return (await printed(machine, id, first)) === '';
}

async function printed(machine: Machine, id: string, argv: string[]): Promise<string> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough().resume()];
  const said = text(stdout);
  const { exitCode } = await machine.exec(id, { argv, workdir: '/', stdout, stderr }).finally(() => stdout.end());
  if (exitCode === 0) return said;
  throw new BottleError('PROVISION_FAILED', `looking for files in the machine ended with ${exitCode}`);
}
