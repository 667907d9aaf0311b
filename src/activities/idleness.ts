/** Whether anything still happens in a machine: a bottle that nobody uses any more may be stopped by itself. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { sleep } from '@temporalio/activity';
import type { MachineInput } from '../core/step-io.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import type { ActivityHost } from './activity-host.ts';

const LONGEST_PERIOD_MS = 30_000;
const LOOKS = 5;

/**
 * Resolves when no command has run in the machine for `idleMs`, as seen from now on.
 * @param ended ends the looking; it never resolves then
 */
export async function untilIdle(
  host: ActivityHost,
  input: MachineInput,
  idleMs: number,
  ended: AbortSignal,
): Promise<void> {
  let quietSince = Date.now();
  while (!ended.aborted) {
    await sleep(Math.min(LONGEST_PERIOD_MS, Math.max(200, idleMs / LOOKS)));
    // What cannot be asked counts as busy: it may be on its way out, which is not for us to say.
    if (await isBusy(host, input, ended).catch(() => true)) quietSince = Date.now();
    else if (Date.now() - quietSince >= idleMs) return;
  }
  return new Promise(() => undefined);
}

/** Prints the names of all processes but its own session's, and those every machine has. */
const OTHERS = `read -r _ _ _ _ _ own _ < /proc/self/stat
for each in /proc/[0-9]*/stat; do
  read -r _ name _ _ _ session _ 2>/dev/null < "$each" || continue
  [ "$session" = "$own" ] || case $name in "(tini)" | "(sleep)") ;; *) echo "$name" ;; esac
done`;

async function isBusy(host: ActivityHost, { bottle, driver }: MachineInput, signal: AbortSignal): Promise<boolean> {
  const output = new PassThrough();
  const said = text(output);
  const request = {
    argv: ['sh', '-c', OTHERS],
    workdir: '/',
    stdout: output,
    stderr: new PassThrough().resume(),
    signal,
  };
  const { exitCode } = await machineDriver(driver, host)
    .exec(bottle.id, request)
    .finally(() => output.end());
  return exitCode !== 0 || (await said).trim() !== '';
}
