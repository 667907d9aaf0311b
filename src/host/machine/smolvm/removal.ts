/** Makes sure that a machine is stopped, or gone: its record, its folder, its process, whoever was killed in between. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BottleError } from '../../../core/errors.ts';
import { isRunning } from '../../process-running.ts';
import { callSmolvm, type Failure, type Smolvm } from './cli.ts';
import { programFailed } from './failures.ts';
import { bootProcesses, isGone, killProcess, lifeCalls } from './processes.ts';
import { machineNames, readRecord } from './records.ts';
import { machineDirectory, operationLock } from './state-directory.ts';

/** One line for what had to be done by force. */
export type Report = (line: string) => void;

const CALL_MS = 90_000;
/** For a stop, a delete or a create whose caller is dead to end by itself. */
const SETTLE_MS = 10_000;
/** A process that was told to end, or is just ending. */
const LAST_BREATH_MS = 500;
const TRIES = 3;
const PAUSE_MS = 200;
const SEED = /^image-seed-[0-9a-f]+-(\d+)$/;

/**
 * Ends what a killed process has left running on a machine. To be called with the machine's lock held: then no living
 * process of ours waits for any such call. A start would go on for half a minute, so it is ended at once; the others
 * are soon done, and half-done they leave more than they do whole.
 */
export async function settle(smolvm: Smolvm, name: string, report: Report): Promise<void> {
  for (const call of await lifeCalls(smolvm.state, name)) {
    if (call.verb !== 'start' && (await isGone(call, SETTLE_MS))) continue;
    if (await killProcess(call)) report(`ended a "smolvm machine ${call.verb}" of ${name} that nobody waited for`);
  }
}

/**
 * Stops a machine that smolvm knows, and what a broken-off start has left of it: its record then says `created`, and its
 * process is found by a stop only.
 * @param graceSeconds for what runs in it; 0 kills at once
 * @throws BottleError `DRIVER_FAILED` when it runs on
 */
export async function stopMachine(smolvm: Smolvm, name: string, graceSeconds: number, report: Report): Promise<void> {
  const args = ['--name', name, '--timeout', String(graceSeconds)];
  const { failure } = await callSmolvm(smolvm, ['machine', 'stop'], args, { timeoutMs: CALL_MS });
  await killBooted(smolvm, name, report);
  if (failure === undefined) return;
  const record = await readRecord(smolvm, name);
  if (record?.state === 'running' || record?.state === 'unreachable')
    throw programFailed(`stop the machine ${name}`, failure);
}

/**
 * Removes a machine that smolvm knows, whatever state it is in, and looks that nothing is left of it.
 * @throws BottleError `DRIVER_FAILED` with what smolvm said when its record would not go
 */
export async function removeMachine(smolvm: Smolvm, name: string, report: Report): Promise<void> {
  let failure: Failure | undefined;
  for (let left = TRIES; left > 0; left--) {
    failure = await stopAndDelete(smolvm, name, report);
    if (!(await machineNames(smolvm)).includes(name)) return removeRemains(smolvm, name, report);
    await sleep(PAUSE_MS);
  }
  if (failure !== undefined) throw programFailed(`delete the machine ${name}`, failure);
  throw new BottleError('INTERNAL', `the machine ${name} comes back each time it is deleted`);
}

/** What a machine without a record may have left: smolvm does not know of it any more. */
export async function removeRemains(smolvm: Smolvm, name: string, report: Report): Promise<void> {
  await killBooted(smolvm, name, report);
  await removeFolder(smolvm, name, report);
}

/** Deleted without a stop, a machine that was booting would go on for ever, and nothing would lead to it. */
async function stopAndDelete(smolvm: Smolvm, name: string, report: Report): Promise<Failure | undefined> {
  await stopMachine(smolvm, name, 0, report).catch(() => undefined);
  const { failure } = await callSmolvm(smolvm, ['machine', 'delete'], ['--name', name, '--force'], {
    timeoutMs: CALL_MS,
  });
  return failure;
}

/**
 * What still runs the machine after smolvm itself said that it is stopped or gone, or could not say so.
 * @throws BottleError `INTERNAL` when it cannot be killed
 */
async function killBooted(smolvm: Smolvm, name: string, report: Report): Promise<void> {
  for (const left of await bootProcesses(smolvm.state, name)) {
    if (await isGone(left, LAST_BREATH_MS)) continue;
    if (await killProcess(left)) report(`killed the process ${left.pid}, in which ${name} went on without smolvm`);
    else if (!(await isGone(left, 0))) {
      throw new BottleError('INTERNAL', `the process ${left.pid}, in which ${name} runs, cannot be killed`);
    }
  }
}

async function removeFolder(smolvm: Smolvm, name: string, report: Report): Promise<void> {
  await rm(operationLock(smolvm.state, name), { force: true });
  const folder = machineDirectory(smolvm.state, name);
  if (!existsSync(folder)) return;
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  report(`removed ${folder}, which smolvm had left of ${name}`);
}

/**
 * Hidden machines of image starts whose smolvm is dead. We ask for none, but somebody who ran smolvm by hand in our state
 * directory may have left one, with its process.
 */
export async function removeSeeds(smolvm: Smolvm, report: Report, isAlive = isRunning): Promise<void> {
  for (const name of await machineNames(smolvm)) {
    const maker = SEED.exec(name)?.[1];
    if (maker === undefined || isAlive(Number(maker))) continue;
    await settle(smolvm, name, report);
    await removeMachine(smolvm, name, report);
    report(`removed ${name}, which a broken-off start had left`);
  }
}
