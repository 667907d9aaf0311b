/** Whether anything still happens in a machine: a bottle that nobody uses any more may be stopped by itself. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MachineDriver } from './driver.ts';

const LONGEST_PERIOD_MS = 30_000;
const LOOKS = 5;

/**
 * Resolves when no command has run in the machine for `idleMs`, as seen from now on.
 * @param ended ends the looking; it never resolves then
 */
export async function untilIdle(driver: MachineDriver, id: string, idleMs: number, ended: AbortSignal): Promise<void> {
  let quietSince = Date.now();
  while (!ended.aborted) {
    const period = Math.min(LONGEST_PERIOD_MS, Math.max(200, idleMs / LOOKS));
    await sleep(period, undefined, { signal: ended }).catch(() => undefined);
    if (ended.aborted) break;
    // What cannot be asked counts as busy: it may be on its way out, which is not for us to say.
    if (await isBusy(driver, id, ended).catch(() => true)) quietSince = Date.now();
    else if (Date.now() - quietSince >= idleMs) return;
  }
  return new Promise(() => undefined);
}

/**
 * Prints the processes that are neither of its own session nor of the machine's first process, which is what every machine
 * has from its start: nothing that begins later gets into that one. (A name in `stat` may hold anything, so what counts is
 * what follows its last bracket.)
 */
const OTHERS = `session() { read -r line 2>/dev/null < "$1" || return 1; set -- \${line##*) }; id=$4; }
session /proc/self/stat; own=$id
session /proc/1/stat; first=$id
for each in /proc/[0-9]*/stat; do
  session "$each" || continue
  [ "$id" = "$own" ] || [ "$id" = "$first" ] || echo "$each"
done`;

async function isBusy(driver: MachineDriver, id: string, signal: AbortSignal): Promise<boolean> {
  const output = new PassThrough();
  const said = text(output);
  const request = {
    argv: ['sh', '-c', OTHERS],
    workdir: '/',
    stdout: output,
    stderr: new PassThrough().resume(),
    signal,
  };
  const { exitCode } = await driver.exec(id, request).finally(() => output.end());
  return exitCode !== 0 || (await said).trim() !== '';
}
